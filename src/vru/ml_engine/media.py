"""Pictures from outside of the platform: a video, or a folder of image files, one after the other."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vru.domain import VruError
from vru.ml_engine.readers import Readers
from vru.service.opened import opened

_IMAGES = {".jpg", ".jpeg", ".png"}
_MAX_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: BGR, uint8, HxWx3. ``index`` from 0; ``time_s`` of a video's frame."""

    name: str
    index: int
    time_s: float | None
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Media:
    """Where pictures come from: how many, and an iterator that reads them once."""

    count: int
    pictures: Iterator[Picture]
    is_video: bool


def open_media(readers: Readers, path: Path, stride: int = 1, *, kept: int = 2) -> Media:
    """The frames of a video, every ``stride``-th, or the images below a folder, by name.

    ``kept`` is how many frames are looked at while the next one is asked for.

    Raises:
        VruError: there is nothing, or nothing that can be read. While it is read: a picture is damaged.
    """
    if path.is_dir():
        return _folder(readers, path, stride)
    if not path.is_file():
        raise VruError(f"There is no {path}.", "Give the path of a video, or of a folder of pictures.")
    if path.suffix.lower() in _IMAGES:
        return Media(1, iter([_image(readers, path, path.name, 0)]), is_video=False)
    with opened(path) as file:
        count = len(readers.table(file).pts)
    return Media(len(range(0, count, stride)), _frames(readers, path, range(0, count, stride), kept), is_video=True)


def _frames(readers: Readers, path: Path, wanted: range, kept: int) -> Iterator[Picture]:
    with opened(path) as file:
        for one in readers.frames(file, 0, wanted[-1], wanted.step, kept=kept):
            yield Picture(f"{path.name}#{one.frame_index:06d}", one.frame_index, one.time_s, one.image)
        file.check_unchanged()


def _folder(readers: Readers, folder: Path, stride: int) -> Media:
    files = [file for file in folder.rglob("*") if file.suffix.lower() in _IMAGES and file.is_file()]
    if not files:
        raise VruError(f"{folder} holds no picture.", f"Put files ending in {', '.join(sorted(_IMAGES))} there.")
    files.sort(key=lambda file: _natural(file.relative_to(folder).as_posix()))
    chosen = range(0, len(files), stride)
    read = (_image(readers, files[index], files[index].relative_to(folder).as_posix(), index) for index in chosen)
    return Media(len(chosen), read, is_video=False)


def _image(readers: Readers, file: Path, name: str, index: int) -> Picture:
    try:
        return Picture(name, index, None, readers.image(file, _MAX_PIXELS))
    except OSError as error:
        raise VruError(f"{file} cannot be read: {error.strerror}.", "Correct its permissions, or remove it.") from error
    except VruError as error:
        reason = error.message.replace("The body", "It").replace("The image", "It")
        raise VruError(f"{file} is no picture that can be used: {reason}", "Replace the file, or remove it.") from error


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key that orders 2 before 10, and digits before letters."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.findall(r"\d+|\D+", name)]
