"""Cameras remembered across restarts: one small JSON file."""

import fcntl
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from vru.domain import VruError
from vru.service.schemas import CameraCreate


class StoredCamera(CameraCreate):
    """A camera's definition, and whether it is meant to be running."""

    id: uuid.UUID
    running: bool = False


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: int = 1
    cameras: list[StoredCamera] = []


class CameraStore:
    """The file. While the service is replaced, two processes use it: who changes it holds ``exclusive``."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "cameras.json"

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
        """Raise VruError if cameras could not be saved now."""
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            writable = os.access(folder, os.W_OK | os.X_OK)
        except OSError:
            writable = False
        if not writable:
            raise VruError(f"Cameras cannot be saved in {folder}.", "Check VRU_CAMERA_STATE_DIR and who owns it.")

    def load(self) -> list[StoredCamera]:
        """All cameras; none if the file does not exist yet.

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
            document = _Document.model_validate_json(text)
        except ValidationError as error:
            raise VruError(
                f"{self.path} is damaged.", "Repair it, or move it away to begin without cameras."
            ) from error
        return document.cameras

    def save(self, cameras: Iterable[StoredCamera]) -> None:
        """Replace the file as a whole: after a crash it holds either the old cameras or the new ones.

        Raises:
            VruError: it cannot be written.
        """
        text = _Document(cameras=list(cameras)).model_dump_json(indent=2) + "\n"
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
        return VruError(f"Cameras cannot be saved in {self.path}: {error.strerror}.", "Check VRU_CAMERA_STATE_DIR.")
