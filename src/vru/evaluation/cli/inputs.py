"""Truth and predictions from files, as the evaluation's tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vru.domain import Criterion, VruError
from vru.evaluation.cli.options import Reading
from vru.evaluation.core.tables import DataSet
from vru.evaluation.dataset.check import check_fit, shifted
from vru.evaluation.dataset.prepare import to_dataset
from vru.evaluation.dataset.protocol import Protocol, load_protocol
from vru.evaluation.dataset.slice_views import kinds_of
from vru.formats import Annotations, Rules, read_predictions, read_truth

_PROTOCOL_OF = {
    "mot": "mot",
    "kitti": "kitti",
    "kitti-tracking": "mot",
    "cvat": "default",
    "eurocity": "eurocity",
}


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predictions with the truth that they are about, and sentences on how they were read."""

    data: DataSet
    boxes: int
    notes: tuple[str, ...]


def truth_of(path: Path, reading: Reading) -> Annotations:
    """The truth.

    Raises:
        VruError: it cannot be read.
    """
    return read_truth(
        path,
        format_=reading.truth_format,
        limit_bytes=reading.limit_bytes,
        frames=reading.frames,
        size=reading.size,
        independent_images=reading.independent_images,
        sequence_from=reading.sequence_from,
        rules=_rules(reading),
    )


def _rules(reading: Reading) -> Rules:
    return Rules(
        reading.out_of_picture,
        reading.bad_boxes,
        dict(reading.class_map),
        # Of classes that nobody asked for nothing needs to be known.
        reading.ignore_other_classes or bool(reading.classes),
    )


def predictions_of(path: Path, truth: Annotations, reading: Reading) -> Predicted:
    """The predictions, joined with the truth.

    Raises:
        VruError: they cannot be read, or do not fit the truth as they stand.
    """
    found = read_predictions(
        path,
        truth,
        format_=reading.predictions_format,
        limit_bytes=reading.limit_bytes,
        missing_sequences=reading.missing_sequences,
        rules=_rules(reading),
    )
    data = to_dataset(truth, found)
    notes = [*truth.notes, *found.notes]
    if reading.shift_frames:
        data = shifted(data, reading.shift_frames)
        notes.append(f"The detections were moved by {reading.shift_frames} frames, as was asked for.")
    else:
        check_fit(data, frames=reading.shift_frames is None)
    return Predicted(data, len(found), tuple(notes))


def protocol_of(name: str | None, truth: Annotations, classes: Sequence[str] = ()) -> Protocol:
    """The protocol of this name, or the one that fits the truth; of these ``classes`` alone, if there are any.

    Raises:
        VruError: there is none of this name, or the truth does not have a class.
    """
    usual = _PROTOCOL_OF.get(truth.format, "coco")
    if usual == "mot" and truth.sequences and all(name.startswith("MOT20-") for name in truth.sequences):
        usual = "mot20"
    return of_classes(load_protocol(name or usual), truth.labels, classes)


def of_classes(protocol: Protocol, labels: Sequence[str], classes: Sequence[str]) -> Protocol:
    """The protocol with these ``classes`` in the place of its own, if there are any.

    Raises:
        VruError: one is not among the ``labels``.
    """
    known = {label.lower() for label in labels}
    for name in classes:
        if name.lower() not in known:
            raise VruError(f"--classes: the truth has no {name!r}.", f"It has: {', '.join(labels[:20]) or 'no class'}.")
    if not classes:
        return protocol
    asked = {name.lower() for name in classes}
    ignored = frozenset(name for name in protocol.ignored_classes if name.lower() not in asked)
    return replace(protocol, classes=tuple(classes), ignored_classes=ignored)


def times_of(annotations: Annotations) -> list[float] | None:
    """Media seconds of the pictures, if the truth has them all."""
    times = [picture.time_s for picture in annotations.pictures if picture.time_s is not None]
    return times if times and len(times) == len(annotations.pictures) else None


def kinds_asked(slices: str | None, criteria: Sequence[Criterion], protocol: Protocol) -> tuple[str, ...]:
    """The kinds of slices that are asked for, or that a criterion names.

    Raises:
        VruError: the protocol has no such slices.
    """
    named: Iterable[str] = [name.strip() for name in (slices or "").split(",") if name.strip()]
    kinds = tuple(dict.fromkeys((*named, *kinds_of(criterion.slice for criterion in criteria))))
    if kinds and protocol.task == "camera":
        raise VruError(f"A camera run has slices by class only, not by {kinds[0]}.", "Leave it out.")
    return kinds
