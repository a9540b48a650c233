"""What went wrong, one by one: the misses and false alarms behind recall and precision, and where they gather.

All of it is at the operating point and in the headline view, so the sums are those of recall, precision and F1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vru.evaluation.core.assignment import overlap_pairs
from vru.evaluation.core.tables import Bools, DataSet, Floats, Found, Ints, truth_table
from vru.evaluation.dataset.conditions import Conditions
from vru.evaluation.dataset.evaluate import DatasetEvaluation
from vru.evaluation.dataset.slice_views import DISTANCES
from vru.evaluation.detection.outcomes import View, match_all
from vru.formats import Annotations

# Attributes that make the rows of the scenario matrix, the first that there are.
_SCENARIOS = ("scenario", "light", "weather")
_MOST_ATTRIBUTES, _MOST_VALUES = 2, 20
_ANY_OVERLAP = 1e-6


@dataclass(frozen=True, slots=True)
class Findings:
    """``misses`` are places among ``data``'s truth, ``false_alarms`` among its detections, both the worst first;
    ``counted`` are the truth boxes that count, ``overlap`` is what a hit needs.
    """

    annotations: Annotations
    data: DataSet
    counted: Ints
    misses: Ints
    false_alarms: Ints
    conditions: Conditions
    overlap: float


def findings_of(
    metrics: DatasetEvaluation, annotations: Annotations, conditions: Conditions | None, overlap: float
) -> Findings | None:
    """What is behind the figures; None where they have no operating point, as KITTI's and a camera's."""
    data, missed, false_positives = metrics.data, metrics.missed, metrics.false_alarms
    if data is None or missed is None or false_positives is None or metrics.counted is None:
        return None
    false_positives = false_positives[np.argsort(-data.found.score[false_positives], kind="stable")]
    return Findings(
        annotations, data, metrics.counted, _worst(data, missed), false_positives, conditions or Conditions(), overlap
    )


def findings_document(findings: Findings, most: int | None = None) -> dict[str, Any]:
    """Everything as plain values; at most so many misses and so many false alarms, the worst."""
    return {
        "overlap": findings.overlap,
        "misses": {"count": len(findings.misses), "worst": rows_of_misses(findings, findings.misses[:most])},
        "false_alarms": {
            "count": len(findings.false_alarms),
            "worst": rows_of_alarms(findings, findings.false_alarms[:most]),
        },
        "missed_stretches": _stretches(findings),
        "confusion": {
            "classes": [*findings.data.labels, "background"],
            "counts": confusion_counts(findings).tolist(),
        },
        "recordings": _recordings(findings),
        "scenarios": _scenarios(findings),
    }


def _runs(data: DataSet, missed: Ints) -> tuple[Ints, Ints]:
    """The misses of tracks by stretch: truth boxes in order, and where each stretch begins (and one entry more).

    A stretch goes on while the track is missed in the next picture of its sequence.
    """
    truth = data.truth
    tracked = missed[truth.track[missed] >= 0]
    picture = truth.picture[tracked]
    order = np.lexsort((data.frame[picture], truth.track[tracked], truth.label[tracked], data.sequence[picture]))
    tracked = tracked[order]
    picture = truth.picture[tracked]
    # Each picture's place among those of its sequence: files may leave out frames.
    place = np.empty(data.pictures, dtype=np.int64)
    by_time = np.lexsort((data.frame, data.sequence))
    place[by_time] = np.arange(data.pictures)
    keys = np.column_stack([data.sequence[picture], truth.label[tracked], truth.track[tracked]])
    breaks = np.any(keys[1:] != keys[:-1], axis=1) | (np.diff(place[picture]) != 1)
    ends = np.flatnonzero(breaks) + 1
    starts = np.concatenate([[0], ends, [len(tracked)]]) if len(tracked) else np.zeros(1, dtype=np.int64)
    return tracked, starts.astype(np.int64)


def _worst(data: DataSet, missed: Ints) -> Ints:
    """The largest miss of each stretch first, then the second largest of each: no long stretch hides the others."""
    tracked, starts = _runs(data, missed)
    stretch = np.concatenate([np.repeat(np.arange(len(starts) - 1), np.diff(starts)), np.zeros(0, dtype=np.int64)])
    alone = missed[data.truth.track[missed] < 0]
    boxes = np.concatenate([tracked, alone])
    stretch = np.concatenate([stretch, len(starts) + np.arange(len(alone))]).astype(np.int64)
    area = data.truth.area[boxes]
    by_stretch = np.lexsort((-area, stretch))
    first = np.searchsorted(stretch[by_stretch], stretch[by_stretch], side="left")
    turn = np.arange(len(boxes)) - first
    return boxes[by_stretch][np.lexsort((-area[by_stretch], turn))]


def _place(findings: Findings, picture: int) -> dict[str, Any]:
    known = findings.annotations.pictures[picture]
    return {
        "picture": picture,
        "recording": findings.annotations.sequences[known.sequence],
        "image": known.name or known.where,
        "frame": known.frame_index,
        "time_s": known.time_s,
    }


def rows_of_misses(findings: Findings, which: Ints) -> list[dict[str, Any]]:
    """These truth boxes, each with the detection that overlaps it most."""
    data = findings.data
    truth, found = data.truth, data.found
    nearest, overlap = _nearest(
        truth.picture[which], truth.boxes[which], found.picture, found.boxes, np.ones(len(found), dtype=bool)
    )
    return [
        _place(findings, int(truth.picture[box]))
        | {
            "class": data.labels[truth.label[box]],
            "track_id": int(truth.track[box]) if truth.track[box] >= 0 else None,
            "box": truth.boxes[box].tolist(),
            "nearest": None
            if near < 0
            else {
                "class": data.labels[found.label[near]],
                "score": float(found.score[near]),
                "overlap": float(share),
            },
        }
        for box, near, share in zip(which.tolist(), nearest.tolist(), overlap.tolist(), strict=True)
    ]


def rows_of_alarms(findings: Findings, which: Ints) -> list[dict[str, Any]]:
    """These detections, each with the truth box that it overlaps most."""
    data = findings.data
    truth, found = data.truth, data.found
    nearest, overlap = _nearest(
        found.picture[which], found.boxes[which], truth.picture, truth.boxes, np.ones(len(truth), dtype=bool)
    )
    return [
        _place(findings, int(found.picture[box]))
        | {
            "class": data.labels[found.label[box]],
            "score": float(found.score[box]),
            "box": found.boxes[box].tolist(),
            "nearest": None
            if near < 0
            else {
                "class": data.labels[truth.label[near]],
                "track_id": int(truth.track[near]) if truth.track[near] >= 0 else None,
                "overlap": float(share),
            },
        }
        for box, near, share in zip(which.tolist(), nearest.tolist(), overlap.tolist(), strict=True)
    ]


def _nearest(picture: Ints, boxes: Floats, others: Ints, other_boxes: Floats, allowed: Bools) -> tuple[Ints, Floats]:
    """For each box the one of the others in its picture that it overlaps most, of whatever class: -1 and 0 for none."""
    nearest, most = np.full(len(boxes), -1, dtype=np.int64), np.zeros(len(boxes))
    kept = np.flatnonzero(allowed)
    if not len(boxes) or not len(kept):
        return nearest, most
    regions = np.zeros(len(kept), dtype=bool)
    pairs = overlap_pairs(picture, boxes, others[kept], other_boxes[kept], regions, _ANY_OVERLAP)
    order = np.argsort(pairs.overlap, kind="stable")
    # Of several values for one place, numpy keeps the last: the largest.
    nearest[pairs.chooser[order]] = kept[pairs.item[order]]
    most[pairs.chooser[order]] = pairs.overlap[order]
    return nearest, most


def _stretches(findings: Findings) -> list[dict[str, Any]]:
    """The missed stretches, the longest first."""
    data = findings.data
    tracked, starts = _runs(data, findings.misses)
    rows = []
    for first, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        begins, ends = (_place(findings, int(data.truth.picture[tracked[place]])) for place in (first, end - 1))
        rows.append(
            {
                "recording": begins["recording"],
                "track_id": int(data.truth.track[tracked[first]]),
                "class": data.labels[data.truth.label[tracked[first]]],
                "from": {name: begins[name] for name in ("image", "frame", "time_s")},
                "to": {name: ends[name] for name in ("image", "frame", "time_s")},
                "frames": end - first,
            }
        )
    return sorted(rows, key=lambda row: -row["frames"])


def confusion_counts(findings: Findings) -> Ints:
    """Rows are the truth's classes and the background, columns the detections' and the background.

    Hits are those of the figures, class by class. What they leave over (misses and false alarms) is matched once more
    without regard to class: those pairs are the confusions, the rest are the background's. So the sums of the rows are
    the truth boxes that count, and those of the columns the detections that count.
    """
    data = findings.data
    classes = len(data.labels)
    table = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    true_positives = np.setdiff1d(findings.counted, findings.misses)
    np.add.at(table, (data.truth.label[true_positives], data.truth.label[true_positives]), 1)
    truth, found = data.truth.take(findings.misses), data.found.take(findings.false_alarms)
    one = DataSet(
        ("any",),
        data.sequences,
        data.sequence,
        data.frame,
        truth_table(truth.picture, np.zeros(len(truth), dtype=np.int64), truth.boxes),
        Found(found.picture, np.zeros(len(found), dtype=np.int64), found.boxes, found.score, found.track),
    )
    everything = View("any", np.ones(len(truth), dtype=bool), np.ones(len(found), dtype=bool))
    none = np.zeros(len(truth), dtype=bool)
    outcomes = match_all(one, (findings.overlap,), (everything,), regions=none, max_detections=None)
    taken = outcomes.matched_truth(0, 0).astype(np.int64)
    expected = np.full(len(found), classes)
    expected[outcomes.kept] = np.where(taken >= 0, truth.label[taken], classes) if len(truth) else classes
    np.add.at(table, (expected, found.label), 1)
    lost = np.setdiff1d(np.arange(len(truth)), taken[taken >= 0])
    np.add.at(table, (truth.label[lost], np.full(len(lost), classes)), 1)
    return table


def _per_picture(findings: Findings) -> Ints:
    """Pictures x 3: truth boxes, misses, false alarms."""
    data = findings.data
    columns = (
        data.truth.picture[findings.counted],
        data.truth.picture[findings.misses],
        data.found.picture[findings.false_alarms],
    )
    return np.column_stack([np.bincount(column, minlength=data.pictures) for column in columns])


def _recordings(findings: Findings) -> list[dict[str, Any]]:
    data = findings.data
    sums = np.zeros((len(data.sequences), 3), dtype=np.int64)
    np.add.at(sums, data.sequence, _per_picture(findings))
    images = np.bincount(data.sequence, minlength=len(data.sequences))
    rows = [
        {"recording": name, "images": int(count), "truth": truth, "missed": missed, "false_alarms": false_positives}
        for name, count, (truth, missed, false_positives) in zip(data.sequences, images, sums.tolist(), strict=True)
    ]
    return worst_recordings(rows)


def worst_recordings(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The recordings, the one with the worst F1 first; those about which F1 says nothing last."""

    def badness(row: Mapping[str, Any]) -> tuple[float, int]:
        errors = row["missed"] + row["false_alarms"]
        true_positives = row["truth"] - row["missed"]
        return (2 * true_positives / (2 * true_positives + errors) if true_positives + errors else 2.0, -errors)

    return sorted(rows, key=badness)


def _scenarios(findings: Findings) -> dict[str, Any] | None:
    """Recall by scenario and light (rows) and distance (columns), where the truth says them; None where it says none.

    A false alarm is at no known distance: it counts for its row.
    """
    data, attributes = findings.data, findings.conditions.attributes
    names = attributes_shown(attributes)
    bands = _bands(findings)
    if not names and bands is None:
        return None
    keys: list[tuple[str, ...]] = [
        tuple(attributes[name][picture] or "not stated" for name in names) for picture in range(data.pictures)
    ]
    rows = sorted(set(keys))
    number = {key: place for place, key in enumerate(rows)}
    of_picture = np.array([number[key] for key in keys], dtype=np.int64)
    columns, band = bands if bands is not None else (["all"], np.zeros(len(data.truth), dtype=np.int64))

    def table(boxes: Ints) -> list[list[int]]:
        counts = np.zeros((len(rows), len(columns)), dtype=np.int64)
        np.add.at(counts, (of_picture[data.truth.picture[boxes]], band[boxes]), 1)
        return counts.tolist()

    alarms = np.bincount(of_picture[data.found.picture[findings.false_alarms]], minlength=len(rows))
    return {
        "attributes": names,
        "distances": columns if bands is not None else [],
        "rows": [
            {
                "values": list(key),
                "images": int(images),
                "false_alarms": int(false_positives),
                "truth": truth,
                "missed": missed,
            }
            for key, images, false_positives, truth, missed in zip(
                rows,
                np.bincount(of_picture, minlength=len(rows)),
                alarms,
                table(findings.counted),
                table(findings.misses),
                strict=True,
            )
        ],
    }


def attributes_shown(attributes: Mapping[str, Sequence[str | None]]) -> list[str]:
    """Which of the attributes, each with its values, make the rows of the scenario matrix."""
    names = [
        name
        for name in (*_SCENARIOS, *attributes)
        if name in attributes and len(set(attributes[name]) - {None}) <= _MOST_VALUES
    ]
    return list(dict.fromkeys(names))[:_MOST_ATTRIBUTES]


def _bands(findings: Findings) -> tuple[list[str], Ints] | None:
    """The bands of distance, and the band of each truth box; None where no distance is known."""
    truth, camera = findings.data.truth, findings.conditions.calibration
    metres = truth.distance
    if camera is not None:
        metres = np.where(np.isnan(metres), camera.distance(truth.boxes), metres)
    if np.isnan(metres).all():
        return None
    names = [
        f"{name} ({low:g} m to {'further' if np.isinf(high) else f'{high:g} m'})"
        for name, (low, high) in DISTANCES.items()
    ]
    band = np.full(len(truth), len(names), dtype=np.int64)
    for place, (low, high) in enumerate(DISTANCES.values()):
        band[(metres >= low) & (metres < high)] = place
    return [*names, "distance not stated"], band
