"""The most memory that this process ever had."""

import re
from pathlib import Path


def peak_bytes() -> int:
    """Bytes of resident memory since this program was started.

    Not ``ru_maxrss``: that begins with the peak of the process which started this one, such as a large pytest.
    """
    (kilobytes,) = re.findall(r"(?m)^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024
