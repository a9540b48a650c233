"""What the user is asked for on a terminal, once for all connections of a command: passphrases and sudo's password.

Kept in this process's memory only.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vru.domain import VruError

PASSWORD_VARIABLE = "VRU_SUDO_PASSWORD"  # noqa: S105 - a variable's name
ATTEMPTS = 3


@dataclass(slots=True)
class Credentials:
    """Secrets of one command. ``ask`` puts a question to the user and hides the answer; None: nobody can be asked."""

    ask: Callable[[str], str] | None = None
    given_sudo_password: str | None = field(default=None, repr=False)
    # Where that came from, for the message that it is wrong.
    sudo_password_source: str = PASSWORD_VARIABLE
    # Proved right by sudo itself.
    sudo_password: str | None = field(default=None, repr=False)
    passphrases: dict[Path, str] = field(default_factory=dict, repr=False)
    # Commands may run side by side; the user gets one question, not one for each.
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def of_process(cls, ask: Callable[[str], str] | None, password_file: Path | None = None) -> "Credentials":
        """With sudo's password from a file, or from VRU_SUDO_PASSWORD, which no program started from here inherits.

        Raises:
            VruError: the file cannot be read, or is empty.
        """
        password, source = os.environ.pop(PASSWORD_VARIABLE, None), PASSWORD_VARIABLE
        if password_file is not None:
            try:
                password = password_file.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
            except (OSError, ValueError) as error:
                raise VruError(
                    f"The file {password_file} with sudo's password cannot be read: "
                    f"{error.strerror if isinstance(error, OSError) else 'it is no text'}.",
                    "Correct --sudo-password-file.",
                ) from error
            source = f"the file {password_file}"
            if not password:
                raise VruError(f"The file {password_file} has no password in its first line.", "Write it there.")
        return cls(ask=ask, given_sudo_password=password or None, sudo_password_source=source)
