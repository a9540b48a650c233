"""From sums over units to estimates with bounds."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vru.evaluation.core.frames import clip_of
from vru.evaluation.core.tables import DataSet, Floats, Ints
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Replicates

Rates = Callable[[Floats], Mapping[str, Floats]]
# The figures of one row of weights: of the units seen, and with each of the units that may not have been seen.
Redraw = Callable[[Floats, float], Sequence[Mapping[str, float | None]]]


@dataclass(frozen=True, slots=True)
class Units:
    """The independent units: ``of_picture`` is each picture's, ``count`` how many there are, ``name`` what they are."""

    name: str
    of_picture: Ints
    count: int

    def sums(self, values: Floats) -> Floats:
        """Values of pictures (pictures x columns) summed over each unit (units x columns)."""
        columns = [np.bincount(self.of_picture, weights=column, minlength=self.count) for column in values.T]
        return np.column_stack(columns).astype(np.float64)

    def showing(self, pictures: Ints) -> int:
        """How many units these pictures (positions, in any number) belong to."""
        return len(np.unique(self.of_picture[pictures]))


def units_of(data: DataSet, times: Sequence[float] | None = None, clip_seconds: float = 10.0) -> Units:
    """What may be drawn independently: sequences; of a single video with ``times``, its clips; of unrelated pictures,
    the pictures.
    """
    sequences = len(data.sequences)
    if sequences == data.pictures:
        return Units("images", np.arange(data.pictures), data.pictures)
    if sequences == 1 and times is not None:
        _, number = np.unique(clip_of(np.asarray(times), times[0], clip_seconds), return_inverse=True)
        return Units("clips", number, int(number.max()) + 1)
    return Units("sequences", data.sequence, sequences)


@dataclass(frozen=True, slots=True)
class PointEstimate:
    """A figure (None where the data do not determine it) and its replicates; none where it was not resampled."""

    value: float | None
    replicates: Replicates = field(default_factory=Replicates)


def resampled(draws: Draws, table: Floats, rates: Rates, unseen: Floats) -> dict[str, PointEstimate]:
    """Metrics that follow from sums, and their replicates.

    ``table`` holds the units' sums: units x columns. ``rates`` makes figures of any number of such rows of sums.
    ``unseen`` are the sums of the units that may not have been seen, the worst and the best of them: a few rows.
    """
    values = rates(table.sum(axis=0, keepdims=True))
    drawn: dict[str, Replicates] = {}
    if draws.resamples and draws.count:
        sums, weight = draws.sums(table)
        drawn = _replicates(rates(sums), [rates(sums + weight[:, None] * row) for row in unseen], rates(unseen))
    return {
        name: PointEstimate(None if np.isnan(value[0]) else float(value[0]), drawn.get(name, Replicates()))
        for name, value in values.items()
    }


def resampled_rows(draws: Draws, one: Redraw, limits: tuple[float, float] = (0.0, 1.0)) -> dict[str, Replicates]:
    """Replicates of figures that need all pictures, such as average precision: ``one`` makes those of one row."""
    rows = [
        one(seen, float(unseen)) for block, weight in draws.blocks() for seen, unseen in zip(block, weight, strict=True)
    ]
    if not rows:
        return {}
    tables = [
        {name: np.array([row[kind][name] for row in rows], dtype=np.float64) for name in rows[0][0]}
        for kind in range(len(rows[0]))
    ]
    alone = {name: np.array(limits) for name in tables[0]}
    return _replicates(tables[0], tables[1:], alone)


def _replicates(
    seen: Mapping[str, Floats], with_unseen: Sequence[Mapping[str, Floats]], alone: Mapping[str, Floats]
) -> dict[str, Replicates]:
    """Which of the unseen units lowers a figure most, and which raises it most, differs from figure to figure."""
    result = {}
    for name, values in seen.items():
        among = np.array([values, *(part[name] for part in with_unseen)])
        limits = alone[name][~np.isnan(alone[name])]
        # A unit that does not determine the figure by itself does not draw it anywhere.
        low, high = (float(limits.min()), float(limits.max())) if len(limits) else (0.0, 1.0)
        result[name] = Replicates(values, np.fmin.reduce(among), np.fmax.reduce(among), (low, high))
    return result


def affordable(one: Callable[[], object], resamples: int | None, seconds: float, least: int = 0) -> int:
    """How many resamples to draw: ``resamples`` if it is given, else up to 1,000 in about ``seconds``.

    ``one`` computes one resample. Where fewer than 100 would fit it is ``least``, because those give no interval.
    """
    if resamples is not None:
        return resamples
    started = time.process_time()
    one()
    fitting = int(seconds / max(time.process_time() - started, 1e-9))
    return max(min(1000, fitting), least) if fitting >= 100 else least
