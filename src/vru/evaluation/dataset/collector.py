"""What a data set's figures are gathered in, and what each of them rests on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vru.domain.slices import ALL
from vru.evaluation.core.ordering import run_starts
from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.core.tables import DataSet, Floats, Ints
from vru.evaluation.dataset.protocol import Protocol
from vru.evaluation.detection.coco import AREAS, CocoMetrics
from vru.evaluation.detection.outcomes import Outcomes
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Estimate, Replicates, Resampled, Unbounded
from vru.evaluation.statistics.resampling import PointEstimate, Units, affordable
from vru.evaluation.video.latency import TrackOutcome

# Beyond so many classes, intervals for each of them would cost more than they say.
MOST_CLASSES = 10
_RESAMPLES = 2000
_FEW_RESAMPLES, _QUICK = 400, 1_000_000
# Outcomes (views x overlaps x detections) from which on resampling them takes minutes.
_LARGE = 2_000_000
_COUNTS = {"id_switches", "fragmentations"}
Estimates = dict[str, Estimate]


@dataclass(slots=True)
class EstimateCollector:
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

    def put(self, slice_: str, metric: str, figure: PointEstimate, count: int) -> None:
        """Take a figure that rests on ``count`` units: those that show the slice."""
        units, value = self.units.name, figure.value
        estimate: Estimate = Resampled(value, count, figure.replicates, units)
        if metric in _COUNTS:
            estimate = Unbounded(value, count, units)
        self.slices.setdefault(slice_, {})[metric] = estimate

    def put_coco(self, outcomes: Outcomes, of: CocoMetrics, drawn: Mapping[str, Replicates], labels: Ints) -> None:
        """Take COCO's figures of all classes and of each of these ``labels``, resampled picture by picture."""
        summary, by_label = of.summary(), of.summaries()
        for metric, value in summary.items():
            size = metric.rpartition("_")[2]
            shown = self.units_with_truth(outcomes, outcomes.view(size if size in AREAS else ALL))
            self.put(ALL, metric, PointEstimate(value, drawn.get(f"{ALL}/{metric}", Replicates())), int(shown[-1]))
            for label in labels.tolist():
                name = f"class:{of.labels[label]}"
                figure = PointEstimate(by_label[metric][label], drawn.get(f"{name}/{metric}", Replicates()))
                self.put(name, metric, figure, int(shown[label]))

    def units_with_truth(self, outcomes: Outcomes, view: int) -> Ints:
        """How many units have a truth box that counts in the view, for each class, and last of all classes."""
        unit, label = self._counted_truth(outcomes, view)
        pairs = np.sort(label * self.units.count + unit)
        different = pairs[run_starts(pairs)] // max(self.units.count, 1)
        of_all = np.count_nonzero(np.bincount(unit))
        return np.append(np.bincount(different, minlength=len(outcomes.data.labels)), of_all)

    def most_truth(self, outcomes: Outcomes, view: int) -> Floats:
        """The most truth boxes of each class that count in the view and are in one unit."""
        unit, label = self._counted_truth(outcomes, view)
        pairs = np.sort(label * self.units.count + unit)
        starts = run_starts(pairs)
        most = np.zeros(len(outcomes.data.labels))
        np.maximum.at(most, pairs[starts] // max(self.units.count, 1), np.diff(np.append(starts, len(pairs))))
        return most

    def _counted_truth(self, outcomes: Outcomes, view: int) -> tuple[Ints, Ints]:
        """Unit and class of each truth box that counts in the view."""
        counted = outcomes.counted_truth(view)
        truth = outcomes.data.truth
        return self.units.of_picture[truth.picture[counted]], truth.label[counted]
