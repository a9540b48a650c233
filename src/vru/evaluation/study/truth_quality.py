"""How good ground truth is: do two annotations of the same pictures agree, would label noise change the verdict?"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vru.domain import Criterion, Verdict, VerdictReport, VruError
from vru.evaluation.core.tables import DataSet, Found, Ints, Truth
from vru.evaluation.dataset.evaluate import DatasetEvaluation
from vru.evaluation.tracking.sequences import best_pairs, overlaps
from vru.evaluation.verdict.results import judge_metrics

NOISE = (0.01, 0.05, 0.10)
# A jittered box moves and grows by normal errors of this share of its sides.
_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A box that only one annotation has, or whose class differs. ``track`` is -1 where the file names none."""

    kind: str
    sequence: str
    frame: int
    track: int
    label: str
    other_label: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two annotations A and B of the same pictures agree. Metrics that nothing determines are None.

    ``matched`` pairs of boxes overlap by 0.5 or more, whatever their class; ``box_agreement`` is their share by Dice:
    2 matched / (boxes of A + boxes of B). ``class_share`` is the share of pairs of one class; ``kappa`` and ``alpha``
    correct it for chance. ``split_tracks`` are the tracks of A that B has as several, ``joined_tracks`` those of B that
    A has as several: (sequence, track id, number of ids on the other side).
    """

    boxes: tuple[int, int]
    matched: int
    box_agreement: float | None
    mean_iou: float | None
    class_share: float | None
    kappa: float | None
    alpha: float | None
    split_tracks: tuple[tuple[str, int, int], ...]
    joined_tracks: tuple[tuple[str, int, int], ...]
    disagreements: tuple[Disagreement, ...]


def cohens_kappa(first: Ints, second: Ints) -> float | None:
    """Agreement of two raters beyond chance: (po - pe) / (1 - pe) (Cohen 1960). None if both use one class only."""
    if not len(first):
        return None
    kinds = int(max(first.max(), second.max())) + 1
    shares = [np.bincount(rater, minlength=kinds) / len(rater) for rater in (first, second)]
    chance = float(shares[0] @ shares[1])
    return None if chance >= 1 else (float(np.mean(first == second)) - chance) / (1 - chance)


def krippendorffs_alpha(first: Ints, second: Ints) -> float | None:
    """1 - observed / expected disagreement of two raters, nominal (Krippendorff 2011). None if there is one class."""
    counts = np.bincount(np.concatenate([first, second])).astype(np.float64)
    values = counts.sum()
    among = values * values - counts @ counts
    if values < 2 or among <= 0:
        return None
    return 1 - float(np.mean(first != second)) / float(among / (values * (values - 1)))


def agreement(data: DataSet, overlap: float = 0.5) -> Agreement:
    """Compare annotation A (the data set's truth) with annotation B (in the place of its detections).

    In each picture boxes are paired one to one, of all classes together, with the largest total overlap.
    """
    truth, found = data.truth, data.found
    rows, columns, shared = _pairs(data, overlap)
    classes = truth.label[rows], found.label[columns]
    total = len(truth) + len(found)
    problems: list[Disagreement] = []
    sides: tuple[tuple[str, Truth | Found, Ints], ...] = (("only in A", truth, rows), ("only in B", found, columns))
    for kind, table, matched in sides:
        for box in np.setdiff1d(np.arange(len(table)), matched).tolist():
            picture = int(table.picture[box])
            problems.append(Disagreement(kind, *_place(data, picture), int(table.track[box]), _name(data, table, box)))
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if truth.label[row] != found.label[column]:
            picture = int(truth.picture[row])
            labels = _name(data, truth, row), _name(data, found, column)
            problems.append(Disagreement("class", *_place(data, picture), int(truth.track[row]), *labels))
    pairs = [
        (data.sequences[int(data.sequence[truth.picture[row]])], int(truth.track[row]), int(found.track[column]))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if truth.track[row] >= 0 and found.track[column] >= 0
    ]
    return Agreement(
        (len(truth), len(found)),
        len(rows),
        2 * len(rows) / total if total else None,
        float(shared.mean()) if len(rows) else None,
        float(np.mean(classes[0] == classes[1])) if len(rows) else None,
        cohens_kappa(*classes),
        krippendorffs_alpha(*classes),
        _several((sequence, ours, theirs) for sequence, ours, theirs in pairs),
        _several((sequence, theirs, ours) for sequence, ours, theirs in pairs),
        tuple(sorted(problems, key=lambda item: (item.sequence, item.frame, item.track, item.kind))),
    )


def _pairs(data: DataSet, overlap: float) -> tuple[Ints, Ints, np.typing.NDArray[np.float64]]:
    rows, columns, shared = [], [], []
    groups = [_grouped(table.picture, data.pictures) for table in (data.truth, data.found)]
    for ours, theirs in zip(*groups, strict=True):
        iou = overlaps(data.truth.boxes[ours], data.found.boxes[theirs])
        for row, column in best_pairs(np.where(iou >= overlap, iou, 0)):
            rows.append(int(ours[row]))
            columns.append(int(theirs[column]))
            shared.append(float(iou[row, column]))
    return np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64), np.array(shared)


def _grouped(picture: Ints, count: int) -> list[Ints]:
    order = np.argsort(picture, kind="stable")
    return np.split(order, np.searchsorted(picture[order], np.arange(1, count)))


def _place(data: DataSet, picture: int) -> tuple[str, int]:
    return data.sequences[int(data.sequence[picture])], int(data.frame[picture])


def _name(data: DataSet, table: Truth | Found, box: int) -> str:
    return data.labels[int(table.label[box])]


def _several(pairs: Iterator[tuple[str, int, int]]) -> tuple[tuple[str, int, int], ...]:
    """Tracks with several partners."""
    partners = Counter((sequence, track) for sequence, track, _ in set(pairs))
    return tuple((*track, count) for track, count in sorted(partners.items()) if count > 1)


def with_noise(data: DataSet, share: float, seed: int) -> DataSet:
    """The data set with about ``share`` of its truth boxes labelled wrongly, a quarter by each of four errors.

    Whole tracks forgotten; single boxes forgotten; boxes moved and resized by normal errors of 0.2 of their sides;
    tracks given another class (nothing, where there is one class only). A box without a track is one by itself.

    Raises:
        VruError: ``share`` is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise VruError(f"A share of {share} of the labels cannot be wrong.", "Use a number from 0 to 1.")
    rng = np.random.default_rng(seed)
    truth, count = data.truth, len(data.truth)
    owner = np.where(truth.track >= 0, truth.track, -2 - np.arange(count))
    _, track = np.unique(np.column_stack([data.sequence[truth.picture], owner]), axis=0, return_inverse=True)
    track = track.reshape(-1)
    tracks = int(track.max()) + 1 if count else 0
    of_track, of_box = rng.random(tracks)[track], rng.random(count)
    swapped = (of_track >= share / 4) & (of_track < share / 2)
    moved = (of_box >= share / 4) & (of_box < share / 2)
    label = truth.label
    if len(data.labels) > 1:
        other = rng.integers(1, len(data.labels), tracks)[track]
        label = np.where(swapped, (label + other) % len(data.labels), label)
    error = np.where(moved[:, None], rng.normal(0, _JITTER, (count, 4)), 0)
    sides = truth.boxes[:, 2:]
    boxes = np.hstack([truth.boxes[:, :2] + error[:, :2] * sides, sides * np.exp(error[:, 2:])])
    changed = replace(truth, label=label, boxes=boxes, area=truth.area * np.exp(error[:, 2:].sum(axis=1)))
    return replace(data, truth=changed.take((of_track >= share / 4) & (of_box >= share / 4)))


@dataclass(frozen=True, slots=True)
class NoiseEffect:
    """What a share of wrong labels does: of each criterion the share of rounds in which its verdict was another."""

    share: float
    verdicts: Counter[Verdict]
    flipped: tuple[float, ...]


def noise_effects(
    data: DataSet,
    measure: Callable[[DataSet], DatasetEvaluation],
    criteria: Sequence[Criterion],
    shares: Sequence[float] = NOISE,
    rounds: int = 5,
    seed: int = 0,
) -> tuple[VerdictReport, tuple[NoiseEffect, ...]]:
    """The verdict on the truth as it is, and what becomes of it with noise in the labels (``with_noise``).

    ``measure`` makes the figures of a data set. Each share is tried ``rounds`` times, seeded.

    Raises:
        VruError: a criterion asks for what was not measured.
    """
    asked = judge_metrics(measure(data), criteria)
    effects = []
    for share in shares:
        reports = [judge_metrics(measure(with_noise(data, share, seed + number)), criteria) for number in range(rounds)]
        flipped = tuple(
            sum(report.results[place].verdict != before.verdict for report in reports) / rounds
            for place, before in enumerate(asked.results)
        )
        effects.append(NoiseEffect(share, Counter(report.verdict for report in reports), flipped))
    return asked, tuple(effects)


def side_by_side(first: DataSet, second: DataSet) -> DataSet:
    """Annotation A with annotation B in the place of the detections: pictures by sequence and frame, classes by name.

    Raises:
        VruError: B has boxes in pictures that A does not have.
    """
    alone = len(first.sequences) == len(second.sequences) == 1
    keys = [
        [
            ("" if alone else data.sequences[sequence], frame)
            for sequence, frame in zip(data.sequence.tolist(), data.frame.tolist(), strict=True)
        ]
        for data in (first, second)
    ]
    picture_of = {key: number for number, key in enumerate(keys[0])}
    labels = [name.lower() for name in first.labels]
    more = [name for name in second.labels if name.lower() not in labels]
    label_of = {name: number for number, name in enumerate([*labels, *(name.lower() for name in more)])}
    boxes = second.truth
    for picture in np.unique(boxes.picture).tolist():
        if keys[1][picture] not in picture_of:
            sequence, frame = keys[1][picture]
            raise VruError(
                f"Frame {frame}{f' of {sequence}' if sequence else ''} is in B and not in A.",
                "Compare annotations of the same video.",
            )
    place = np.array([picture_of.get(key, -1) for key in keys[1]], dtype=np.int64)
    label = np.array([label_of[name.lower()] for name in second.labels], dtype=np.int64)
    found = Found(place[boxes.picture], label[boxes.label], boxes.boxes, np.ones(len(boxes)), boxes.track)
    return replace(first, labels=(*first.labels, *more), found=found)
