"""A command that any login shell starts, and whose output begins at a marker.

sshd hands a command to the user's login shell. That shell may print lines of its own first (``~/.bashrc``,
``/etc/ssh/sshrc``), and may read quotes in another way than POSIX does (tcsh, fish). So the command goes to
``/bin/sh``, which first writes a marker: what comes before the marker is not the command's.
"""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

_CHUNK = 64 * 1024


def wrap(command: str, marker: str, *, terminal: bool = False) -> str:
    """The line for a login shell that runs ``command``, a simple POSIX command, in ``/bin/sh``.

    The line has no quote, backslash, ``!`` or newline inside its quotes, since shells differ in them: base64 has none.
    The shell replaces itself, so nothing that it would print at its end follows. On a terminal both streams are
    one, and the marker comes once.
    """
    markers = f"echo {marker}" + ("" if terminal else f"; echo {marker} >&2")
    script = base64.b64encode(f"{markers}; exec {command}".encode()).decode()
    return f"exec /bin/sh -c 'eval \"$(echo {script} | base64 -d)\"'"


def new_marker() -> str:
    """A line that nothing else prints."""
    return f"vru-begin-{secrets.token_hex(8)}"


@dataclass(slots=True)
class MarkedOutput:
    """One stream of a command, without what the login printed before the marker.

    Args:
        receive: the next bytes of the stream, at most as many as given; none at its end.
        marker: the line after which the command's own output begins.
    """

    receive: Callable[[int], bytes]
    marker: str
    begun: bool = False
    before: bytes = field(default=b"", init=False)

    def read(self, size: int) -> bytes:
        """The command's next bytes; none at the end."""
        while not self.begun:
            data = self.receive(size)
            if not data:
                return b""
            before, found, rest = (self.before + data).partition(f"{self.marker}\n".encode())
            self.begun = bool(found)
            # A login that prints without end must not fill the memory; its last words are the ones that matter.
            self.before = before[-_CHUNK:]
            if rest:
                return rest
        return self.receive(size)
