"""MOT Challenge text: one line a box, ``frame,id,left,top,width,height,...``, frames from 1.

Truth of 2D MOT 2015 goes on ``flag,x,y,z`` (ten columns, one class), truth of MOT16 and later
``flag,class,visibility`` (nine columns). A flag of 0 says that the box does not count. Trackers write
``confidence,-1,-1,-1``. Boxes may reach out of the picture. Source: Milan et al., MOT16: A Benchmark for Multi-Object
Tracking, 2016, section 3.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, TextIO

from vru.formats.annotations import (
    UNKNOWN,
    Annotations,
    Boxes,
    BoxRow,
    FormatError,
    Picture,
    Video,
    check_box,
    check_score,
    integer,
    number,
)
from vru.formats.limits import check_count, check_frame, check_pictures
from vru.formats.lines import line, lines

CLASSES = (
    "pedestrian", "person_on_vehicle", "car", "bicycle", "motorbike", "non_mot_vehicle", "static_person", "distractor",
    "occluder", "occluder_on_the_ground", "occluder_full", "reflection", "crowd",
)  # fmt: skip
_COLUMNS = "A line is: frame,id,left,top,width,height,... (docs/formats.md)."


@dataclass(frozen=True, slots=True)
class MotSequence:
    """One sequence: its name, its text, what its ``seqinfo.ini`` says (None where there is none), and the names of the
    classes in the order of their numbers, from ``labels.txt`` beside the truth.
    """

    name: str
    stream: BinaryIO
    file: str = ""
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    labels: tuple[str, ...] = ()


def read_mot(sequences: Sequence[MotSequence]) -> Annotations:
    """Read ground truth of one or more sequences.

    Raises:
        FormatError: a line is none; the message names it.
    """
    files = [sequence.file for sequence in sequences]
    boxes = Boxes(
        lambda boxes, position: line(boxes.place[position], files[pictures[boxes.picture[position]].sequence])
    )
    pictures: list[Picture] = []
    names = list(dict.fromkeys(name for sequence in sequences for name in sequence.labels or CLASSES))
    notes = []
    for position, sequence in enumerate(sequences):
        first = len(pictures)
        classes = sequence.labels or CLASSES
        rows = [
            _truth_row(count, text, sequence.file, len(classes))
            for count, text in lines(sequence.stream, sequence.file)
        ]
        if not rows:
            raise FormatError(f"{sequence.file or 'The file'} has no line.", _COLUMNS)
        start = min(1, min(frame for _, frame, _ in rows))
        if start == 0:
            notes.append(f"{sequence.file or sequence.name} counts its frames from 0, MOT Challenge from 1.")
        frames = max(frame for _, frame, _ in rows) + 1 - start if sequence.frames is None else sequence.frames
        check_pictures(first + check_count(frames, sequence.file or "The sequence"), sequence.file or "The sequence")
        for count, frame, row in rows:
            if frame - start >= frames:
                where = line(count, sequence.file)
                raise FormatError(f"{where} is about frame {frame}, but there are {frames}.", "See seqinfo.ini.")
            label = names.index(classes[row.label])
            boxes.add(row._replace(picture=first + frame - start, label=label), count)
        pictures += [
            Picture(frame + start, f"frame {frame + start}", position, frame, None, sequence.width, sequence.height)
            for frame in range(frames)
        ]
    videos = [Video(item.file or "The sequence", item.width, item.height, item.frames) for item in sequences]
    keys: dict[int | str, int] = {number: number - 1 for number in range(1, len(names) + 1)}
    folders = [item.name for item in sequences]
    return Annotations("mot", names, keys, pictures, folders, boxes, videos, amodal=True, notes=notes)


def _columns(text: str, where: str, least: int) -> list[str]:
    columns = text.replace(" ", "").rstrip(",").split(",") if "," in text else text.split()
    if len(columns) < least:
        raise FormatError(f"{where} has {len(columns)} columns, not {least} or more.", _COLUMNS)
    return columns


def _start(columns: list[str], where: str) -> tuple[int, int, tuple[float, float, float, float]]:
    frame, track = integer(columns[0], f"{where}: the frame"), integer(columns[1], f"{where}: the id")
    check_frame(frame, where)
    x, y, width, height = (number(column, f"{where}: column {3 + at}") for at, column in enumerate(columns[2:6]))
    check_box(x, y, width, height, where)
    return frame, track, (x, y, width, height)


def _truth_row(count: int, text: str, file: str, classes: int) -> tuple[int, int, BoxRow]:
    where = line(count, file)
    columns = _columns(text, where, 6)
    frame, track, box = _start(columns, where)
    flag = number(columns[6], f"{where}: the flag") if len(columns) > 6 else 1.0
    label, occlusion = 1, UNKNOWN
    if len(columns) in (8, 9):
        label = integer(columns[7], f"{where}: the class")
        label = 1 if label == -1 else label
        if not 1 <= label <= classes:
            raise FormatError(f"{where}: unknown class {label}.", f"The classes are 1 to {classes} (labels.txt).")
    if len(columns) == 9:
        visibility = number(columns[8], f"{where}: the visibility")
        if visibility != -1 and not 0 <= visibility <= 1:
            raise FormatError(f"{where}: the visibility is {visibility:g}, not a share from 0 to 1.", _COLUMNS)
        occlusion = UNKNOWN if visibility == -1 else 1 - visibility
    return count, frame, BoxRow(0, label - 1, *box, track, occlusion=occlusion, ignore=flag == 0)


def read_mot_results(sequences: Sequence[MotSequence], truth: Annotations) -> Boxes:
    """Read a tracker's (or a detector's, id -1) boxes about the sequences of the truth.

    Raises:
        FormatError: a line is none, or about a frame or a sequence that the truth does not have; it names the line.
    """
    files = [sequence.file for sequence in sequences]
    sources: list[int] = []
    boxes = Boxes(lambda boxes, position: line(boxes.place[position], files[sources[position]]))
    by_frame = _frames(truth)
    alone = len(sequences) == len(truth.sequences) == 1
    starts = {
        owner: int(truth.pictures[position].key)
        for (owner, index), position in by_frame.items()
        if index == 0 and truth.format == "mot"
    }
    for position, sequence in enumerate(sequences):
        if not alone and sequence.name not in truth.sequences:
            raise FormatError(
                f"{sequence.file or sequence.name} is about sequence {sequence.name!r}, which the truth does not have.",
                f"The truth has: {', '.join(truth.sequences[:10])}.",
            )
        number_of = 0 if alone else truth.sequences.index(sequence.name)
        rows = [
            (count, *_found_row(count, text, sequence, truth)) for count, text in lines(sequence.stream, sequence.file)
        ]
        frames_of = [index for owner, index in by_frame if owner == number_of]
        begin, last = min(frames_of, default=0), max(frames_of, default=-1)
        between = 0
        start = _first_frame([row[1] for row in rows], starts.get(number_of, 1), last + 1, sequence, boxes.notes)
        labels = _labels_of([(row[0], row[-1]) for row in rows], sequence, truth, boxes.notes)
        for count, frame, track, box, score, own in rows:
            where = line(count, sequence.file)
            picture = by_frame.get((number_of, frame - start))
            if picture is None:
                if not begin <= frame - start <= last:
                    raise _beyond(where, frame, last + start)
                # The detector saw the whole video, the truth leaves out frames: those deleted, or all but each tenth.
                between += 1
                continue
            boxes.add(BoxRow(picture, labels[own], *box, None if track == -1 else track, score), count)
            sources.append(position)
        if between:
            file = sequence.file or sequence.name
            boxes.notes.append(f"{file}: {between} detections in frames that the truth leaves out were left out.")
    return boxes


def _beyond(where: str, frame: int, last: int) -> FormatError:
    return FormatError(
        f"{where} is about frame {frame}, but the truth's last frame is {last}.",
        "Is it of another video? If nobody is there after that frame, say how many frames there are: --frames, or "
        "seqinfo.ini beside the truth.",
    )


def _found_row(
    count: int, text: str, sequence: MotSequence, truth: Annotations
) -> tuple[int, int, tuple[float, float, float, float], float, int]:
    """Frame, id, box, confidence and class of a line, -1 for none."""
    where = line(count, sequence.file)
    columns = _columns(text, where, 6)
    frame, track, box = _start(columns, where)
    score = check_score(number(columns[6], f"{where}: the confidence"), where) if len(columns) > 6 else 1.0
    own = integer(columns[7], f"{where}: the class") if len(columns) in (8, 9) else -1
    return frame, track, box, score, own


def _labels_of(
    rows: Sequence[tuple[int, int]], sequence: MotSequence, truth: Annotations, notes: list[str]
) -> dict[int, int]:
    """The truth's label of each class number (-1: none) of the ``rows``, which are lines and numbers: by its name where
    the tracker's own ``labels.txt`` names it; otherwise the number is taken to be the truth's.
    """
    found: dict[int, int] = {}
    for count, own in rows:
        if own in found:
            continue
        where = line(count, sequence.file)
        if own < 0:
            found[own] = _only_label(truth, notes)
        elif sequence.labels:
            if not 1 <= own <= len(sequence.labels):
                raise FormatError(f"{where}: unknown class {own}.", f"labels.txt has 1 to {len(sequence.labels)}.")
            found[own] = truth.label_of(sequence.labels[own - 1], where)
        else:
            _note(notes, "The detections do not name their classes: their numbers are taken to be the truth's.")
            found[own] = truth.label_of(own, where)
    return found


def _note(notes: list[str], said: str) -> None:
    if said not in notes:
        notes.append(said)


def _first_frame(frames: list[int], truth_start: int, count: int, sequence: MotSequence, notes: list[str]) -> int:
    """From which number a tracker counts frames: as the truth does, unless its own frames say otherwise."""
    if not frames:
        return truth_start
    if min(frames) == 0 and truth_start == 1:
        notes.append(f"{sequence.file or sequence.name} counts its frames from 0, the truth from 1: it was moved.")
        return 0
    if truth_start == 0 and max(frames) == count:
        notes.append(f"{sequence.file or sequence.name} counts its frames from 1, the truth from 0: it was moved.")
        return 1
    return truth_start


def _frames(truth: Annotations) -> dict[tuple[int, int], int]:
    """Picture by sequence and frame."""
    found = {}
    for position, picture in enumerate(truth.pictures):
        if picture.frame_index is None:
            raise FormatError(
                f"{picture.where} of the truth has no frame number, so lines of MOT text find no image.",
                "Give the images frame_index, or the detections as COCO results.",
            )
        found[picture.sequence, picture.frame_index] = position
    return found


def _only_label(truth: Annotations, notes: list[str]) -> int:
    """A line without a class is of the truth's only one, or of its pedestrians."""
    names = [name.lower() for name in truth.labels]
    if truth.format == "mot" and "pedestrian" in names:
        if names != [name.lower() for name in CLASSES]:
            _note(notes, "The detections name no class: all are taken to be pedestrians.")
        return names.index("pedestrian")
    if len(truth.labels) != 1:
        raise FormatError(
            f"MOT text names no class, but the truth has {len(truth.labels)}: {', '.join(truth.labels[:10])}.",
            "Give the detections as COCO results.",
        )
    return 0


def write_mot(annotations: Annotations, out: TextIO, sequence: int = 0) -> None:
    """Write one sequence's tracks: frame, id, box, flag, class, visibility (nine columns).

    A class that MOT Challenge does not know is written by its place in the file's own list.

    Raises:
        FormatError: a box has no track, or a picture is no frame.
    """
    by_name = {name: position + 1 for position, name in enumerate(CLASSES)}
    for position, row in enumerate(annotations.boxes.rows()):
        picture = annotations.pictures[row.picture]
        if picture.sequence != sequence:
            continue
        where = annotations.boxes.where(position)
        if row.track is None:
            raise FormatError(f"{where} has no track.", "MOT text holds tracks.")
        if picture.frame_index is None:
            raise FormatError(f"{picture.where} is no frame of a video.", "MOT text needs frames.")
        label = annotations.labels[row.label].lower()
        if label not in by_name:
            raise FormatError(f"{where} is a {label}, which MOT Challenge does not know.", "Write COCO or CVAT.")
        visible = -1.0 if row.occlusion != row.occlusion else 1 - row.occlusion
        out.write(
            f"{picture.frame_index + 1},{row.track},{row.x!r},{row.y!r},{row.width!r},{row.height!r},"
            f"{int(not (row.ignore or row.crowd))},{by_name[label]},{visible:g}\n"
        )
