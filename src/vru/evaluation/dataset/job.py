"""What a data set's figures are gathered in, and what each of them rests on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vru.domain.slices import ALL
from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.core.tables import DataSet, Floats, Ints
from vru.evaluation.dataset.protocol import Protocol
from vru.evaluation.detection.coco import AREAS, CocoFigures
from vru.evaluation.detection.outcomes import Outcomes
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Estimate, Replicates, Resampled, Unbounded
from vru.evaluation.statistics.resampling import Drawn, Units, affordable
from vru.evaluation.video.latency import TrackOutcome

_RESAMPLES = 2000
_FEW_RESAMPLES, _QUICK = 400, 1_000_000
# Outcomes (views x overlaps x detections) from which on resampling them takes minutes.
_LARGE = 2_000_000
_COUNTS = {"id_switches", "fragmentations"}
Estimates = dict[str, Estimate]


@dataclass(slots=True)
class Job:
    """A data set under a protocol."""

    data: DataSet
    protocol: Protocol
    units: Units
    resamples: int | None
    seed: int
    seconds: float
    least: int = 0
    decides: bool = True
    slices: dict[str, Estimates] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    used: int = 0
    tracks: tuple[TrackOutcome, ...] = ()
    # The units of the truth boxes that count in a view, by class, and where each class begins.
    _units_of_truth: dict[tuple[int, int], tuple[Ints, Ints]] = field(default_factory=dict)

    @property
    def unseen(self) -> UnseenUnit:
        """What the bounds assume of units that were not seen."""
        return UnseenUnit(self.protocol.unseen_truth, self.protocol.unseen_false_boxes)

    def affordable(self, one: Callable[[], object], size: int) -> int:
        """How many resamples to draw of what ``one`` computes from outcomes of so many entries: none of many, unless a
        criterion needs them.
        """
        if self.resamples is None and not self.least and size > _LARGE:
            return 0
        count = affordable(one, self.resamples, self.seconds, self.least)
        self.used = max(self.used, count)
        return count

    def sums(self) -> int:
        """How many resamples to draw of what follows from sums."""
        count = self.resamples
        if count is None:
            # Where nothing is decided, the background may cost no more than the figures.
            quick = max(_FEW_RESAMPLES, _QUICK // max(self.units.count, 1))
            count = _RESAMPLES if self.decides else min(_RESAMPLES, quick)
        self.used = max(self.used, count)
        return count

    def draws(self, resamples: int) -> Draws:
        """So many rows of weights of the units."""
        return Draws(self.units.count, resamples, self.seed)

    def frames(self) -> Floats:
        """How many pictures each unit has."""
        return np.bincount(self.units.of_picture, minlength=self.units.count).astype(np.float64)

    def put(self, slice_: str, metric: str, figure: Drawn, count: int) -> None:
        """Take a figure that rests on ``count`` units: those that show the slice."""
        units, value = self.units.name, figure.value
        estimate: Estimate = Resampled(value, count, figure.replicates, units)
        if metric in _COUNTS:
            estimate = Unbounded(value, count, units)
        self.slices.setdefault(slice_, {})[metric] = estimate

    def put_all(
        self, slice_: str, outcomes: Outcomes, of: CocoFigures, drawn: Mapping[str, Replicates], label: int | None
    ) -> None:
        """Take COCO's figures of all classes, or of one; they were resampled picture by picture."""
        summary = of.summary(None if label is None else of.labels[label])
        for metric, value in summary.items():
            size = metric.rpartition("_")[2]
            shown = self.shown(outcomes, outcomes.view(size if size in AREAS else ALL), label)
            self.put(slice_, metric, Drawn(value, drawn.get(f"{slice_}/{metric}", Replicates())), shown)

    def shown(self, outcomes: Outcomes, view: int, label: int | None = None) -> int:
        """How many units have a truth box that counts in the view, of all classes or of one."""
        return int(np.count_nonzero(self.truths(outcomes, view, label)))

    def truths(self, outcomes: Outcomes, view: int, label: int | None = None) -> Floats:
        """How many truth boxes that count in the view each unit has, of all classes or of one."""
        key = id(outcomes), view
        if key not in self._units_of_truth:
            counted = outcomes.counted_truth(view)
            truth = outcomes.data.truth
            unit, of = self.units.of_picture[truth.picture[counted]], truth.label[counted]
            order = np.argsort(of, kind="stable")
            first = np.searchsorted(of[order], np.arange(len(outcomes.data.labels) + 1))
            self._units_of_truth[key] = unit[order], first
        units, first = self._units_of_truth[key]
        mine = units if label is None else units[first[label] : first[label + 1]]
        return np.bincount(mine, minlength=self.units.count).astype(np.float64)
