"""YOLO labels: ``class x_centre y_centre width height [confidence [track]]``, or ``class x1 y1 x2 y2 ...``, one file a
picture, as shares of its size.
"""

from collections.abc import Sequence

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
from vru.formats.lines import line, lines
from vru.formats.text_files import TextFile

_COLUMNS = "A line is: class x_centre y_centre width height, shares of the picture's size (docs/formats.md)."
_ENCLOSED = "{} of {} lines are polygons or turned boxes, and were read as the upright box around each."
# class, box, confidence and id: what tracking writes. A triangle with its class would be as long, and is nobody's box.
_WITH_TRACK = 7


def read_yolo(
    files: Sequence[TextFile],
    names: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
    *,
    keypoints: bool = False,
) -> Annotations:
    """Read ground truth. ``names`` are the classes in the order of their numbers; without them the numbers serve.

    Without the pictures' ``size`` (width and height in pixels) boxes stay shares: overlaps are the same, but nothing
    can be said about sizes in pixels. Lines of polygons, and of turned boxes, which are four points, are read as the
    box around them; with ``keypoints`` what follows the box is left out.

    Raises:
        FormatError: a line is none; the message names file and line.
    """
    width, height = size or (1, 1)
    boxes = Boxes(lambda boxes, position: line(boxes.place[position], files[boxes.picture[position]].name))
    labels = list(names or [])
    pictures = [
        Picture(
            file.stem,
            f"picture {file.stem}",
            position,
            whole(file.stem),
            None,
            width,
            height,
            name=file.stem,
        )
        for position, file in enumerate(files)
    ]
    enclosed = 0
    for position, file in enumerate(files):
        for count, text in lines(file.stream, file.name):
            columns, where = text.split(), line(count, file.name)
            columns = columns[:5] if keypoints and len(columns) > 5 else columns
            if len(columns) < 5 or len(columns) % 2 == 0:
                raise FormatError(f"{where} has {len(columns)} columns, not 5.", _COLUMNS)
            enclosed += len(columns) > 5
            label = integer(columns[0], f"{where}: the class")
            if names is None:
                while len(labels) <= label < 10_000:
                    labels.append(str(len(labels)))
            if not 0 <= label < len(labels):
                raise FormatError(f"{where}: unknown class {label}.", f"There are {len(labels)} names of classes.")
            boxes.add(_row(columns[1:], position, label, (width, height), where), count)
    keys: dict[Key, int] = dict(enumerate(range(len(labels))))
    keys |= {name: position for position, name in enumerate(labels)}
    sequences = [file.stem for file in files]
    annotations = Annotations("yolo", labels, keys, pictures, sequences, boxes, normalised=size is None, declared=False)
    if enclosed:
        annotations.notes.append(_ENCLOSED.format(enclosed, len(boxes)))
    if keypoints:
        annotations.notes.append("Keypoints were left out.")
    return annotations


def _row(
    columns: list[str], picture: int, label: int, size: tuple[float, float], where: str, score: float = UNKNOWN
) -> BoxRow:
    """A box from its centre and size, or from points."""
    values = [number(column, f"{where}: column {at}") for at, column in enumerate(columns, start=2)]
    if len(values) == 4:
        x, y, width, height = values
        left, top = x - width / 2, y - height / 2
    else:
        left, top = min(values[::2]), min(values[1::2])
        width, height = max(values[::2]) - left, max(values[1::2]) - top
    check_box(left, top, width, height, where)
    return BoxRow(picture, label, left * size[0], top * size[1], width * size[0], height * size[1], score=score)


def read_yolo_results(files: Sequence[TextFile], truth: Annotations, names: Sequence[str] | None = None) -> Boxes:
    """Read detections about the pictures of the truth, whose size must be known (or none be): six columns, or points
    with the confidence behind. A seventh column is a track's id. All are equally sure where no line has a confidence.

    ``names`` are the detector's own classes in the order of their numbers: those of the truth are found by name.
    Without them the numbers are taken to be the truth's.

    Raises:
        FormatError: a line is none, or about a picture that the truth does not have; it names file and line.
    """
    sources: list[int] = []
    boxes = Boxes(lambda boxes, position: line(boxes.place[position], files[sources[position]].name))
    by_key = truth.by_key()
    with_score = enclosed = 0
    if names is None and files:
        boxes.notes.append("The detections do not name their classes: their numbers are taken to be the truth's.")
    for source, file in enumerate(files):
        if file.stem not in by_key:
            raise FormatError(
                f"{file.name} is about picture {file.stem}, which the truth does not have.",
                "Are these the detections of another video?",
            )
        picture = by_key[file.stem]
        width, height = truth.pictures[picture].width, truth.pictures[picture].height
        if width is None or height is None:
            raise FormatError(
                f"{file.name}: the truth does not say how large picture {file.stem} is.",
                "Give the detections as COCO results.",
            )
        for count, text in lines(file.stream, file.name):
            columns, where = text.split(), line(count, file.name)
            if len(columns) < 5:
                raise FormatError(f"{where} has {len(columns)} columns, not 6.", f"{_COLUMNS} Then the confidence.")
            label = _label(integer(columns[0], f"{where}: the class"), names, truth, where)
            track = columns.pop() if len(columns) == _WITH_TRACK else None
            sure = len(columns) % 2 == 0
            with_score += sure
            enclosed += len(columns) > 6
            score = check_score(number(columns.pop(), f"{where}: the confidence"), where) if sure else 1.0
            row = _row(columns[1:], picture, label, (width, height), where, score)
            boxes.add(row if track is None else row._replace(track=integer(track, f"{where}: the track")), count)
            sources.append(source)
            if with_score not in (0, len(boxes)):
                raise FormatError(f"{where}: some lines have a confidence, others none.", "Write it on every line.")
    if len(boxes) and not with_score:
        boxes.notes.append(
            "The detections have no confidence: all are taken as equally sure, so average precision says little "
            "(Ultralytics writes it with save_conf=True)."
        )
    if enclosed:
        boxes.notes.append(_ENCLOSED.format(enclosed, len(boxes)))
    return boxes


def _label(number_of: int, names: Sequence[str] | None, truth: Annotations, where: str) -> int:
    if names is None:
        return truth.label_of(number_of, where)
    if not 0 <= number_of < len(names):
        raise FormatError(f"{where}: unknown class {number_of}.", f"There are {len(names)} names of classes.")
    return truth.label_of(names[number_of], where)
