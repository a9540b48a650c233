"""Find the pictures that are wanted: in videos by their exact time or frame number, in folders by their names.

Never by ``index / fps``: what is not there under its own name or time is missing, and said to be.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Wanted = Mapping[str, Any]
Found = tuple[Any, Image | str]
_IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
_VIDEOS = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".ts", ".mpg", ".mpeg"}
# FFmpeg's demuxers that may open a file: others would read playlists, and so other files and addresses.
_DEMUXERS = "mov,matroska,avi,mpegts,mpeg,flv,ogg,asf,h264,hevc,m4v,ivf,mxf"
# Files that say times in milliseconds are this far off at most; frames lie further apart.
_TIME_TOLERANCE_S = 0.001
# Seconds from which on entering at a key frame is worth it.
_SEEK_FROM_S = 5.0
_NUMBER = re.compile(r"(\d+)$")


def pictures(media: Path, wanted: Sequence[Wanted]) -> Iterator[Found]:
    """Each wanted picture by its ``id``, or why there is none."""
    if media.is_file():
        yield from _of_video(media, wanted)
        return
    folder = _Folder(media)
    of_video: dict[Path, list[Wanted]] = {}
    several = len({item["recording"] for item in wanted}) > 1
    for item in wanted:
        image = folder.image(item)
        video = None if isinstance(image, Path) else folder.video(item, several=several)
        if isinstance(image, Path):
            yield item["id"], _read(image)
        elif video is not None:
            of_video.setdefault(video, []).append(item)
        else:
            yield item["id"], image
    for video, items in of_video.items():
        yield from _of_video(video, items)


class _Folder:
    """The images and videos in a folder and those below it."""

    def __init__(self, root: Path) -> None:
        self.by_name: dict[str, list[Path]] = {}
        self.by_stem: dict[str, list[Path]] = {}
        self.by_number: dict[int, list[Path]] = {}
        self.videos: list[Path] = []
        for place, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                file = Path(place) / name
                kind = file.suffix.lower()
                if kind in _VIDEOS:
                    self.videos.append(file)
                elif kind in _IMAGES:
                    self.by_name.setdefault(name, []).append(file)
                    self.by_stem.setdefault(file.stem, []).append(file)
                    number = _NUMBER.search(file.stem)
                    if number:
                        self.by_number.setdefault(int(number[1]), []).append(file)

    def image(self, item: Wanted) -> Path | str:
        """The file of a picture, or why there is none."""
        name = item["image"]
        if name:
            # A frame of a video may be named "video.mp4#000061".
            path = PurePosixPath(name.replace("\\", "/"))
            found = self.by_name.get(path.name) or self.by_stem.get(path.name) or self.by_stem.get(path.stem) or []
            what = f"no image {path.name} is in the folder"
        else:
            path = PurePosixPath()
            found = self.by_number.get(item["number"], []) if item["number"] is not None else []
            what = f"no image with the number {item['number']} is in the folder"
        chosen = _one_of(found, path, item["recording"])
        if chosen is not None:
            return chosen
        return f"{len(found)} images in the folder fit its name" if found else what

    def video(self, item: Wanted, *, several: bool) -> Path | None:
        """The video of a picture's recording; the only one there is, if there is only one recording."""
        names = {PurePosixPath(text).stem for text in (item["recording"], item["image"].partition("#")[0]) if text}
        fitting = [video for video in self.videos if video.stem in names]
        if not fitting and not several:
            fitting = self.videos
        return fitting[0] if len(fitting) == 1 else None


def _one_of(found: Sequence[Path], path: PurePosixPath, recording: str) -> Path | None:
    """The file that the name's folders, or else the recording's, tell from the others."""
    if len(found) == 1:
        return found[0]
    parents = path.parts[:-1]
    by_folder = [file for file in found if parents and file.parts[-len(parents) - 1 : -1] == parents]
    if len(by_folder) == 1:
        return by_folder[0]
    stem = PurePosixPath(recording).stem if recording else ""
    of_recording = [file for file in found if stem and stem in file.parts[:-1]]
    return of_recording[0] if len(of_recording) == 1 else None


def _read(file: Path) -> Image | str:
    try:
        data = np.fromfile(file, dtype=np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
    except (OSError, cv2.error, MemoryError) as error:
        return f"{file.name} cannot be read: {str(error).splitlines()[0]}"
    return f"{file.name} is no image that can be read" if image is None else np.asarray(image, np.uint8)


def _of_video(video: Path, wanted: Iterable[Wanted]) -> Iterator[Found]:
    timed, numbered = [], []
    for item in wanted:
        if item["time_s"] is not None:
            timed.append(item)
        elif item["frame"] is not None:
            numbered.append(item)
        else:
            yield item["id"], "the truth says neither its time nor its frame"
    try:
        yield from _by_time(video, sorted(timed, key=lambda item: item["time_s"]))
        yield from _by_number(video, sorted(numbered, key=lambda item: item["frame"]))
    except (av.FFmpegError, OSError, ValueError) as error:
        # Those that were given are kept: whoever asks takes the first answer.
        for item in (*timed, *numbered):
            yield item["id"], f"{video.name} cannot be decoded: {error}"


def _open(video: Path) -> InputContainer:
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
    # An absolute path: FFmpeg would take "concat:..." for a protocol.
    container = av.open(str(video.resolve()), container_options=options, metadata_errors="ignore")
    if not container.streams.video:
        container.close()
        raise ValueError("it has no picture")
    stream = container.streams.video[0]
    stream.thread_type, stream.codec_context.thread_count = "AUTO", 2
    return container


class _PassedError(Exception):
    """Seeking led behind what was wanted, as it does in files whose index is wrong."""


def _by_time(video: Path, wanted: Sequence[Wanted]) -> Iterator[Found]:
    """By ``pts * time_base``, in rising order. Several may be of one frame."""
    waiting = wanted
    while waiting:
        given = 0
        # From a key frame before it; if that does not lead there, from the start.
        for seek in (True, False) if waiting[0]["time_s"] > _SEEK_FROM_S else (False,):
            try:
                for item, image in _decoded_by_time(video, waiting, seek=seek):
                    given += 1
                    yield item["id"], image
            except _PassedError:
                continue
            break
        waiting = waiting[given:]


def _decoded_by_time(video: Path, wanted: Sequence[Wanted], *, seek: bool) -> Iterator[tuple[Wanted, Image | str]]:  # noqa: C901 - two positions that go on together, the frame's and the question's
    """Decode on from the first that is wanted to one from which on seeking is quicker; at least one is answered."""
    due, entered = 0, False
    with _open(video) as container:
        stream = container.streams.video[0]
        if stream.time_base is None:
            raise ValueError("it has no times")
        if seek:
            container.seek(int(wanted[0]["time_s"] / stream.time_base), stream=stream, backward=True)
        for frame in container.decode(stream):
            if frame.pts is None:
                continue
            now = float(frame.pts * stream.time_base)
            if seek and not entered and now > wanted[0]["time_s"] + _TIME_TOLERANCE_S:
                raise _PassedError
            entered = True
            while due < len(wanted) and wanted[due]["time_s"] < now - _TIME_TOLERANCE_S:
                yield wanted[due], _no_time(video, wanted[due])
                due += 1
            image = None
            while due < len(wanted) and abs(wanted[due]["time_s"] - now) <= _TIME_TOLERANCE_S:
                if image is None:
                    image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                yield wanted[due], image
                due += 1
            if due == len(wanted) or (due and wanted[due]["time_s"] - now > _SEEK_FROM_S):
                return
        for item in wanted[due:]:
            yield item, _no_time(video, item)


def _no_time(video: Path, item: Wanted) -> str:
    return f"{video.name} has no frame at {item['time_s']:.6f} s"


def _by_number(video: Path, wanted: Sequence[Wanted]) -> Iterator[Found]:
    """By the place in presentation order, from 0, which only decoding from the start tells for every codec."""
    if not wanted:
        return
    due, count = 0, 0
    with _open(video) as container:
        for frame in container.decode(container.streams.video[0]):
            image = None
            while due < len(wanted) and wanted[due]["frame"] == count:
                if image is None:
                    image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                yield wanted[due]["id"], image
                due += 1
            count += 1
            if due == len(wanted):
                return
    for item in wanted[due:]:
        yield item["id"], f"{video.name} has {count} frames, and none with the number {item['frame']} (from 0)"
