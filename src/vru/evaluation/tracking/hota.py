"""HOTA: detection and association in one figure, over nineteen overlaps.

Source: Luiten et al., HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking, IJCV 2021, as computed by
TrackEval. All arrays have one entry per overlap of ``ALPHAS``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from vru.evaluation.core.tables import Floats, or_none
from vru.evaluation.tracking.sequences import EPS, Sequence

ALPHAS = np.arange(0.05, 0.99, 0.05)


@dataclass(frozen=True, slots=True)
class HotaCounts:
    """What can be added up. The association sums are over all matches; divided by the matches they are figures."""

    true_positives: Floats
    misses: Floats
    false_positives: Floats
    association: Floats
    association_recall: Floats
    association_precision: Floats
    overlap: Floats

    @classmethod
    def total(cls, parts: Iterable["HotaCounts"]) -> "HotaCounts":
        """The sum."""
        parts = list(parts)
        zeros = np.zeros(len(ALPHAS))
        return cls(*(sum((getattr(part, name) for part in parts), start=zeros) for name in cls.__slots__))

    def curves(self) -> dict[str, Floats]:
        """HOTA, DetA, AssA, ... at each overlap."""
        true_positives = np.maximum(1, self.true_positives)
        detection = self.true_positives / np.maximum(1, self.true_positives + self.misses + self.false_positives)
        association = self.association / true_positives
        return {
            "hota": np.sqrt(detection * association),
            "deta": detection,
            "assa": association,
            "detre": self.true_positives / np.maximum(1, self.true_positives + self.misses),
            "detpr": self.true_positives / np.maximum(1, self.true_positives + self.false_positives),
            "assre": self.association_recall / true_positives,
            "asspr": self.association_precision / true_positives,
            # Without a match there is nothing to say about where the boxes lie; TrackEval's figure there is 1.
            "loca": np.maximum(1e-10, self.overlap) / np.maximum(1e-10, self.true_positives),
        }

    def metrics(self) -> dict[str, float | None]:
        """The mean over the overlaps. None if there are neither truth nor detections."""
        return or_none(hota_rates(self.row()[None]))

    def row(self) -> Floats:
        """The counts as numbers, in the order of the fields, 19 each."""
        return np.concatenate([getattr(self, name) for name in self.__slots__])


def hota_rates(sums: Floats) -> dict[str, Floats]:
    """The figures of each row of summed counts (m x 133, see ``HotaCounts.row``); NaN where there is neither truth nor
    detection.
    """
    counts = HotaCounts(*np.moveaxis(sums.reshape(len(sums), -1, len(ALPHAS)), 1, 0))
    something = (counts.true_positives + counts.misses + counts.false_positives).any(axis=-1)
    return {name: np.where(something, values.mean(axis=-1), np.nan) for name, values in counts.curves().items()}


def unseen_hota(truths: float, false_positives: float) -> Floats:
    """Sequences that may not have been seen (rows as of ``HotaCounts.row``), so that each figure has its worst and its
    best: all missed with false boxes; all found, barely, without any association; all found and followed.
    """
    ones, zeros = np.ones(len(ALPHAS)), np.zeros(len(ALPHAS))
    missed = HotaCounts(zeros, ones * truths, ones * false_positives, zeros, zeros, zeros, zeros)
    apart = HotaCounts(ones * truths, zeros, zeros, zeros, zeros, zeros, ALPHAS * truths)
    followed = HotaCounts(*(ones * part for part in (truths, 0, 0, truths, truths, truths, truths)))
    return np.array([missed.row(), apart.row(), followed.row()])


def hota(sequence: Sequence) -> HotaCounts:
    """Match each frame one to one, preferring pairs of tracks that fit well through the whole sequence."""
    truths, founds = len(sequence.truth_ids), len(sequence.found_ids)
    truth_boxes, found_boxes = np.zeros((truths, 1)), np.zeros((1, founds))
    potential = np.zeros((truths, founds))
    for frame in sequence.frames:
        truth_boxes[frame.truths, 0] += 1
        found_boxes[0, frame.founds] += 1
        whole = frame.overlap.sum(0)[None, :] + frame.overlap.sum(1)[:, None] - frame.overlap
        share = np.divide(frame.overlap, whole, out=np.zeros_like(whole), where=whole > EPS)
        potential[frame.truths[:, None], frame.founds[None, :]] += share
    fit = potential / (truth_boxes + found_boxes - potential)

    who, said, overlap = [np.zeros(0, int)], [np.zeros(0, int)], [np.zeros(0)]
    for frame in sequence.frames:
        score = fit[frame.truths[:, None], frame.founds[None, :]] * frame.overlap
        rows, columns = linear_sum_assignment(-score)
        who.append(frame.truths[rows])
        said.append(frame.founds[columns])
        overlap.append(frame.overlap[rows, columns])
    pair = np.concatenate(who) * max(founds, 1) + np.concatenate(said)
    return _counts(pair, np.concatenate(overlap), truth_boxes[:, 0], found_boxes[0])


def _counts(pair: np.typing.NDArray[np.int64], overlap: Floats, truth_boxes: Floats, found_boxes: Floats) -> HotaCounts:
    rows = []
    for alpha in ALPHAS:
        real = overlap >= alpha - EPS
        pairs, together = np.unique(pair[real], return_counts=True)
        ours, theirs = truth_boxes[pairs // max(len(found_boxes), 1)], found_boxes[pairs % max(len(found_boxes), 1)]
        true_positives = float(real.sum())
        rows.append(
            (
                true_positives,
                truth_boxes.sum() - true_positives,
                found_boxes.sum() - true_positives,
                (together * together / np.maximum(1, ours + theirs - together)).sum(),
                (together * together / np.maximum(1, ours)).sum(),
                (together * together / np.maximum(1, theirs)).sum(),
                overlap[real].sum(),
            )
        )
    return HotaCounts(*np.array(rows, dtype=np.float64).T)
