"""Why a file was not read."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from vru.domain import VruError


class FileRefusedError(VruError):
    """What the reading function itself said is wrong with the file. ``status``: as which a service answers it."""

    def __init__(self, message: str, fix: str = "", status: int = HTTPStatus.UNPROCESSABLE_ENTITY) -> None:
        super().__init__(message, fix)
        self.status = status


class FileUnreadableError(VruError):
    """The file made its reader fail, or took more memory or time than reading may take."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


@contextmanager
def naming(name: object) -> Iterator[None]:
    """Say the file's name in what is said when reading it inside of the block fails."""
    try:
        yield
    except FileUnreadableError as error:
        raise FileUnreadableError(error.message.replace("The file", f"The file {name}", 1), error.fix) from error


class SandboxError(VruError):
    """The sandbox itself does not work here."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
