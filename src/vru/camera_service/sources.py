"""Where a camera's pictures come from."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from vru.domain import VruError
from vru.scenes import Scene, scene
from vru.service.media import open_video, resolve
from vru.service.schemas import CameraCreate


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame: BGR, uint8, HxWx3, and its media time in seconds."""

    media_s: float
    image: NDArray[np.uint8]


class Source(Protocol):
    """Pictures in order of media time, from the first to the last."""

    def pictures(self) -> Generator[Picture, None, None]:
        """One pass. Closing it frees what it holds. Raises VruError if the source cannot be read."""
        ...


class FileSource:
    """A video in the media store."""

    def __init__(self, media_dir: Path, path: str) -> None:
        self._media_dir, self._path = media_dir, path

    def pictures(self) -> Generator[Picture, None, None]:
        """Decode the file once. Raises VruError if it is missing, no video, damaged or without times."""
        file = resolve(self._media_dir, self._path)
        with open_video(file) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            try:
                for frame in container.decode(stream):
                    if frame.pts is None or frame.time_base is None:
                        raise VruError(
                            f"The video {self._path!r} has a frame without a timestamp.", "Convert it to MP4."
                        )
                    image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                    yield Picture(float(frame.pts * frame.time_base), image)
            except av.FFmpegError as error:
                raise VruError(f"The video {self._path!r} is damaged: {error.strerror}.", "Upload it again.") from error


class VirtualSource:
    """A synthetic scene, drawn as it is asked for."""

    def __init__(self, chosen: Scene) -> None:
        self._scene = chosen

    def pictures(self) -> Generator[Picture, None, None]:
        """Draw the scene once."""
        for frame in self._scene.frames():
            yield Picture(frame.time_s, frame.image)


def open_source(camera: CameraCreate, media_dir: Path) -> Source:
    """The source that a camera names. A file need not exist yet; a scene must.

    Raises:
        VruError: there is no such scene.
    """
    if camera.kind == "virtual":
        return VirtualSource(scene(camera.source))
    return FileSource(media_dir, camera.source)
