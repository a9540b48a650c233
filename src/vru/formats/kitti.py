"""KITTI labels: ``type truncated occluded alpha left top right bottom h w l x y z ry [score]``, one file a picture; the
tracking benchmark puts ``frame track`` before, one file a sequence. Frames from 0.

Source: the object and tracking development kits of the KITTI Vision Benchmark Suite.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from vru.domain import VruClass
from vru.formats.annotations import (
    UNKNOWN,
    Annotations,
    Boxes,
    BoxRow,
    FormatError,
    Key,
    Picture,
    check_box,
    check_score,
    integer,
    number,
    whole,
)
from vru.formats.limits import check_frame, check_pictures
from vru.formats.lines import line, lines
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import TextFile, is_number, read_many

CLASSES = ("Pedestrian", "Person_sitting", "Cyclist", "Car", "Van", "Truck", "Tram", "Misc", "DontCare")
# The tracking benchmark's name of it. In other spelling, a "person" of another tool's classes stands as often as not.
_TRACKING_ALIASES = {"Person": "Person_sitting"}
# The road users that KITTI does not know but its format can hold.
_OTHERS = tuple(str(road_user) for road_user in VruClass if road_user not in ("pedestrian", "cyclist"))
_COLUMNS = "A line is: type truncated occluded alpha left top right bottom h w l x y z ry (docs/formats.md)."


def _empty(pictures: list[Picture], sequences: list[str], files: Sequence[TextFile], tracking: bool) -> Annotations:
    def describe(boxes: Boxes, position: int) -> str:
        picture = pictures[boxes.picture[position]]
        file = files[picture.sequence if tracking else boxes.picture[position]]
        return line(boxes.place[position], file.name)

    labels = [*CLASSES, *_OTHERS]
    keys: dict[Key, int] = {name: position for position, name in enumerate(labels)}
    keys |= {position + 1: position for position in range(len(labels))}
    return Annotations("kitti-tracking" if tracking else "kitti", labels, keys, pictures, sequences, Boxes(describe))


def read_kitti(files: Sequence[TextFile], frames: int | None = None) -> Annotations:
    """Read ground truth, one file a picture. ``frames`` adds the pictures without a file: numbers 0 to ``frames`` - 1.

    Raises:
        FormatError: a line is none; the message names file and line.
    """
    pictures = [
        Picture(file.stem, f"picture {file.stem}", place, whole(file.stem), name=file.stem)
        for place, file in enumerate(files)
    ]
    annotations = _empty(pictures, [file.stem for file in files], files, tracking=False)
    annotations.declared = False
    for position, file in enumerate(files):
        for count, text in lines(file.stream, file.name):
            row = _row(text.split(), position, annotations, line(count, file.name), truth=True)
            annotations.boxes.add(row, count)
    known = {picture.frame_index for picture in pictures}
    if frames is not None:
        if any(index is None or index >= frames for index in known):
            raise FormatError(f"There are files beyond the {frames} frames.", "Is it the truth of another video?")
        width = max((len(file.stem) for file in files), default=6)
        for index in range(frames):
            if index not in known:
                key = f"{index:0{width}d}"
                pictures.append(Picture(key, f"picture {key}", len(annotations.sequences), index, name=key))
                annotations.sequences.append(key)
    return annotations


def read_kitti_tracking(files: Sequence[TextFile], frames: int | None = None) -> Annotations:
    """Read ground truth with tracks, one file a sequence.

    Raises:
        FormatError: a line is none; the message names file and line.
    """
    pictures: list[Picture] = []
    annotations = _empty(pictures, [file.stem for file in files], files, tracking=True)
    for position, file in enumerate(files):
        first, count_of = len(pictures), 0
        for count, text in lines(file.stream, file.name):
            where = line(count, file.name)
            columns = text.split()
            frame, track = _frame_and_track(columns, where)
            row = _row(columns[2:], first + frame, annotations, where, truth=True, tracking=True)
            annotations.boxes.add(row._replace(track=None if track < 0 else track), count)
            count_of = max(count_of, frame + 1)
        if frames is not None and count_of > frames:
            raise FormatError(f"{file.name} goes on beyond the {frames} frames.", "Is it of another video?")
        check_pictures(first + (frames or count_of), file.name)
        pictures += [Picture(frame, f"frame {frame}", position, frame) for frame in range(frames or count_of)]
    return annotations


def _frame_and_track(columns: list[str], where: str) -> tuple[int, int]:
    if len(columns) < 2:
        raise FormatError(f"{where} has {len(columns)} columns.", "A line is: frame track type ... (docs/formats.md).")
    frame, track = integer(columns[0], f"{where}: the frame"), integer(columns[1], f"{where}: the track")
    return check_frame(frame, where), track


def _row(
    columns: list[str], picture: int, truth_of: Annotations, where: str, *, truth: bool, tracking: bool = False
) -> BoxRow:
    wanted = 15 if truth else 16
    if len(columns) < wanted:
        raise FormatError(f"{where} has {len(columns)} columns of a label, not {wanted}.", _COLUMNS)
    name = _TRACKING_ALIASES.get(columns[0], columns[0]) if tracking else columns[0]
    if name.lower() == "person":
        raise FormatError(
            f"{where}: KITTI knows no {name!r}: is it a Pedestrian, or a Person_sitting?", "Rename the class."
        )
    label = truth_of.label_of(name, where)
    truncation = number(columns[1], f"{where}: truncated")
    level = integer(columns[2], f"{where}: occluded")
    if level not in (-1, 0, 1, 2, 3):
        raise FormatError(f"{where}: occluded is {level}, not -1 to 3.", _COLUMNS)
    left, top, right, bottom = (number(columns[at], f"{where}: column {at + 1}") for at in range(4, 8))
    check_box(left, top, right - left, bottom - top, where)
    return BoxRow(
        picture,
        label,
        left,
        top,
        right - left,
        bottom - top,
        score=UNKNOWN if truth else check_score(number(columns[15], f"{where}: the score"), where),
        # The object benchmark gives a share, the tracking benchmark 0, 1 or 2; -1 says nothing.
        truncation=truncation if 0 <= truncation <= 1 else UNKNOWN if truncation < 0 else 1.0,
        level=level,
        occluded=level > 0,
        truncated=truncation > 0,
        crowd=truth and name == "DontCare",
        # z in the camera's coordinates: metres along its axis; -1000 says nothing.
        distance=_distance(columns[13], where) if truth else UNKNOWN,
    )


def _distance(text: str, where: str) -> float:
    distance = number(text, f"{where}: z")
    return distance if distance > 0 else UNKNOWN


def read_kitti_results(files: Sequence[TextFile], truth: Annotations, *, tracking: bool) -> Boxes:
    """Read detections: labels with a score as the last column, about the pictures or sequences of the truth.

    Raises:
        FormatError: a line is none, or about a picture that the truth does not have; it names file and line.
    """
    sources: list[int] = []
    boxes = Boxes(lambda boxes, position: line(boxes.place[position], files[sources[position]].name))
    by_key = truth.by_key()
    by_frame = {(item.sequence, item.frame_index): position for position, item in enumerate(truth.pictures)}
    for source, file in enumerate(files):
        owner = 0 if len(files) == len(truth.sequences) == 1 else None
        if tracking and owner is None:
            if file.stem not in truth.sequences:
                raise _not_there(file.name, f"sequence {file.stem}")
            owner = truth.sequences.index(file.stem)
        for count, text in lines(file.stream, file.name):
            where = line(count, file.name)
            columns = text.split()
            track = None
            if tracking:
                frame, track = _frame_and_track(columns, where)
                columns = columns[2:]
                picture = by_frame.get((owner or 0, frame))
            else:
                picture = by_key.get(file.stem)
            if picture is None:
                raise _not_there(where, f"frame {frame}" if tracking else f"picture {file.stem}")
            row = _row(columns, picture, truth, where, truth=False, tracking=tracking)
            boxes.add(row._replace(track=None if track is None or track < 0 else track), count)
            sources.append(source)
        if not tracking and file.stem not in by_key:
            raise _not_there(file.name, f"picture {file.stem}")
    return boxes


def _not_there(where: str, what: str) -> FormatError:
    return FormatError(
        f"{where} is about {what}, which the truth does not have.",
        "Are these the detections of another video? If nobody is there, say how many frames there are: --frames.",
    )


def write_kitti_tracking(annotations: Annotations, out: TextIO, sequence: int = 0) -> None:
    """Write one sequence's tracks in the form of the tracking benchmark. What is not known is -1, -10 or -1000.

    Raises:
        FormatError: a box has no track, or a picture is no frame.
    """
    names = {name.lower(): name for name in CLASSES}
    for position, row in enumerate(annotations.boxes.rows()):
        picture = annotations.pictures[row.picture]
        if picture.sequence != sequence:
            continue
        where = annotations.boxes.where(position)
        if row.track is None and not row.crowd:
            raise FormatError(f"{where} has no track.", "KITTI's tracking labels hold tracks.")
        if picture.frame_index is None:
            raise FormatError(f"{picture.where} is no frame of a video.", "KITTI's tracking labels need frames.")
        label = annotations.labels[row.label]
        label = "DontCare" if row.crowd or row.ignore else names.get(label.lower(), label.replace(" ", "_"))
        level = row.level if row.level >= 0 else int(row.occluded)
        truncation = row.truncation if row.truncation == row.truncation else float(row.truncated)
        out.write(
            f"{picture.frame_index} {-1 if row.track is None else row.track} {label} {truncation:g} {level} -10 "
            f"{row.x!r} {row.y!r} {row.x + row.width!r} {row.y + row.height!r} -1 -1 -1 -1000 -1000 -1000 -10\n"
        )


def _columns_of(opening: Opening) -> list[str]:
    return [] if "," in opening.first_line else opening.first_line.split()


def _is_kitti(opening: Opening) -> bool:
    columns = _columns_of(opening)
    return len(columns) >= 15 and not is_number(columns[0])


def _is_tracking(opening: Opening) -> bool:
    columns = _columns_of(opening)
    return len(columns) >= 17 and is_number(columns[0]) and not is_number(columns[2])


def _truth(path: Path, asked: Asked) -> Annotations:
    return read_many(path, lambda files: read_kitti(files, asked.frames))


def _tracking_truth(path: Path, asked: Asked) -> Annotations:
    return read_many(path, lambda files: read_kitti_tracking(files, asked.frames))


def _results(path: Path, truth: Annotations) -> Boxes:
    return read_many(path, lambda files: read_kitti_results(files, truth, tracking=False))


def _tracking_results(path: Path, truth: Annotations) -> Boxes:
    return read_many(path, lambda files: read_kitti_results(files, truth, tracking=True))


KITTI = Format(_is_kitti, _truth, _results)
TRACKING = Format(_is_tracking, _tracking_truth, _tracking_results)
