"""All cameras of the service: what they are, and what each is doing."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import structlog

from vru.camera_service.reader import CameraReader, NewestFrame, State
from vru.camera_service.sources import open_source
from vru.camera_service.store import CameraStore, StoredCamera
from vru.domain import VruError
from vru.sandbox.pool import Sandbox
from vru.service.errors import ConflictError, NotFoundError, UnavailableError, UnprocessableError
from vru.service.schemas import CameraBody, CameraCreate

_START_TIMEOUT_S = 10.0
_JPEG_QUALITY = 90

log = structlog.get_logger("vru.camera_service")


class Cameras:
    """Cameras and their readers. All methods block (call them from a thread) and may run at the same time."""

    def __init__(self, store: CameraStore, media_dir: Path, sandbox: Sandbox) -> None:
        """Remember what the store holds; nothing runs before ``restore``. Files are decoded in ``sandbox``.

        Raises:
            VruError: the store is damaged.
        """
        self._store, self._media_dir, self._sandbox = store, media_dir, sandbox
        self._lock = threading.RLock()
        self._version = store.version()
        self._cameras = {camera.id: camera for camera in store.load()}
        self._readers: dict[uuid.UUID, CameraReader] = {}

    def restore(self) -> None:
        """Start every camera that ran when the service ended. One that cannot start is shown as failed."""
        with self._lock:
            for camera in self._cameras.values():
                if camera.running:
                    log.info("starting camera again", camera=camera.name)
                    self._begin(camera)

    def close(self) -> None:
        """Stop all reading; what was running stays marked as running, for the next start."""
        with self._lock:
            readers = list(self._readers.values())
            self._readers.clear()
        for reader in readers:
            reader.ask_to_stop()
        for reader in readers:
            reader.stop()

    def list(self) -> list[CameraBody]:
        """All cameras, in order of name."""
        with self._lock:
            self._refresh()
            return [self._body(camera) for camera in sorted(self._cameras.values(), key=lambda camera: camera.name)]

    def get(self, camera_id: uuid.UUID) -> CameraBody:
        """One camera. Raises NotFoundError if there is none with this id."""
        with self._lock:
            return self._body(self._find(camera_id))

    def create(self, wanted: CameraCreate) -> CameraBody:
        """Add a camera, stopped.

        Raises:
            ConflictError: there is a camera of this name.
            UnprocessableError: there is no such scene, or the file's path leads out of the media directory.
        """
        self._check_source(wanted)
        with self._lock, self._changing():
            if any(camera.name == wanted.name for camera in self._cameras.values()):
                raise ConflictError(f"There is already a camera called {wanted.name!r}.", "Choose another name.")
            camera = StoredCamera(**wanted.model_dump(), id=uuid.uuid4())
            self._save(self._cameras | {camera.id: camera})
            return self._body(camera)

    def delete(self, camera_id: uuid.UUID) -> None:
        """Stop a camera and forget it. Raises NotFoundError if there is none with this id."""
        with self._lock, self._changing():
            self._find(camera_id)
            self._save({number: camera for number, camera in self._cameras.items() if number != camera_id})
            reader = self._readers.pop(camera_id, None)
        if reader is not None:
            reader.stop()

    def start(self, camera_id: uuid.UUID) -> CameraBody:
        """Begin to read a camera; does nothing if it is running.

        Raises:
            NotFoundError: there is no camera with this id.
            ConflictError: its source cannot be read; says why.
        """
        with self._lock:
            camera = self._find(camera_id)
            reader = self._readers.get(camera_id)
            if reader is None or reader.state not in ("starting", "running"):
                reader = self._begin(camera)
        if reader.wait_started(_START_TIMEOUT_S) == "failed":
            raise ConflictError(f"Camera {camera.name!r} cannot start: {reader.error}")
        with self._lock:
            # A source of few frames may have ended already: then it is not meant to run after a restart.
            if self._readers.get(camera_id) is reader and reader.state in ("starting", "running"):
                self._mark(camera_id, running=True)
            return self._body(self._find(camera_id))

    def stop(self, camera_id: uuid.UUID) -> CameraBody:
        """Stop reading a camera; does nothing if it is stopped. Raises NotFoundError if there is none."""
        with self._lock:
            self._find(camera_id)
            self._mark(camera_id, running=False)
            reader = self._readers.pop(camera_id, None)
        # Without the lock, which the reader needs if it happens to end by itself just now.
        if reader is not None:
            reader.stop()
        return self.get(camera_id)

    def snapshot(self, camera_id: uuid.UUID) -> tuple[bytes, NewestFrame]:
        """The newest frame, as JPEG and as it is.

        Raises:
            NotFoundError: there is no camera with this id.
            ConflictError: the camera is not running.
            UnavailableError: no frame has come yet.
        """
        with self._lock:
            camera = self._find(camera_id)
            reader = self._readers.get(camera_id)
        state = reader.wait_started(_START_TIMEOUT_S) if reader else "stopped"
        if reader is None or state not in ("starting", "running"):
            why = f" ({reader.error})" if reader and reader.error else ""
            raise ConflictError(f"Camera {camera.name!r} is {state}{why}.", "Start it first.")
        newest = reader.newest
        if newest is None:
            raise UnavailableError(f"Camera {camera.name!r} has given no frame yet.", "Try again in a moment.")
        done, jpeg = cv2.imencode(".jpg", newest.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if not done:
            raise VruError(f"The frame of camera {camera.name!r} cannot be made a JPEG.")
        return jpeg.tobytes(), newest

    def _check_source(self, wanted: CameraCreate) -> None:
        try:
            open_source(wanted, self._media_dir, self._sandbox)
        except VruError as error:
            raise UnprocessableError(error.message, error.fix) from error
        path = (self._media_dir / wanted.source).resolve()
        if wanted.kind == "file" and not path.is_relative_to(self._media_dir.resolve()):
            raise UnprocessableError(
                f"The path {wanted.source!r} leads out of the media directory.", "Give a path below it."
            )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Nobody else changes the store meanwhile, and what others have changed is known."""
        with self._store.exclusive():
            self._refresh()
            yield

    def _refresh(self) -> None:
        """Take over what another process has saved: while the service is replaced, the old one and the new one run."""
        version = self._store.version()
        if version == self._version:
            return
        before, self._cameras = self._cameras, {camera.id: camera for camera in self._store.load()}
        self._version = version
        for camera in before.values():
            now = self._cameras.get(camera.id)
            if now is None or (camera.running and not now.running):
                reader = self._readers.pop(camera.id, None)
                if reader is not None:
                    reader.ask_to_stop()
        for camera in self._cameras.values():
            if camera.running and camera.id not in self._readers:
                self._begin(camera)

    def _find(self, camera_id: uuid.UUID) -> StoredCamera:
        self._refresh()
        camera = self._cameras.get(camera_id)
        if camera is None:
            raise NotFoundError(f"There is no camera {camera_id}.", "GET /cameras lists them.")
        return camera

    def _begin(self, camera: StoredCamera) -> CameraReader:
        def on_end(state: State) -> None:
            # A camera that failed is still meant to run: a restart tries again.
            with self._lock:
                if state == "ended" and self._readers.get(camera.id) is reader:
                    self._mark(camera.id, running=False)

        source = open_source(camera, self._media_dir, self._sandbox)
        reader = CameraReader(camera.name, source, loop=camera.loop, on_end=on_end)
        self._readers[camera.id] = reader
        reader.start()
        return reader

    def _mark(self, camera_id: uuid.UUID, *, running: bool) -> None:
        with self._changing():
            camera = self._cameras.get(camera_id)
            if camera is not None and camera.running != running:
                self._save(self._cameras | {camera_id: camera.model_copy(update={"running": running})})

    def _save(self, cameras: dict[uuid.UUID, StoredCamera]) -> None:
        self._store.save(cameras.values())
        self._version = self._store.version()
        self._cameras = cameras

    def _body(self, camera: StoredCamera) -> CameraBody:
        reader = self._readers.get(camera.id)
        newest = reader.newest if reader else None
        return CameraBody(
            **camera.model_dump(exclude={"running"}),
            state=reader.state if reader else "stopped",
            error=reader.error if reader else None,
            width=newest.image.shape[1] if newest else None,
            height=newest.image.shape[0] if newest else None,
            frames_read=reader.frames_read if reader else 0,
            last_frame_media_s=newest.media_s if newest else None,
            last_frame_monotonic_ns=newest.monotonic_ns if newest else None,
            last_frame_at=newest.at if newest else None,
        )
