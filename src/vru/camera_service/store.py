"""What is remembered across restarts: small JSON files."""

import fcntl
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, Field, ValidationError, create_model

from vru.domain import VruError
from vru.service.schemas import CameraCreate, SignalSourceCreate


class StoredCamera(CameraCreate):
    """A camera's definition, and whether it is meant to be running."""

    id: uuid.UUID
    running: bool = False


class StoredSource(SignalSourceCreate):
    """A signal source's definition, and whether it is meant to be running. ``secrets`` are empty: see ``sealed``."""

    id: uuid.UUID
    running: bool = False
    # Its secrets, encrypted, and their names.
    sealed: str = ""
    secret_names: list[str] = Field(default_factory=list)


Item = TypeVar("Item", bound=BaseModel)


class Store(Generic[Item]):
    """A file of ``items``. While the service is replaced, two processes use it: who changes it holds ``exclusive``."""

    items: ClassVar[str]
    item: type[Item]

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{self.items}.json"
        self._document = create_model(
            "Document",
            __config__={"extra": "forbid"},
            version=(int, 1),
            **{self.items: (list[self.item], [])},  # type: ignore[call-overload, name-defined]
        )

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from changing the file.

        Raises:
            VruError: the folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unsaved(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def version(self) -> tuple[int, int] | None:
        """Something that differs whenever the file was replaced; None while there is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def check(self) -> None:
        """Raise VruError if they could not be saved now."""
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            writable = os.access(folder, os.W_OK | os.X_OK)
        except OSError:
            writable = False
        if not writable:
            raise VruError(
                f"{self.items.capitalize()} cannot be saved in {folder}.", "Check VRU_CAMERA_STATE_DIR and who owns it."
            )

    def load(self) -> list[Item]:
        """All of them; none if the file does not exist yet.

        Raises:
            VruError: the file is damaged. It is never replaced silently.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise VruError(f"{self.path} cannot be read: {error.strerror}.", "Check its permissions.") from error
        try:
            document = self._document.model_validate_json(text)
        except ValidationError as error:
            raise VruError(
                f"{self.path} is damaged.", f"Repair it, or move it away to begin without {self.items}."
            ) from error
        found: list[Item] = getattr(document, self.items)
        return found

    def save(self, items: Iterable[Item]) -> None:
        """Replace the file as a whole: after a crash it holds either the old items or the new ones.

        Raises:
            VruError: it cannot be written.
        """
        text = self._document(**{self.items: list(items)}).model_dump_json(indent=2) + "\n"
        unfinished = self.path.with_name(f".{self.path.name}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._unsaved(error) from error

    def _unsaved(self, error: OSError) -> VruError:
        return VruError(
            f"{self.items.capitalize()} cannot be saved in {self.path}: {error.strerror}.",
            "Check VRU_CAMERA_STATE_DIR.",
        )


class CameraStore(Store[StoredCamera]):
    """All cameras."""

    items = "cameras"
    item = StoredCamera


class SourceStore(Store[StoredSource]):
    """All signal sources."""

    items = "sources"
    item = StoredSource
