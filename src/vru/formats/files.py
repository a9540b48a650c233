"""From paths to annotations: which format a file or folder is in, how large it may be, and its reading."""

import configparser
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

import yaml

from vru.formats.annotations import Annotations, Boxes, FormatError, check_inside, no_duplicates
from vru.formats.coco import read_coco, read_coco_results
from vru.formats.cvat import read_cvat
from vru.formats.kitti import TextFile, read_kitti, read_kitti_results, read_kitti_tracking
from vru.formats.lines import lines
from vru.formats.mot import MotSequence, read_mot, read_mot_results
from vru.formats.names import FORMATS, LIMIT_BYTES
from vru.formats.recordings import group_recordings
from vru.formats.yolo import read_yolo, read_yolo_results

# Data sets count pixels from 0 or from 1, and round.
TOLERANCE_PX = 1.0
_WHAT_IS_READ = f"These are read: {', '.join(FORMATS)} (docs/formats.md)."
_NO_LABELS = {"classes.txt", "obj.txt", "labels.txt", "readme.txt", "train.txt", "val.txt", "test.txt"}
_Result = TypeVar("_Result")


def read_truth(
    path: Path,
    *,
    format_: str | None = None,
    limit_bytes: int = LIMIT_BYTES,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    independent_images: bool = False,
    sequence_from: str | None = None,
) -> Annotations:
    """Read ground truth from a file, or from a folder of files.

    ``format_`` is one of ``FORMATS``; without it the content decides. ``frames`` is how many frames there are, for
    formats that do not say it. ``size`` is the pictures' width and height in pixels, for YOLO. Which pictures belong to
    one recording: see ``group_recordings``.

    Raises:
        FormatError: it is not there, too large, empty, in no known format, or wrong; the message names file and place.
    """
    _check_size(path, limit_bytes)
    kind = format_ or _detect(path, truth=True)
    readers: dict[str, Callable[[], Annotations]] = {
        "coco": lambda: _coco_truth(path),
        "cvat": lambda: _single(path, read_cvat),
        "mot": lambda: _mot_truth(path, frames),
        "kitti": lambda: _many(path, lambda files: read_kitti(files, frames)),
        "kitti-tracking": lambda: _many(path, lambda files: read_kitti_tracking(files, frames)),
        "yolo": lambda: _many(path, lambda files: read_yolo(files, _names(path), size)),
    }
    annotations = readers[kind]()
    with _named(path):
        if not annotations.normalised:
            check_inside(annotations, TOLERANCE_PX)
        no_duplicates(annotations.boxes, annotations, "truth")
        declared = [video.frame_count for video in annotations.videos if video.frame_count is not None]
        if frames is not None and declared and declared != [frames]:
            raise FormatError(f"The file has {declared[0]} frames, not {frames}.", "Is it the truth of another video?")
        _check_frames(annotations)
        return group_recordings(annotations, independent=independent_images, pattern=sequence_from)


def read_predictions(
    path: Path,
    truth: Annotations,
    *,
    format_: str | None = None,
    limit_bytes: int = LIMIT_BYTES,
    missing_sequences: str = "fail",
) -> Boxes:
    """Read detections about the pictures of ``truth`` from a file, or from a folder of files.

    A sequence without a file of detections is refused, or with ``missing_sequences`` "empty" taken as one in which
    nothing was found, which is noted.

    Raises:
        FormatError: it is not there, too large, empty, in no known format, wrong, or about other pictures; the message
            names file and place.
    """
    _check_size(path, limit_bytes)
    kind = format_ or _detect(path, truth=False)
    readers: dict[str, Callable[[], Boxes]] = {
        "coco": lambda: _coco_results(path, truth),
        "mot": lambda: _mot_results(path, truth),
        "kitti": lambda: _many(path, lambda files: read_kitti_results(files, truth, tracking=False)),
        "kitti-tracking": lambda: _many(path, lambda files: read_kitti_results(files, truth, tracking=True)),
        "yolo": lambda: _many(path, lambda files: read_yolo_results(files, truth, _names(path))),
    }
    if kind not in readers:
        raise FormatError(f"{path}: {kind} holds no detections.", f"Use one of: {', '.join(readers)}.")
    boxes = readers[kind]()
    with _named(path):
        no_duplicates(boxes, truth, "detections")
        if kind in ("mot", "kitti-tracking"):
            _check_sequences(path, truth, boxes, missing_sequences)
        if kind in ("yolo", "kitti"):
            _note_missing(path, truth, boxes)
        _check_scores(boxes)
    return boxes


def _check_sequences(path: Path, truth: Annotations, boxes: Boxes, missing: str) -> None:
    there = {file.stem for file in _label_files(path)}
    absent = [name for name in truth.sequences if name not in there] if len(truth.sequences) > 1 else []
    if not absent:
        return
    named = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
    if missing == "fail":
        raise FormatError(
            f"{len(absent)} of {len(truth.sequences)} sequences have no file of detections: {named}.",
            "Add the files; or say --missing-sequences empty, if nothing was found there.",
        )
    boxes.notes.append(f"{len(absent)} sequences have no file of detections, and count as all missed: {named}.")


def _note_missing(path: Path, truth: Annotations, boxes: Boxes) -> None:
    there = {file.stem for file in _label_files(path)}
    absent = sum(str(picture.key) not in there for picture in truth.pictures)
    if absent:
        boxes.notes.append(f"{absent} of {len(truth.pictures)} images have no file of detections: nothing was found.")


def _check_scores(boxes: Boxes) -> None:
    """A confidence of -1 everywhere stands for none: all detections are taken as equally sure."""
    if len(boxes) and all(score == -1 for score in boxes.score):
        for position in range(len(boxes)):
            boxes.score[position] = 1.0
        boxes.notes.append("The detections have no confidence (-1): all are taken as equally sure, with 1.")


def digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, over the relative path and the SHA-256 of each of its files, in order of path.

    Raises:
        FormatError: a file cannot be read.
    """
    try:
        if path.is_file():
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        lines = [
            f"{digest(file)}  {file.relative_to(path).as_posix()}\n"
            for file in sorted(item for item in path.rglob("*") if item.is_file())
        ]
    except OSError as error:
        raise FormatError(f"{error.filename} cannot be read: {error.strerror}.", "Check the path.") from error
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _check_frames(annotations: Annotations) -> None:
    """Refuse a video that lists a frame twice, or fewer frames than it says that it has."""
    frames: set[tuple[int, int]] = set()
    for picture in annotations.pictures:
        if picture.frame_index is None:
            continue
        if picture.frame_index < 0:
            raise FormatError(f"{picture.where} is about frame {picture.frame_index}.", "Frames are counted from 0.")
        frame = (picture.sequence, picture.frame_index)
        if frame in frames:
            raise FormatError(f"{picture.where} (frame {frame[1]}) is in the file twice.", "List each frame once.")
        frames.add(frame)
    for sequence, video in enumerate(annotations.videos):
        if video.frame_count is None or len(annotations.videos) != len(annotations.sequences):
            continue
        last = max((index for owner, index in frames if owner == sequence), default=-1)
        if last >= video.frame_count:
            raise FormatError(f"{video.where} has {video.frame_count} frames, but frame {last} is listed.", "")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except FormatError as error:
        raise FormatError(f"{path}: {error.message}", error.fix) from error


def _check_size(path: Path, limit: int) -> None:
    if not path.exists():
        raise FormatError(f"{path} does not exist.", "Check the path.")
    if path.is_dir():
        total = sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and file.suffix == ".txt")
    elif path.is_file():
        total = path.stat().st_size
        if total == 0:
            raise FormatError(f"{path} is empty.", _WHAT_IS_READ)
    else:
        raise FormatError(f"{path} is no file.", _WHAT_IS_READ)
    if total > limit:
        raise FormatError(
            f"{path} has {total / 1e6:.0f} MB, more than the {limit / 1e6:.0f} MB that are read.",
            "Split it, or raise --max-mb.",
        )


def _detect(path: Path, *, truth: bool) -> str:
    if path.is_dir():
        if truth and _sequence_folders(path):
            return "mot"
        for file in _label_files(path):
            kind = _text_format(_opening(file))
            if kind:
                return kind
        raise FormatError(f"{path} has no file of labels that says anything.", _WHAT_IS_READ)
    start = _opening(path)
    if start[:1] in ("{", "["):
        return "coco"
    if start[:1] == "<" and truth:
        return "cvat"
    kind = _text_format(start)
    if kind is None:
        what = "ground truth" if truth else "detections"
        raise FormatError(f"{path} is no file with {what} in a known format.", _WHAT_IS_READ)
    return kind


def _opening(path: Path) -> str:
    """The first line that is not blank, as far as it is needed."""
    with path.open("rb") as stream:
        head = io.BytesIO(stream.read(4096))
    text = head.getvalue().decode("utf-8-sig", errors="replace").lstrip()
    return text.partition("\n")[0]


def _text_format(first: str) -> str | None:
    """The format of a line of text, None if it is of none."""
    if "," in first:
        return "mot" if _is_number(first.split(",")[0].strip()) else None
    columns = first.split()
    if len(columns) >= 17 and _is_number(columns[0]) and not _is_number(columns[2]):
        return "kitti-tracking"
    if len(columns) >= 15 and not _is_number(columns[0]):
        return "kitti"
    if len(columns) in (5, 6) and all(map(_is_number, columns)):
        return "yolo"
    if 7 <= len(columns) <= 10 and all(map(_is_number, columns)):
        return "mot"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _single(path: Path, read: Callable[[BinaryIO], _Result]) -> _Result:
    if path.is_dir():
        raise FormatError(f"{path} is a folder.", "This format is a file.")
    with _named(path), path.open("rb") as stream:
        return read(stream)


def _coco_truth(path: Path) -> Annotations:
    """By the quick reader; what that does not take, the careful one does, or says what is wrong."""
    if path.is_file():
        from vru.formats.coco_columns import read_coco_columns

        with _named(path):
            found = read_coco_columns(path)
        if found is not None:
            return found
    return _single(path, read_coco)


def _coco_results(path: Path, truth: Annotations) -> Boxes:
    if path.is_file():
        from vru.formats.coco_columns import read_results_columns

        with _named(path):
            found = read_results_columns(path, truth)
        if found is not None:
            return found
    return _single(path, lambda stream: read_coco_results(stream, truth))


class _Lazy(io.RawIOBase):
    """A file that is opened when it is first read: a folder may hold more of them than can be open at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> bytes:
        if self._stream is None:
            self._stream = self._path.open("rb")
        data = self._stream.readline(-1 if size is None else size)
        if not data:
            self._stream.close()
            self._stream = io.BytesIO()
        return data


def _label_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.glob("*.txt") if file.name.lower() not in _NO_LABELS)


def _many(path: Path, read: Callable[[Sequence[TextFile]], _Result]) -> _Result:
    files = [TextFile(file.stem, _binary(file), str(file)) for file in _label_files(path)]
    if not files:
        raise FormatError(f"{path} has no .txt file.", _WHAT_IS_READ)
    return read(files)


def _binary(path: Path) -> BinaryIO:
    stream: BinaryIO = _Lazy(path)  # type: ignore[assignment]
    return stream


def _names(path: Path) -> list[str] | None:
    """A YOLO data set's names of classes, where a file beside the labels has them."""
    folder = path if path.is_dir() else path.parent
    for place in (folder, folder.parent, folder.parent.parent):
        for name in ("classes.txt", "obj.names"):
            if found := _text_lines(place / name):
                return found
        for name in ("data.yaml", "dataset.yaml"):
            if (place / name).is_file():
                return _yaml_names(place / name)
    return None


def _text_lines(path: Path) -> list[str]:
    """The lines of a file that are not blank; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open("rb") as stream:
        return [text for _, text in lines(stream, str(path))]


def _yaml_names(path: Path) -> list[str] | None:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: this is no YAML: {error}.", "Correct it.") from None
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict):
        names = [names.get(number) for number in range(len(names))]
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise FormatError(f"{path}: names is no list of names.", "names: [pedestrian, cyclist]")
    return names


def _sequence_folders(path: Path) -> list[Path]:
    """The truth files of a folder of MOT sequences."""
    found = []
    for folder in sorted(item for item in path.iterdir() if item.is_dir()):
        for truth in (folder / "gt" / "gt.txt", folder / "gt.txt"):
            if truth.is_file():
                found.append(truth)
                break
    if not found:
        own = [truth for truth in (path / "gt" / "gt.txt", path / "gt.txt") if truth.is_file()]
        return own[:1]
    return found


def _sequence_of(truth: Path) -> Path:
    """The folder of a sequence, from its truth file."""
    return truth.parent.parent if truth.parent.name == "gt" else truth.parent


def _mot_truth(path: Path, frames: int | None) -> Annotations:
    truths = _sequence_folders(path) if path.is_dir() else [path]
    truths = truths or _label_files(path)
    by_folder = path.is_file() or bool(_sequence_folders(path))
    with ExitStack() as stack:
        sequences = []
        for truth in truths:
            folder = _sequence_of(truth)
            name = folder.resolve().name if by_folder and truth.stem == "gt" else truth.stem
            info = _seqinfo(folder / "seqinfo.ini") if by_folder else {}
            stream = stack.enter_context(truth.open("rb"))
            length = info.get("seqlength") if frames is None else frames
            labels = tuple(_text_lines(truth.with_name("labels.txt")))
            size = info.get("imwidth"), info.get("imheight")
            sequences.append(MotSequence(name, stream, str(truth), length, *size, labels))
        return read_mot(sequences)


def _seqinfo(path: Path) -> dict[str, int]:
    """Length and size from a sequence's seqinfo.ini, as far as it says them."""
    if not path.is_file():
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        return {
            name: parser.getint("Sequence", name)
            for name in ("seqlength", "imwidth", "imheight")
            if parser.has_option("Sequence", name)
        }
    except (configparser.Error, ValueError) as error:
        raise FormatError(f"{path}: {str(error).splitlines()[0]}.", "It must have a section [Sequence].") from None


def _mot_results(path: Path, truth: Annotations) -> Boxes:
    with ExitStack() as stack:
        sequences = [
            MotSequence(file.stem, stack.enter_context(file.open("rb")), str(file)) for file in _label_files(path)
        ]
        if not sequences:
            raise FormatError(f"{path} has no .txt file.", _WHAT_IS_READ)
        return read_mot_results(sequences, truth)
