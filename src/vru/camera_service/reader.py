"""The thread that always reads a camera, in real time, and keeps the newest frame."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import structlog
from numpy.typing import NDArray

from vru.camera_service.sources import Picture, Source
from vru.domain import VruError

State = Literal["stopped", "starting", "running", "failed", "ended"]

# Behind by more than this, the reader takes up the source's time anew instead of hurrying after it.
_GIVE_UP_S = 1.0
# How long a source's last frame is shown before it starts over, if it has only one.
_SINGLE_FRAME_S = 1.0

log = structlog.get_logger("vru.camera_service")


@dataclass(frozen=True, slots=True)
class NewestFrame:
    """A frame and its three times: in the source, on this machine's monotonic clock, and on its wall clock.

    The latter two are read when the frame becomes the newest. ``image`` is BGR, uint8, HxWx3.
    """

    image: NDArray[np.uint8]
    media_s: float
    monotonic_ns: int
    at: datetime


class CameraReader:
    """Reads one source in a thread of its own, paced by its media time, until it ends, fails or is stopped."""

    def __init__(self, name: str, source: Source, *, loop: bool, on_end: Callable[[State], None]) -> None:
        """``on_end`` is called in the thread, with "ended" or "failed", if the source ends by itself."""
        self._name, self._source, self._loop, self._on_end = name, source, loop, on_end
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)
        self._state: State = "starting"
        self.error: str | None = None
        self.newest: NewestFrame | None = None
        self.frames_read = 0

    @property
    def state(self) -> State:
        """What the reader is doing."""
        return self._state

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def wait_started(self, timeout_s: float) -> State:
        """Wait for the first frame, the end or a failure; the state then."""
        with self._changed:
            self._changed.wait_for(lambda: self._state != "starting", timeout_s)
            return self._state

    def ask_to_stop(self) -> None:
        """Make the thread end soon; returns at once."""
        self._stopping.set()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Make the thread end, and wait until it has.

        Raises:
            VruError: it has not within ``timeout_s``.
        """
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise VruError(f"Camera {self._name!r} does not stop reading.", "Restart the camera service.")

    def _set(self, state: State, error: str | None = None) -> None:
        with self._changed:
            self._state, self.error = state, error
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            self._read()
        except VruError as error:
            self._finish("failed", str(error))
        except Exception as error:
            # The end of a thread: nobody above could see it.
            log.exception("camera failed unexpectedly", camera=self._name)
            self._finish("failed", f"Reading failed unexpectedly ({type(error).__name__}).")
        else:
            self._finish("stopped" if self._stopping.is_set() else "ended")

    def _finish(self, state: State, error: str | None = None) -> None:
        log.info("camera reading ended", camera=self._name, state=state, error=error, frames=self.frames_read)
        self._set(state, error)
        if state in ("ended", "failed"):
            self._on_end(state)

    def _read(self) -> None:
        # Monotonic time at which the source's media time was 0.
        origin = time.monotonic()
        while True:
            first: float | None = None
            last = interval = 0.0
            with closing(self._source.pictures()) as pictures:
                for picture in pictures:
                    if first is None:
                        first = picture.media_s
                        origin -= first
                    else:
                        interval = picture.media_s - last
                    last = picture.media_s
                    origin += self._pace(origin + picture.media_s)
                    if self._stopping.is_set():
                        return
                    self._publish(picture)
            if first is None:
                raise VruError("The source has no frame.", "Use a video that plays.")
            if not self._loop:
                return
            # The next pass begins when the last frame has been shown for as long as the one before it.
            origin += last + (interval or _SINGLE_FRAME_S)

    def _pace(self, due: float) -> float:
        """Wait until ``due`` (monotonic seconds); by how much the source's time is to be moved if that is long past."""
        wait = due - time.monotonic()
        if wait > 0:
            self._stopping.wait(wait)
            return 0.0
        return -wait if -wait > _GIVE_UP_S else 0.0

    def _publish(self, picture: Picture) -> None:
        self.newest = NewestFrame(picture.image, picture.media_s, time.monotonic_ns(), datetime.now(UTC))
        self.frames_read += 1
        if self._state == "starting":
            self._set("running")
