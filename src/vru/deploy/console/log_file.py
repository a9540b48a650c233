"""The log file of one command: what is too long or too raw for a message, such as apt's output or a garbled answer.

It is made when there is something to write, in ``$XDG_STATE_HOME/vru/logs`` (``~/.local/state``), its owner's only.
"""

import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from vru.deploy.console.errors import RemoteError

_KEEP = 20


@cache
def _file(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = directory / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    file.touch(mode=0o600)
    # Names sort by time.
    for old in sorted(directory.glob("*.log"))[:-_KEEP]:
        with suppress(FileNotFoundError):
            old.unlink()
    return file


def _directory() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "vru" / "logs"


def append(text: str) -> Path | None:
    """Add a line or more to this command's log file. Returns the file; None where none can be written."""
    try:
        file = _file(_directory())
        with file.open("a", encoding="utf-8", errors="replace") as log:
            log.write(text if text.endswith("\n") else f"{text}\n")
    except OSError:
        return None
    return file


def unreadable(what: str, raw: str, why: BaseException | None = None) -> RemoteError:
    """The error for an answer of the server that is not in its form: a sentence, and the answer itself in the log."""
    reason = f" ({type(why).__name__}: {why})" if why is not None else ""
    file = append(f"{what} cannot be read{reason}. It was:\n{raw}")
    return RemoteError(
        f"{what} cannot be read.",
        "Run the same command again." + (f" What the server said is in {file}" if file is not None else ""),
    )


def said(text: str, *, last: bool = False) -> str:
    """What a program on the server said, as one line for a message: its first, or its last.

    What is no sentence, such as a traceback or JSON, goes to the log file, which is named instead.
    """
    lines = [line.strip().removeprefix("vru-platform: ") for line in text.splitlines() if line.strip()]
    if not lines:
        return "no output"
    line = lines[-1 if last else 0]
    if not line.startswith(("{", "[")) and not any(one.startswith("Traceback (most recent call") for one in lines):
        return line
    file = append(text)
    return "it broke off unexpectedly" + (f"; what it printed is in {file}" if file is not None else "")
