"""The error that an administrator is meant to read, and the exit codes of ``vru-platform``."""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2
ATTENTION = 3
BUSY = 4


class ToldError(Exception):
    """What an administrator is meant to read: one clear sentence, the fix, and where it helps, the container's last
    words."""

    def __init__(
        self, message: str, fix: str = "", *, service: str = "", logs: tuple[str, ...] = (), code: int = FAILED
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.service = service
        self.logs = logs
        self.code = code

    def __str__(self) -> str:
        return f"{self.message} {self.fix}" if self.fix else self.message


class HostError(ToldError):
    """Something could not be done."""


class FencedError(ToldError):
    """Another change has taken over. No HostError: what mends or goes back after one of those must not run either."""
