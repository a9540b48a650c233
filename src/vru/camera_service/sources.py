"""Where a camera's pictures come from."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from vru.media.facts import limits
from vru.sandbox import shared
from vru.sandbox.errors import naming
from vru.sandbox.pool import Sandbox
from vru.scenes import Scene, scene
from vru.service.media import resolve
from vru.service.schemas import CameraCreate

# What reads files, in the sandbox.
READERS = ("vru.media.frames",)
# How long a file may keep a camera waiting for its next picture.
_PICTURE_S = 60.0


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame: BGR, uint8, HxWx3, and its media time in seconds."""

    media_s: float
    image: shared.Picture


class Source(Protocol):
    """Pictures in order of media time, from the first to the last."""

    def pictures(self) -> Generator[Picture, None, None]:
        """One pass. Closing it frees what it holds. Raises VruError if the source cannot be read."""
        ...


class FileSource:
    """A video in the media store."""

    def __init__(self, sandbox: Sandbox, media_dir: Path, path: str) -> None:
        self._sandbox, self._media_dir, self._path = sandbox, media_dir, path

    def pictures(self) -> Generator[Picture, None, None]:
        """Decode the file once. Raises VruError if it is missing, no video, damaged or without times."""
        file = resolve(self._media_dir, self._path)
        allowed = replace(limits(file.stat().st_size), wall_s=_PICTURE_S)
        frames = self._sandbox.stream("vru.media.frames:play", file, float, limits=allowed, name=repr(self._path))
        with naming(repr(self._path)), closing(frames):
            for media_s, image in frames:
                yield Picture(media_s, image)


class VirtualSource:
    """A synthetic scene, drawn as it is asked for."""

    def __init__(self, chosen: Scene) -> None:
        self._scene = chosen

    def pictures(self) -> Generator[Picture, None, None]:
        """Draw the scene once."""
        for frame in self._scene.frames():
            yield Picture(frame.time_s, frame.image)


def open_source(camera: CameraCreate, media_dir: Path, sandbox: Sandbox) -> Source:
    """The source that a camera names. A file need not exist yet; a scene must.

    Raises:
        VruError: there is no such scene.
    """
    if camera.kind == "virtual":
        return VirtualSource(scene(camera.source))
    return FileSource(sandbox, media_dir, camera.source)
