"""The error that an administrator is meant to read, and the exit codes of ``vru-platform``."""

from __future__ import annotations

import json

OK = 0
FAILED = 1
USAGE = 2
ATTENTION = 3
BUSY = 4


def plain(error: BaseException) -> str:
    """An error of Python's as words for people: without numbers, brackets and class names."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror[:1].lower()}{error.strerror[1:]}{where}"
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON (line {error.lineno}, column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return "it is no text"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error).strip().rstrip(".") or "no reason was given"


class UserError(Exception):
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


class HostError(UserError):
    """Something could not be done."""


class FencedError(UserError):
    """Another change has taken over. No HostError: what mends or goes back after one of those must not run either."""
