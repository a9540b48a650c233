"""CLEAR MOT: how many boxes are found, missed and wrong, and how often a road user changes identity.

Source: Bernardin and Stiefelhagen, Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics, 2008, as
computed by TrackEval.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

import numpy as np
from scipy.optimize import linear_sum_assignment

from vru.evaluation.core.tables import Floats, or_none, ratio
from vru.evaluation.tracking.sequences import EPS, Sequence


@dataclass(frozen=True, slots=True)
class Switch:
    """A truth track goes on under another id of the tracker. ``frame`` is the place in the sequence."""

    frame: int
    truth_id: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class ClearCounts:
    """What can be added up over sequences and classes. ``overlap`` is the sum of the overlaps of all matches."""

    true_positives: float = 0
    misses: float = 0
    false_positives: float = 0
    switches: float = 0
    fragments: float = 0
    mostly_tracked: float = 0
    partly_tracked: float = 0
    mostly_lost: float = 0
    frames: float = 0
    overlap: float = 0.0

    @classmethod
    def total(cls, parts: Iterable["ClearCounts"]) -> "ClearCounts":
        """The sum."""
        parts = list(parts)
        return cls(*(sum(getattr(part, field.name) for part in parts) for field in fields(cls)))

    def metrics(self) -> dict[str, float | None]:
        """The figures that follow. None where there is nothing to divide by."""
        return or_none(clear_rates(self.row()[None]))

    def row(self) -> Floats:
        """The counts as numbers, in the order of the fields."""
        return np.array(astuple(self), dtype=np.float64)


def clear_rates(sums: Floats) -> dict[str, Floats]:
    """The figures of each row of summed counts (m x 10, see ``ClearCounts.row``); NaN where nothing divides."""
    true_positives, misses, false_positives, switches, fragments, mostly, partly, lost, frames, overlap = sums.T
    truths, said, tracks = true_positives + misses, true_positives + false_positives, mostly + partly + lost
    # TrackEval's: the logarithm of the switches, but none for none.
    logarithm = np.log10(np.maximum(switches, 1))
    return {
        "mota": ratio(true_positives - false_positives - switches, truths),
        "motp": ratio(overlap, true_positives),
        "moda": ratio(true_positives - false_positives, truths),
        "motal": ratio(true_positives - false_positives - logarithm, truths),
        "smota": ratio(overlap - false_positives - switches, truths),
        "recall": ratio(true_positives, truths),
        "precision": ratio(true_positives, said),
        "f1": ratio(2 * true_positives, truths + said),
        "fppi": ratio(false_positives, frames),
        "id_switches": switches,
        "fragmentations": fragments,
        "mostly_tracked": ratio(mostly, tracks),
        "partly_tracked": ratio(partly, tracks),
        "mostly_lost": ratio(lost, tracks),
    }


def unseen_clear(truths: float, false_positives: float, frames: float, tracks: float) -> Floats:
    """Sequences that may not have been seen (rows as of ``ClearCounts.row``), so that each figure has its worst and its
    best: all missed with false boxes; all found, barely, a switch at every box; all found and followed.
    """
    missed = ClearCounts(misses=truths, false_positives=false_positives, mostly_lost=tracks, frames=frames)
    switched = ClearCounts(true_positives=truths, switches=truths, partly_tracked=tracks, frames=frames)
    followed = ClearCounts(true_positives=truths, mostly_tracked=tracks, frames=frames, overlap=truths)
    return np.array([missed.row(), switched.row(), followed.row()])


def clear(sequence: Sequence, threshold: float = 0.5) -> tuple[ClearCounts, tuple[Switch, ...]]:
    """Match frame by frame, one to one: pairs of the frame before stay if they still overlap by ``threshold``."""
    tracks = len(sequence.truth_ids)
    boxes, matched, starts = np.zeros(tracks), np.zeros(tracks), np.zeros(tracks)
    last = np.full(tracks, -1)  # the tracker's id that found the track last
    before = np.full(tracks, -1)  # ... in the last frame in which both were there
    true_positives, overlap, said, switches = 0, 0.0, 0, []
    for frame in sequence.frames:
        said += len(frame.founds)
        boxes[frame.truths] += 1
        if not len(frame.truths) or not len(frame.founds):
            # As in TrackEval, a frame without any pair ends nothing: ``before`` stays.
            continue
        score = 1000 * (frame.founds[None, :] == before[frame.truths][:, None]) + frame.overlap
        score[frame.overlap < threshold - EPS] = 0
        rows, columns = linear_sum_assignment(-score)
        real = score[rows, columns] > EPS
        rows, columns = rows[real], columns[real]
        truths, founds = frame.truths[rows], frame.founds[columns]
        for number in np.flatnonzero((last[truths] >= 0) & (last[truths] != founds)).tolist():
            truth = int(truths[number])
            switches.append(
                Switch(
                    frame.position,
                    int(sequence.truth_ids[truth]),
                    int(sequence.found_ids[last[truth]]),
                    int(sequence.found_ids[founds[number]]),
                )
            )
        matched[truths] += 1
        idle = before < 0
        last[truths] = founds
        before[:] = -1
        before[truths] = founds
        starts += idle & (before >= 0)
        true_positives += len(truths)
        overlap += float(frame.overlap[rows, columns].sum())
    seen = boxes > 0
    share = matched[seen] / boxes[seen]
    mostly, partly = int((share > 0.8).sum()), int((share >= 0.2).sum())
    counts = ClearCounts(
        true_positives=true_positives,
        misses=int(boxes.sum()) - true_positives,
        false_positives=said - true_positives,
        switches=len(switches),
        fragments=int((starts[starts > 0] - 1).sum()),
        mostly_tracked=mostly,
        partly_tracked=partly - mostly,
        mostly_lost=tracks - partly,
        frames=len(sequence.frames),
        overlap=overlap,
    )
    return counts, tuple(switches)
