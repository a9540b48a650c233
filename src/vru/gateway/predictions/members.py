"""One file of predictions, in the format that its content is in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from vru.domain import VruClass
from vru.formats.annotations import Annotations, Boxes, FormatError, Key, Picture
from vru.formats.coco_results import read_coco_results
from vru.formats.json_stream import pieces
from vru.formats.kitti import read_kitti_results
from vru.formats.mot import MotSequence, read_mot_results
from vru.formats.rules import leave_out_others
from vru.formats.text_files import TextFile, is_number, named
from vru.formats.yolo import read_yolo_results
from vru.gateway.predictions.names import Names
from vru.gateway.predictions.places import Place, Places, Wanted

_HEAD = 1 << 16
_YOLO_COLUMNS = (5, 6, 7)
_NO_CLASS = "class=pedestrian, for example, says what all boxes are of."


class Frame(NamedTuple):
    """A frame, counted from 0, of a recording."""

    recording: int
    frame: int


@dataclass(frozen=True)
class Read:
    """What a file holds: ``boxes``, whose pictures are ``places``; and the recordings that it is about."""

    boxes: Boxes
    places: Sequence[Frame]
    owners: frozenset[int]


@dataclass(frozen=True)
class Member:
    """A file: its path in the upload, and what opens it."""

    path: str
    open: Callable[[], BinaryIO]

    def kind(self) -> str | None:
        """Its format; None for a file that holds nothing.

        Raises:
            FormatError: it is in none that is read.
        """
        with self.open() as stream:
            head = stream.read(_HEAD).decode("utf-8-sig", "replace").lstrip()
        if not head:
            return None
        if head[0] in "[{":
            return "coco"
        first = head.partition("\n")[0].strip()
        columns = first.split()
        if "," in first:
            kind = "mot" if is_number(first.split(",")[0].strip()) else None
        elif not is_number(columns[0]):
            kind = "kitti" if len(columns) >= 15 else None
        elif len(columns) >= 17 and not is_number(columns[2]):
            kind = "kitti-tracking"
        else:
            kind = _of_numbers(columns)
        if kind is None:
            raise FormatError(
                f"{self.path} holds no detections in a known format.", "COCO results, MOT, KITTI and YOLO are read."
            )
        return kind


def _of_numbers(columns: Sequence[str]) -> str | None:
    if not all(map(is_number, columns)) or len(columns) < _YOLO_COLUMNS[0]:
        return None
    # Lines of MOT text are numbers too, but their box is in pixels.
    shares = all(-0.1 <= float(column) <= 1.1 for column in columns[1:5])
    return "yolo" if shares or len(columns) in _YOLO_COLUMNS[:2] else "mot"


class _About(Annotations):
    """The pictures that predictions are about, in the place of a truth; names of classes are looked up in ``names``."""

    names: Names

    def label_of(self, name: Key, where: str) -> int:
        """See ``Names.label``."""
        return self.names.label(name, where)


def _about(pictures: list[Picture], sequences: list[str], names: Names) -> _About:
    about = _About("predictions", list(VruClass), {}, pictures, sequences, Boxes(lambda *_: ""))
    about.names = names
    return about


def read_sequence(member: Member, kind: str, owner: int, wanted: Wanted, names: Names, first_frame: int | None) -> Read:
    """A file about one recording: MOT text, or KITTI's tracking labels.

    Raises:
        FormatError: a line is none, or about a frame that the recording does not have.
    """
    frames = [Frame(owner, frame) for frame in range(wanted.frames)]
    size = wanted.width, wanted.height
    with member.open() as stream:
        if kind == "mot":
            # The first picture's key is the number from which frames count.
            start = 1 if first_frame is None else first_frame
            pictures = [Picture(place + start, f"frame {place + start}", 0, place, None, *size) for _, place in frames]
            boxes = _mot(member, stream, pictures, names)
        else:
            start = first_frame or 0
            pictures = [
                Picture(place + start, f"frame {place + start}", 0, place + start, None, *size) for _, place in frames
            ]
            about = _about(pictures, [wanted.name], names)
            boxes = read_kitti_results([TextFile(wanted.name, stream, member.path)], about, tracking=True)
    return Read(leave_out_others(boxes), frames, frozenset((owner,)))


def _mot(member: Member, stream: BinaryIO, pictures: list[Picture], names: Names) -> Boxes:
    first = _first_line(member)
    with_class = len(first.rstrip(",").split(",") if "," in first else first.split()) in (8, 9)
    if not with_class and names.only is None:
        raise FormatError(f"{member.path}: MOT text names no class.", _NO_CLASS)
    about = _about(pictures, ["sequence"], names)
    about.format = "mot"
    boxes = read_mot_results([MotSequence("sequence", stream, member.path)], about)
    if not with_class:
        boxes.label = type(boxes.label)("q", [names.only or 0] * len(boxes))
    return boxes


def _first_line(member: Member) -> str:
    with member.open() as stream:
        return stream.read(_HEAD).decode("utf-8-sig", "replace").lstrip().partition("\n")[0].strip()


def read_pictures(
    files: Sequence[tuple[Place, Member]],
    kind: str,
    owner: int,
    places: Places,
    names: Names,
    first_frame: int | None,
) -> Read:
    """The files about the pictures of one recording: YOLO, or KITTI's labels.

    Raises:
        FormatError: a line is none; the message names file and line.
    """
    wanted = places.recordings[owner]
    numbers = [place.number or 0 for place, _ in files]
    behind = any(place.behind for place, _ in files)
    # Ultralytics numbers the frames of a video from 1, folders of pictures begin at 0; a 0 settles it.
    usual = 1 if kind == "yolo" and behind and min(numbers) > 0 else 0
    start = usual if first_frame is None else first_frame
    pictures, frames, texts, seen = [], [], [], set[int]()
    for place, member in files:
        number = place.number or 0
        if number in seen:
            raise FormatError(f"{member.path} is a second file about frame {number}.", "Keep one.")
        seen.add(number)
        key = PurePosixPath(member.path).stem
        pictures.append(Picture(key, f"picture {key}", 0, number, None, wanted.width, wanted.height))
        frames.append(Frame(owner, number - start))
        texts.append(TextFile(key, member.open(), member.path))
    about = _about(pictures, [wanted.name], names)
    if kind == "yolo":
        boxes = read_yolo_results(texts, about, names.numbered)
        boxes.notes[:] = [note for note in boxes.notes if "their numbers are taken" not in note]
        if first_frame is None:
            boxes.notes.append(f"The frames in the files' names are taken to begin at {start}.")
    else:
        boxes = read_kitti_results(texts, about, tracking=False)
    return Read(leave_out_others(boxes), frames, frozenset((owner,)))


def read_coco(member: Member, places: Places, names: Names, first_frame: int | None) -> Read:
    """COCO results, or a whole COCO file of detections, about one recording or several.

    Images are found by their video and ``frame_index``, or by their names; ids are frames where there are no images.

    Raises:
        FormatError: it is no such file, or an image is not found; the message names the place.
    """
    with named_member(member):
        images = _images(member, places, first_frame or 0)
        pictures = [Picture(key, f"image {key}", 0, place) for place, key in enumerate(images)]
        about = _about(pictures, ["images"], names)
        with member.open() as stream:
            boxes = read_coco_results(stream, about)
        boxes.notes[:] = [note for note in boxes.notes if "joined by id" not in note]
    frames = list(images.values())
    return Read(leave_out_others(boxes), frames, frozenset(frame.recording for frame in frames))


def named_member(member: Member) -> Any:
    """Puts the file's path before what is wrong with it."""
    return named(PurePosixPath(member.path))  # type: ignore[arg-type] # only its text is used


def _images(member: Member, places: Places, start: int) -> dict[Key, Frame]:
    """Which frame each image is, by its id."""
    images: dict[Key, dict[str, Any]] = {}
    videos: dict[Key, str] = {}
    ids: dict[Key, None] = {}
    with member.open() as stream:
        for key, position, value in pieces(stream):
            if position is None or position < 0 or not isinstance(value, dict):
                continue
            if key == "images" and isinstance(value.get("id"), Key):
                images[value["id"]] = value
            elif key == "videos" and isinstance(value.get("id"), Key):
                videos[value["id"]] = str(value.get("name") or value.get("file_name") or "")
            elif key in ("", "annotations") and isinstance(value.get("image_id"), Key):
                ids[value["image_id"]] = None
    if images:
        return {key: _image(key, value, videos, member, places, start) for key, value in images.items()}
    return {key: _id(key, member, places, start) for key in ids}


def _image(
    key: Key, value: dict[str, Any], videos: dict[Key, str], member: Member, places: Places, start: int
) -> Frame:
    where = f"{member.path}: image {key}"
    name = str(value.get("file_name") or "")
    own = value.get("video") or value.get("video_name") or videos.get(value.get("video_id", ""), "")
    picture = places.picture(name) if name else None
    owner = places.recording(str(own)) if own else None
    if owner is None:
        owner = picture.recording if picture else places.recording(member.path)
    if owner is None:
        raise places.unknown(where)
    frame = value.get("frame_index", value.get("frame_id"))
    if isinstance(frame, int) and not isinstance(frame, bool):
        return Frame(owner, frame)
    if picture is None or picture.number is None:
        raise FormatError(f"{where} has neither frame_index nor a number in its name.", "Give it frame_index, from 0.")
    return Frame(owner, picture.number - start)


def _id(key: Key, member: Member, places: Places, start: int) -> Frame:
    where = f"{member.path}: image_id {key}"
    if isinstance(key, str) and not key.isdecimal():
        picture = places.picture(f"{key}.jpg" if "." not in key.rpartition("/")[2] else key)
        if picture is None or picture.number is None:
            raise places.unknown(where)
        return Frame(picture.recording, picture.number - start)
    owner = places.recording(member.path)
    if owner is None:
        raise places.unknown(where)
    return Frame(owner, int(key) - start)
