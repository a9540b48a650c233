"""What a data set's figures are gathered in, and what each of them rests on."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vru.evaluation.core.slices import ALL
from vru.evaluation.core.tables import DataSet, Floats
from vru.evaluation.dataset.protocol import Protocol
from vru.evaluation.detection.coco import AREAS, CocoFigures
from vru.evaluation.detection.outcomes import Outcomes
from vru.evaluation.statistics.estimates import Estimate, Rate
from vru.evaluation.statistics.resampling import Counted, Drawn, Spread, Units, affordable, share, without_interval
from vru.evaluation.video.latency import TrackOutcome

# Efron and Tibshirani 1993 ask for 1,000 or more behind BCa's bounds.
_RESAMPLES = 2000
_UNBOUNDED = {"mota", "moda", "motal", "smota"}
_COUNTS = {"id_switches", "fragmentations"}
Estimates = dict[str, Estimate]
Redrawn = Mapping[str, tuple[Floats, Floats]]


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
    slices: dict[str, Estimates] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    used: int = 0
    tracks: tuple[TrackOutcome, ...] = ()

    def affordable(self, one: Callable[[], object]) -> int:
        """How many resamples to draw of what ``one`` computes."""
        count = affordable(one, self.resamples, self.seconds, time.process_time, self.least)
        self.used = max(self.used, count)
        return count

    def sums(self) -> int:
        """How many resamples to draw of what follows from sums."""
        count = _RESAMPLES if self.resamples is None else self.resamples
        self.used = max(self.used, count)
        return count

    def put(self, slice_: str, metric: str, figure: Drawn, count: int, rate: tuple[float, float] | None = None) -> None:
        """Take a figure that rests on ``count`` units: those that show the slice. ``rate`` are events and exposure,
        where it is a rate of events.
        """
        units, value = self.units.name, figure.value
        estimate: Estimate
        if metric in _COUNTS:
            estimate = Counted(value, count, units)
        elif metric in _UNBOUNDED:
            estimate = Spread(value, count, figure.replicates, units, figure.influences)
        elif rate is not None and len(figure.replicates) and count > 1:
            estimate = Rate(*rate, count, figure.replicates, units, figure.influences)
        elif rate is not None:
            estimate = without_interval(value, count, units)
        else:
            estimate = share(figure, self.units, count)
        self.slices.setdefault(slice_, {})[metric] = estimate

    def put_all(self, slice_: str, outcomes: Outcomes, of: CocoFigures, drawn: Redrawn, label: int | None) -> None:
        """Take COCO's figures of all classes, or of one; they were resampled picture by picture."""
        summary = of.summary(None if label is None else of.labels[label])
        for metric, value in summary.items():
            size = metric.rpartition("_")[2]
            shown = self.shown(outcomes, outcomes.view(size if size in AREAS else ALL), label)
            self.put(slice_, metric, Drawn(value, *drawn.get(f"{slice_}/{metric}", ())), shown)

    def shown(self, outcomes: Outcomes, view: int, label: int | None = None) -> int:
        """How many units have a truth box that counts in the view, of all classes or of one."""
        counted = outcomes.counted_truth(view)
        if label is not None:
            counted = counted & (outcomes.data.truth.label == label)
        return self.units.showing(outcomes.data.truth.picture[counted])
