"""YOLO labels: ``class x_centre y_centre width height [confidence]``, one file a picture, as shares of its size."""

from collections.abc import Sequence

from vru.formats.annotations import (
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
)
from vru.formats.kitti import TextFile
from vru.formats.lines import line, lines

_COLUMNS = "A line is: class x_centre y_centre width height, shares of the picture's size (docs/formats.md)."
# Exporters round to six digits.
_ROUNDING = 1e-4


def read_yolo(
    files: Sequence[TextFile], names: Sequence[str] | None = None, size: tuple[int, int] | None = None
) -> Annotations:
    """Read ground truth. ``names`` are the classes in the order of their numbers; without them the numbers serve.

    Without the pictures' ``size`` (width and height in pixels) boxes stay shares: overlaps are the same, but nothing
    can be said about sizes in pixels.

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
            int(file.stem) if file.stem.isdecimal() else None,
            None,
            width,
            height,
            name=file.stem,
        )
        for position, file in enumerate(files)
    ]
    for position, file in enumerate(files):
        for count, text in lines(file.stream, file.name):
            columns, where = text.split(), line(count, file.name)
            if len(columns) != 5:
                raise FormatError(f"{where} has {len(columns)} columns, not 5.", _COLUMNS)
            label = integer(columns[0], f"{where}: the class")
            if names is None:
                while len(labels) <= label < 10_000:
                    labels.append(str(len(labels)))
            if not 0 <= label < len(labels):
                raise FormatError(f"{where}: unknown class {label}.", f"There are {len(labels)} names of classes.")
            boxes.add(_row(columns, position, label, (width, height), where, truth=True), count)
    keys: dict[Key, int] = dict(enumerate(range(len(labels))))
    keys |= {name: position for position, name in enumerate(labels)}
    sequences = [file.stem for file in files]
    return Annotations("yolo", labels, keys, pictures, sequences, boxes, normalised=size is None, declared=False)


def _row(columns: list[str], picture: int, label: int, size: tuple[float, float], where: str, *, truth: bool) -> BoxRow:
    x, y, width, height = (number(columns[at], f"{where}: column {at + 1}") for at in range(1, 5))
    check_box(x, y, width, height, where, truth=truth)
    left, top = x - width / 2, y - height / 2
    if truth and max(-left, -top, left + width - 1, top + height - 1) > _ROUNDING:
        raise FormatError(f"{where} reaches outside of the frame: {' '.join(columns[1:5])}.", "Shares go from 0 to 1.")
    score = check_score(number(columns[5], f"{where}: the confidence"), where) if not truth else float("nan")
    return BoxRow(
        picture, label, left * size[0], top * size[1], width * size[0], height * size[1], score=score
    )  # fmt: skip


def read_yolo_results(files: Sequence[TextFile], truth: Annotations, names: Sequence[str] | None = None) -> Boxes:
    """Read detections: six columns, about the pictures of the truth, whose size must be known (or none be).

    ``names`` are the detector's own classes in the order of their numbers: those of the truth are found by name.
    Without them the numbers are taken to be the truth's.

    Raises:
        FormatError: a line is none, or about a picture that the truth does not have; it names file and line.
    """
    sources: list[int] = []
    boxes = Boxes(lambda boxes, position: line(boxes.place[position], files[sources[position]].name))
    by_key = truth.by_key()
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
            if len(columns) != 6:
                raise FormatError(f"{where} has {len(columns)} columns, not 6.", f"{_COLUMNS} Then the confidence.")
            label = _label(integer(columns[0], f"{where}: the class"), names, truth, where)
            boxes.add(_row(columns, picture, label, (width, height), where, truth=False), count)
            sources.append(source)
    return boxes


def _label(number_of: int, names: Sequence[str] | None, truth: Annotations, where: str) -> int:
    if names is None:
        return truth.label_of(number_of, where)
    if not 0 <= number_of < len(names):
        raise FormatError(f"{where}: unknown class {number_of}.", f"There are {len(names)} names of classes.")
    return truth.label_of(names[number_of], where)
