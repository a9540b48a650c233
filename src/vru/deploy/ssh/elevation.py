"""Root on the server: as root, or with sudo, password-less or with a password that is asked for once.

``sudo -k`` makes each command independent of what sudo remembers, so that it is certain whether it reads a password:
a password that sudo does not want would become the first line of the command's own input.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from vru.deploy.ssh.credentials import ATTEMPTS, PASSWORD_VARIABLE, Credentials
from vru.domain import VruError

# In English, whatever the server speaks; C.UTF-8, since what runs below sudo inherits it.
_LOCALE = "LC_ALL=C.UTF-8"
_NEEDS_PASSWORD = re.compile(
    r"^sudo: .*(a password is required|interactive authentication is required|a terminal is required|no tty present)",
    re.IGNORECASE | re.MULTILINE,
)
_NEEDS_TERMINAL = re.compile(r"^sudo: .*must have a (tty|terminal) to run sudo", re.IGNORECASE | re.MULTILINE)
_NOT_ALLOWED = re.compile(r"(is not in the sudoers file|may not run sudo|is not allowed to|not allowed to execute)")
_WRONG_PASSWORD = re.compile(
    r"(sorry, try again|incorrect password|no password was provided|authentication fail|incorrect authentication)",
    re.IGNORECASE,
)


class ElevationError(VruError):
    """The user may not become root."""


class Mode(Enum):
    """How root is reached."""

    ROOT = auto()
    UNKNOWN = auto()
    FREE = auto()
    PASSWORD = auto()


@dataclass(slots=True)
class Elevation:
    """How commands of one user on one server become root's.

    Args:
        user: who is logged in.
        host: the server's name, for questions and errors.
        credentials: where sudo's password comes from.
    """

    user: str
    host: str
    credentials: Credentials
    mode: Mode = Mode.UNKNOWN
    needs_terminal: bool = False

    def __post_init__(self) -> None:
        if self.user == "root":
            self.mode = Mode.ROOT

    def command(self, argv: Sequence[str], variables: dict[str, str], prompt: str | None = None) -> str:
        """The command line for the user's login shell.

        ``prompt`` is given for a command on a terminal: sudo writes it when it waits for the password.
        """
        told = [f"{name}={value}" for name, value in variables.items()]
        if self.mode is Mode.ROOT:
            return shlex.join(["env", *told, *argv])
        ask = ["-S", "-p", prompt or ""] if self.mode is Mode.PASSWORD else ["-n"]
        # sudo drops SSH_CONNECTION, which says at which port sshd really listens.
        line = (
            shlex.join(["env", _LOCALE, "sudo", "-k", *ask, "--", "env", *told])
            + ' VRU_SSH_CONNECTION="$SSH_CONNECTION" '
            + shlex.join(argv)
        )
        if not self.needs_terminal or prompt is not None:
            return line
        # `requiretty` wants a terminal to exist, not to be used: script makes one, and the command keeps its own
        # three streams, through which no terminal translates anything.
        inside = shlex.join(["script", "-qec", f"{line} <&3 >&4 2>&5", "/dev/null"])
        return shlex.join(["sh", "-c", f"{inside} 3<&0 4>&1 5>&2 </dev/null"])

    @property
    def first_input(self) -> bytes:
        """What goes to the command's standard input before its own."""
        if self.mode is not Mode.PASSWORD:
            return b""
        return f"{self.credentials.sudo_password}\n".encode()

    def refused(self, exit_code: int, stderr: str) -> bool:
        """Whether sudo itself refused a command of the mode UNKNOWN, so that nothing was run.

        Raises:
            ElevationError: this user may not use sudo, or there is none.
        """
        if exit_code == 127 or (exit_code == 126 and "sudo" in stderr):
            self._check_there_is_sudo(stderr)
        if exit_code != 1 or "sudo" not in stderr:
            return False
        if _NOT_ALLOWED.search(stderr):
            raise ElevationError(
                f"User {self.user} may not use sudo on {self.host}.",
                f"As root on the server: usermod -aG sudo {self.user} - or log in as root.",
            )
        return bool(_NEEDS_PASSWORD.search(stderr) or _NEEDS_TERMINAL.search(stderr))

    def _check_there_is_sudo(self, stderr: str) -> None:
        if "sudo" in stderr and ("No such file" in stderr or "not found" in stderr or "Permission denied" in stderr):
            raise ElevationError(
                f"There is no sudo on {self.host} that user {self.user} could use.",
                "Log in as root (VRU_SSH_USER=root), or install sudo on the server.",
            )

    def find_out(self, run: Callable[[str, bytes], tuple[int, str]]) -> None:
        """Settle how sudo works here, and ask for its password if it needs one.

        Args:
            run: runs a command line with some input, and returns exit code and standard error.

        Raises:
            ElevationError: root cannot be reached.
        """
        with self.credentials.lock:
            if self.mode is not Mode.UNKNOWN:
                return
            exit_code, stderr = run(self.command(["true"], {}), b"")
            if exit_code != 0 and _NEEDS_TERMINAL.search(stderr):
                self.needs_terminal = True
                exit_code, stderr = run(self.command(["true"], {}), b"")
            if exit_code == 0:
                self.mode = Mode.FREE
            elif self.refused(exit_code, stderr):
                self._log_in(run)
            else:
                raise ElevationError(f"sudo on {self.host} failed: {_last(stderr)}", "Try it by hand: sudo true")

    def _log_in(self, run: Callable[[str, bytes], tuple[int, str]]) -> None:
        known = self.credentials.sudo_password
        given = known if known is not None else self.credentials.given_sudo_password
        self.mode = Mode.PASSWORD
        for attempt in range(ATTEMPTS):
            password = given if given is not None else self._ask(again=attempt > 0)
            self.credentials.sudo_password = password
            exit_code, stderr = run(self.command(["true"], {}), self.first_input)
            if exit_code == 0:
                return
            self.credentials.sudo_password = None
            if not _WRONG_PASSWORD.search(stderr):
                self.mode = Mode.UNKNOWN
                self.refused(exit_code, stderr)
                raise ElevationError(f"sudo on {self.host} failed: {_last(stderr)}", "Try it by hand: sudo true")
            if given is not None:
                break
        self.mode = Mode.UNKNOWN
        credentials = self.credentials
        source = "the password" + (f" in {credentials.sudo_password_source}" if given is not None else "")
        raise ElevationError(
            f"sudo on {self.host} does not accept {source} of user {self.user}.",
            f"Try it by hand: ssh {self.user}@{self.host} sudo true",
        )

    def _ask(self, *, again: bool) -> str:
        if self.credentials.ask is None:
            raise ElevationError(
                f"sudo wants the password of user {self.user} on {self.host}, and there is no terminal to ask on.",
                f"Set the environment variable {PASSWORD_VARIABLE}, give --sudo-password-file FILE, or allow sudo "
                f"without a password: echo '{self.user} ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/vru",
            )
        wrong = "That was not it. " if again else ""
        return self.credentials.ask(f"{wrong}sudo password of {self.user} on {self.host}")


def _last(stderr: str) -> str:
    return (stderr.strip().splitlines() or ["it said nothing"])[-1]
