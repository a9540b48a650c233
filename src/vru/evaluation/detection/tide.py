"""TIDE: why average precision is lost, as six kinds of error, each with the precision that mending it would bring.

Source: Bolya, Foley, Hays and Hoffman, TIDE: A General Toolbox for Identifying Object Detection Errors, ECCV 2020.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from vru.evaluation.core.assignment import Pairs, overlap_pairs
from vru.evaluation.core.ordering import rank_in_cell
from vru.evaluation.core.tables import Bools, DataSet, Floats, Ints
from vru.evaluation.detection.average_precision import average_precision
from vru.evaluation.detection.outcomes import FALSE_POSITIVE, TRUE_POSITIVE, View, match_all


class ErrorType(StrEnum):
    """Why a detection is wrong, or a truth box missed. ``BOTH``: wrong class and badly placed."""

    CLASSIFICATION = "classification"
    LOCALISATION = "localisation"
    BOTH = "both"
    DUPLICATE = "duplicate"
    BACKGROUND = "background"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Tide:
    """The errors and what they cost.

    ``cost`` is the average precision that would be gained by mending all errors of one type (and no other), ``counts``
    how many there are. ``kind`` has for each detection its type, None for a right one or one that takes no part;
    ``missed`` are the truth boxes that no error accounts for.
    """

    ap: float | None
    cost: Mapping[ErrorType, float | None]
    counts: Mapping[ErrorType, int]
    kind: tuple[ErrorType | None, ...]
    missed: Ints


def tide(data: DataSet, ignored: Bools | None = None, *, foreground: float = 0.5, background: float = 0.1) -> Tide:
    """Sort the errors at one overlap. Of each picture the hundred surest detections take part.

    ``foreground`` is the overlap from which a detection is right, ``background`` that up to which it lies on nothing.
    ``ignored`` truth boxes and crowds are set aside.
    """
    return _Errors(data, ignored, foreground, background).result()


class _Errors:
    def __init__(self, data: DataSet, ignored: Bools | None, foreground: float, background: float) -> None:
        self.data = data
        self.counted = ~data.truth.crowd if ignored is None else ~(data.truth.crowd | ignored)
        by_score = np.lexsort((-data.found.score, data.found.picture))
        self.entering = by_score[rank_in_cell(data.found.picture[by_score]) < 100]
        found = data.found.take(self.entering)
        part = DataSet(data.labels, data.sequences, data.sequence, data.frame, data.truth, found)
        view = View("all", self.counted, np.ones(len(found), dtype=bool))
        outcomes = match_all(part, (foreground,), (view,), regions=data.truth.crowd, max_detections=None)
        self.found = found
        self.outcome, self.taken = np.zeros(len(found), dtype=np.int8), np.full(len(found), -1)
        self.outcome[outcomes.kept] = outcomes.outcome(0, 0)
        self.taken[outcomes.kept] = outcomes.matched_truth(0, 0)
        self.used = np.zeros(len(data.truth), dtype=bool)
        self.used[self.taken[self.outcome == TRUE_POSITIVE]] = True
        self.foreground, self.background = foreground, background
        self._sort()

    def _sort(self) -> None:
        """Give each error its type, and each mendable one the truth box that it would find (-1 for none)."""
        truth = np.flatnonzero(self.counted)
        pairs = overlap_pairs(
            self.found.picture, self.found.boxes, self.data.truth.picture[truth], self.data.truth.boxes[truth],
            np.zeros(len(truth), dtype=bool), 1e-12,
        )  # fmt: skip
        pairs = Pairs(pairs.chooser, truth[pairs.item], pairs.overlap)
        same = self.found.label[pairs.chooser] == self.data.truth.label[pairs.item]
        right_class, right_box = self._best(pairs, same)
        other_class, other_box = self._best(pairs, ~same)
        twice, _ = self._best(pairs, same & self.used[pairs.item])
        anything, _ = self._best(pairs, np.ones(len(same), dtype=bool))
        false_positives = self.outcome != TRUE_POSITIVE
        tests = [
            (ErrorType.LOCALISATION, (right_class >= self.background) & (right_class <= self.foreground)),
            (ErrorType.CLASSIFICATION, other_class >= self.foreground),
            (ErrorType.DUPLICATE, twice >= self.foreground),
            (ErrorType.BACKGROUND, anything <= self.background),
            (ErrorType.BOTH, np.ones(len(false_positives), dtype=bool)),
        ]
        self.kinds = np.full(len(false_positives), None, dtype=object)
        for kind, holds in tests:
            self.kinds[false_positives & holds & (self.kinds == None)] = kind  # noqa: E711 - elementwise
        target = np.where(
            self.kinds == ErrorType.LOCALISATION,
            right_box,
            np.where(self.kinds == ErrorType.CLASSIFICATION, other_box, -1),
        )
        target[(target >= 0) & self.used[target]] = -1
        # One truth box mends one error: that of the surest detection.
        order = np.argsort(-self.found.score, kind="stable")
        aimed = order[target[order] >= 0]
        _, first = np.unique(target[aimed], return_index=True)
        self.mends = np.full(len(target), -1)
        self.mends[aimed[first]] = target[aimed[first]]
        claimed = np.zeros(len(self.data.truth), dtype=bool)
        claimed[target[target >= 0]] = True
        self.missed = np.flatnonzero(self.counted & ~self.used & ~claimed)

    def _best(self, pairs: Pairs, mask: Bools) -> tuple[Floats, Ints]:
        """Largest overlap of each detection among the masked pairs (0 for none), and the first truth box with it."""
        chooser, item, overlap = pairs.chooser[mask], pairs.item[mask], pairs.overlap[mask]
        order = np.lexsort((-item, overlap, chooser))
        best, box = np.zeros(len(self.found)), np.full(len(self.found), -1)
        # The last write wins: the largest overlap, the first box.
        best[chooser[order]], box[chooser[order]] = overlap[order], item[order]
        return best, box

    def _ap(self, mended: ErrorType | None) -> float | None:
        """Mean average precision with all errors of one type mended."""
        hit, label = self.outcome == TRUE_POSITIVE, self.found.label.copy()
        there = (self.outcome == TRUE_POSITIVE) | (self.outcome == FALSE_POSITIVE)
        truths = np.bincount(self.data.truth.label[self.counted], minlength=len(self.data.labels)).astype(np.float64)
        if mended == ErrorType.MISSED:
            truths -= np.bincount(self.data.truth.label[self.missed], minlength=len(self.data.labels))
        elif mended is not None:
            chosen = self.kinds == mended
            mend = chosen & (self.mends >= 0)
            there = (there & ~chosen) | mend
            hit = hit | mend
            label[mend] = self.data.truth.label[self.mends[mend]]
        order = np.argsort(-self.found.score, kind="stable")
        values = []
        for number in np.flatnonzero(truths > 0).tolist():
            mine = order[(there & (label == number))[order]]
            values.append(average_precision(hit[mine].astype(float), (~hit[mine]).astype(float), float(truths[number])))
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    def result(self) -> Tide:
        """Everything, in the data set's own order."""
        ap = self._ap(None)
        cost: dict[ErrorType, float | None] = {}
        for kind in ErrorType:
            mended = self._ap(kind)
            cost[kind] = None if ap is None or mended is None else mended - ap
        counts = {kind: int((self.kinds == kind).sum()) for kind in ErrorType}
        counts[ErrorType.MISSED] = len(self.missed)
        kinds: list[ErrorType | None] = [None] * len(self.data.found)
        for position, kind in zip(self.entering.tolist(), self.kinds.tolist(), strict=True):
            kinds[position] = kind
        return Tide(ap, cost, counts, tuple(kinds), self.missed)
