"""KITTI's average precision at easy, moderate and hard.

Source: Geiger, Lenz and Urtasun, Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite, CVPR 2012, and
its development kit (``evaluate_object.cpp``); 40 recall points since Simonelli et al., Disentangling Monocular 3D
Object Detection, ICCV 2019, 11 before.

It differs from COCO in more than its filters: truth boxes choose detections and not the reverse, precision is measured
at 41 confidences that the recall dictates, the overlap must exceed the threshold, and small detections excuse a truth
box without finding it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vru.evaluation.core.assignment import Pairs, assign, overlap_pairs, ranks
from vru.evaluation.core.ordering import rank_in_cell
from vru.evaluation.core.tables import DataSet, Floats

_POINTS = 41


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Which truth counts: pixels of height from, KITTI's occlusion level up to, share truncated up to."""

    height: float
    occlusion_level: int
    truncation: float


DIFFICULTIES: Mapping[str, Difficulty] = {
    "easy": Difficulty(40, 0, 0.15),
    "moderate": Difficulty(25, 1, 0.30),
    "hard": Difficulty(25, 2, 0.50),
}


@dataclass(frozen=True, slots=True)
class KittiMetrics:
    """Average precision of one class at one difficulty, from ``truths`` boxes; None without truth.

    ``precision`` is at 41 recalls 0, 1/40, ..., 1; ``scores`` are the confidences at which it was measured.
    """

    precision: Floats
    scores: Floats
    truths: int

    @property
    def ap_40(self) -> float | None:
        """Over 40 recalls, 0 being left out."""
        return float(self.precision[1:].mean()) if self.truths else None

    @property
    def ap_11(self) -> float | None:
        """Over 11 recalls, as published before 2019."""
        return float(self.precision[::4].mean()) if self.truths else None


def kitti(
    data: DataSet,
    label: str,
    difficulty: Difficulty,
    *,
    overlap: float = 0.5,
    neighbours: frozenset[str] = frozenset(),
    regions: str = "DontCare",
) -> KittiMetrics:
    """Evaluate one class at one difficulty.

    Truth of a class in ``neighbours`` (a sitting person for a pedestrian), or beyond the difficulty, may be found or
    not. Detections inside of the ``regions`` (by more than ``overlap`` of their own area) are no false positives.
    """
    case = _Case(data, label, difficulty, overlap, neighbours, regions)
    truths = int(case.counts.sum())
    scores = _score_steps(case.first_scores(), truths)
    true_positives, false_positives = case.at(scores) if len(scores) else (np.zeros(0), np.zeros(0))
    precision = np.zeros(_POINTS)
    precision[: len(scores)] = np.divide(
        true_positives,
        true_positives + false_positives,
        out=np.zeros(len(scores)),
        where=true_positives + false_positives > 0,
    )
    return KittiMetrics(np.maximum.accumulate(precision[::-1])[::-1], scores, truths)


class _Case:
    """One class at one difficulty: who may choose which detection."""

    def __init__(
        self,
        data: DataSet,
        label: str,
        difficulty: Difficulty,
        overlap: float,
        neighbours: frozenset[str],
        regions: str,
    ) -> None:
        names = np.array([name.lower() for name in data.labels])
        truth, found = data.truth, data.found
        mine = (names == label.lower())[truth.label]
        beside = np.isin(names, [name.lower() for name in neighbours])[truth.label]
        region = (names == regions.lower())[truth.label] | truth.crowd
        beyond = (
            (truth.occlusion_level > difficulty.occlusion_level)
            | (np.nan_to_num(truth.truncation) > difficulty.truncation)
            | (truth.boxes[:, 3] < difficulty.height)
            | truth.ignore
        )
        choosing = np.flatnonzero((mine | beside) & ~region)
        self.counts = (mine & ~beyond)[choosing]
        # As in the development kit, a detection that is too small is set aside whatever its class.
        small = np.trunc(found.boxes[:, 3]) < difficulty.height
        able = np.flatnonzero(small | (names == label.lower())[found.label])
        self.small, self.score = small[able], found.score[able]
        self.pairs = self._exceeding(
            overlap_pairs(
                truth.picture[choosing], truth.boxes[choosing], found.picture[able], found.boxes[able],
                np.zeros(len(able), dtype=bool), overlap,
            ),
            overlap,
        )  # fmt: skip
        self.turn = rank_in_cell(truth.picture[choosing])[self.pairs.chooser]
        inside = self._exceeding(
            overlap_pairs(
                found.picture[able], found.boxes[able], truth.picture[region], truth.boxes[region],
                np.ones(int(region.sum()), dtype=bool), overlap,
            ),
            overlap,
        )  # fmt: skip
        self.excused = np.zeros(len(able), dtype=bool)
        self.excused[inside.chooser] = True

    @staticmethod
    def _exceeding(pairs: Pairs, overlap: float) -> Pairs:
        more = pairs.overlap > overlap
        return Pairs(pairs.chooser[more], pairs.item[more], pairs.overlap[more])

    def _choose(self, wish: np.typing.NDArray[np.int32]) -> np.typing.NDArray[np.int32]:
        """Detection that each truth box chooses: choosers x variants, -1 for none."""
        reusable = np.zeros(len(self.score), dtype=bool)
        return assign(self.pairs, self.turn, wish, len(self.counts), len(self.score), reusable)

    def first_scores(self) -> Floats:
        """Confidence of each counted truth box's detection, if each takes the surest one."""
        surest = ranks(-self.pairs.item, self.score[self.pairs.item])
        choice = self._choose(surest[:, None])[:, 0]
        hit = self.counts & (choice >= 0)
        hit[hit] = ~self.small[choice[hit]]
        return np.asarray(self.score[choice[hit]], dtype=np.float64)

    def at(self, scores: Floats) -> tuple[Floats, Floats]:
        """Hits and false positives at each confidence, each truth box taking the detection that it overlaps most."""
        item = self.pairs.item
        # Of the small ones the first one serves, and only where there is no other.
        wish = np.where(self.small[item], ranks(-item), ranks(-item, self.pairs.overlap) + np.int32(len(item))).astype(
            np.int32
        )
        alive = self.score[:, None] >= scores[None, :]
        choice = self._choose(np.where(alive[item], wish[:, None], np.int32(0)))
        chosen = np.zeros(alive.shape, dtype=bool)
        who, variant = np.nonzero(choice >= 0)
        chosen[choice[who, variant], variant] = True
        real = self.counts[who] & ~self.small[choice[who, variant]]
        true_positives = np.bincount(variant[real], minlength=len(scores)).astype(np.float64)
        false_positives = (alive & ~chosen & ~(self.small | self.excused)[:, None]).sum(axis=0).astype(np.float64)
        return true_positives, false_positives


def _score_steps(scores: Floats, truths: int) -> Floats:
    """The confidences whose recall lies closest to 0, 1/40, ..., 1."""
    falling = np.sort(scores)[::-1]
    steps, wanted = [], 0.0
    for number, score in enumerate(falling.tolist()):
        last = number == len(falling) - 1
        here = (number + 1) / truths
        after = here if last else (number + 2) / truths
        if after - wanted < wanted - here and not last:
            continue
        steps.append(score)
        wanted += 1 / (_POINTS - 1)
    return np.array(steps[:_POINTS])
