"""From paths to annotations: which format a file or folder is in, how large it may be, and its reading."""

import hashlib
from pathlib import Path

from vru.formats.annotations import Annotations, Boxes, FormatError
from vru.formats.limits import check_count, no_duplicates
from vru.formats.names import LIMIT_BYTES, PREDICTION_FORMATS
from vru.formats.recordings import group_recordings
from vru.formats.registry import WHAT_IS_READ, Asked, detect, load
from vru.formats.rules import Rules, leave_out_others, rename_classes, settle_areas, settle_edges
from vru.formats.text_files import label_files, named

_READ = (".txt", ".json", ".xml")
# Data sets count pixels from 0 or from 1, and round.
TOLERANCE_PX = 1.0
# Of shares of the picture's size, which exporters round to six digits.
_TOLERANCE_SHARE = 1e-4


def read_truth(
    path: Path,
    *,
    format_: str | None = None,
    limit_bytes: int = LIMIT_BYTES,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    independent_images: bool = False,
    sequence_from: str | None = None,
    rules: Rules = Rules(),  # noqa: B008 - it is frozen
) -> Annotations:
    """Read ground truth from a file, or from a folder of files.

    ``format_`` is one of ``FORMATS``; without it the content decides. ``frames`` is how many frames there are, for
    formats that do not say it. ``size`` is the pictures' width and height in pixels, for YOLO. Which pictures belong to
    one recording: see ``group_recordings``. ``rules`` say what is done with boxes and classes that are not as they
    should be.

    Raises:
        FormatError: it is not there, too large, empty, in no known format, or wrong; the message names file and place.
    """
    _check_size(path, limit_bytes)
    if frames is not None:
        check_count(frames, "--frames")
    kind = format_ or detect(path, truth=True)
    annotations = load(kind).truth(path, Asked(frames, size))
    with named(path):
        rename_classes(annotations, rules)
        tolerance = _TOLERANCE_SHARE if annotations.normalised else TOLERANCE_PX
        boxes = settle_areas(annotations.boxes, rules, "truth")
        annotations.boxes = settle_edges(boxes, annotations, rules, tolerance)
        annotations.notes.extend(note for note in annotations.boxes.notes if note not in annotations.notes)
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
    rules: Rules = Rules(),  # noqa: B008 - it is frozen
) -> Boxes:
    """Read detections about the pictures of ``truth`` from a file, or from a folder of files.

    A sequence without a file of detections is refused, or with ``missing_sequences`` "empty" taken as one in which
    nothing was found, which is noted.

    Raises:
        FormatError: it is not there, too large, empty, in no known format, wrong, or about other pictures; the message
            names file and place.
    """
    _check_size(path, limit_bytes)
    kind = format_ or detect(path, truth=False)
    read = load(kind).predictions
    if read is None:
        raise FormatError(f"{path}: {kind} holds no detections.", f"Use one of: {', '.join(PREDICTION_FORMATS)}.")
    boxes = read(path, truth)
    with named(path):
        boxes = settle_areas(leave_out_others(boxes), rules, "detections")
        tolerance = _TOLERANCE_SHARE if truth.normalised else TOLERANCE_PX
        boxes = settle_edges(boxes, truth, rules, tolerance, "detections")
        no_duplicates(boxes, truth, "detections")
        if kind in ("mot", "kitti-tracking"):
            _check_sequences(path, truth, boxes, missing_sequences)
        elif kind in ("yolo", "kitti"):
            _note_missing(path, truth, boxes)
        else:
            _note_nothing_found(truth, boxes)
        _check_scores(boxes)
    return boxes


def _check_sequences(path: Path, truth: Annotations, boxes: Boxes, missing: str) -> None:
    there = {file.stem for file in label_files(path)}
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
    there = {file.stem for file in label_files(path)}
    absent = sum(str(picture.key) not in there for picture in truth.pictures)
    if absent:
        boxes.notes.append(f"{absent} of {len(truth.pictures)} images have no file of detections: nothing was found.")


def _check_scores(boxes: Boxes) -> None:
    """A confidence of -1 everywhere stands for none: all detections are taken as equally sure.

    Raises:
        FormatError: some have none, beside others from 0 to 1.
    """
    none = sum(score == -1 for score in boxes.score)
    if not none:
        return
    if none < len(boxes):
        # Scores that are no shares may be -1 like any other number.
        if all(score == -1 or 0 <= score <= 1 for score in boxes.score):
            raise FormatError(
                f"{none} of {len(boxes)} detections have no confidence (-1), the first at "
                f"{boxes.where(boxes.score.index(-1))}.",
                "Write a confidence for each, or -1 for all of them.",
            )
        return
    for position in range(len(boxes)):
        boxes.score[position] = 1.0
    boxes.notes.append("The detections have no confidence (-1): all are taken as equally sure, with 1.")


def _note_nothing_found(truth: Annotations, boxes: Boxes) -> None:
    """Say which of several recordings have no detection at all: perhaps the detector never saw them."""
    if not len(boxes) or not 1 < len(truth.sequences) < len(truth.pictures):
        return
    seen = {truth.pictures[picture].sequence for picture in set(boxes.picture)}
    absent = [name for number, name in enumerate(truth.sequences) if number not in seen]
    if absent:
        named = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
        boxes.notes.append(f"Nothing was found in {len(absent)} of {len(truth.sequences)} recordings: {named}.")


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


def _check_size(path: Path, limit: int) -> None:
    if not path.exists():
        raise FormatError(f"{path} does not exist.", "Check the path.")
    if path.is_dir():
        total = sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and file.suffix in _READ)
    elif path.is_file():
        total = path.stat().st_size
        if total == 0:
            raise FormatError(f"{path} is empty.", WHAT_IS_READ)
    else:
        raise FormatError(f"{path} is no file.", WHAT_IS_READ)
    if total > limit:
        raise FormatError(
            f"{path} has {total / 1e6:.0f} MB, more than the {limit / 1e6:.0f} MB that are read.",
            "Split it, or raise --max-mb.",
        )
