"""Intervals for figures of data sets: whole sequences, clips or images are drawn again, never frames of a video."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vru.evaluation.core.tables import DataSet, Floats, Ints
from vru.evaluation.statistics.bootstrap import bca, influence
from vru.evaluation.statistics.estimates import Estimate, Resampled, decided, search, unseen_share

# Fewer units say too little about the spread of a figure that has no bounds of its own.
_FEWEST = 10
# Weights drawn at once: 10,000 resamples of 100,000 images would be 8 GB, and a long video has thousands of tracks.
_BLOCK = 250_000
# So many groups of units tell the skewness of a figure that is slow to compute well enough.
_GROUPS = 40
Rates = Callable[[Floats], Mapping[str, Floats]]


@dataclass(frozen=True, slots=True)
class Units:
    """The independent units: ``of_picture`` is each picture's, ``count`` how many there are, ``name`` what they are."""

    name: str
    of_picture: Ints
    count: int

    def weights(self, resamples: int, seed: int | tuple[int, ...]) -> Iterator[Floats]:
        """How often each unit was drawn, in blocks of some resamples x units; the same whatever the blocks' size."""
        if not self.count:
            return
        rng = np.random.default_rng(seed)
        size = max(1, _BLOCK // self.count)
        for start in range(0, resamples, size):
            rows = min(size, resamples - start)
            drawn = rng.integers(0, self.count, (rows, self.count))
            drawn += np.arange(rows)[:, None] * self.count
            times = np.bincount(drawn.ravel(), minlength=rows * self.count)
            yield times.reshape(rows, self.count).astype(np.float64)

    def without(self) -> Floats:
        """Weights of 1 with one of up to 40 groups of units left out each: groups x units."""
        groups = min(self.count, _GROUPS)
        own = np.arange(self.count) % max(groups, 1)
        return np.asarray(own[None, :] != np.arange(groups)[:, None], dtype=np.float64)

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
        clips = np.floor((np.asarray(times) - times[0] + 1e-6) / clip_seconds).astype(np.int64)
        _, number = np.unique(clips, return_inverse=True)
        return Units("clips", number, int(number.max()) + 1)
    return Units("sequences", data.sequence, sequences)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of at most 1 without a lower limit (MOTA and its kin), with the bootstrap's bounds.

    With fewer than ten units, or without replicates, nothing is known about its spread: there is no bound. A resample
    can only repeat what was seen, so the bounds are widened by the share of units that may be of a kind not seen
    (``estimates.unseen_share``), with the figure at 0 there, which is what saying nothing scores, or at 1.
    """

    value: float | None
    n: int
    replicates: Floats
    units: str = "sequences"
    influences: Floats = field(default_factory=lambda: np.zeros(0))

    def bounds(self, confidence: float) -> tuple[float, float]:
        """BCa bootstrap (Efron 1987), widened."""
        if self.value is None or self.n < _FEWEST or np.isnan(self.replicates).any():
            return -math.inf, math.inf
        low, high = bca(self.value, self.replicates, self.influences, self.n, confidence)
        unseen = unseen_share(self.n, confidence)
        return min(low, self.value * (1 - unseen)), max(high, self.value + (1 - self.value) * unseen)

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """Assumes that the value stays, and that the spread falls with the root of the number of units. Below ten
        units, as many as bound it; they may decide nothing yet.
        """
        value = self.value
        low, high = self.bounds(confidence)
        if value is None or not math.isfinite(low):
            return _FEWEST - self.n if 0 < self.n < _FEWEST else None

        def enough(n: int) -> bool:
            shrink = math.sqrt(self.n / n)
            return decided((value - (value - low) * shrink, value + (high - value) * shrink), threshold, at_least)

        return search(self.n, enough)


@dataclass(frozen=True, slots=True)
class Counted:
    """A figure of this data set alone, such as a number of identity switches: it has no interval.

    One that has none because there is a single unit would have one from ``fewest`` units on; 0 is never.
    """

    value: float | None
    n: int
    units: str
    fewest: int = 0

    def bounds(self, confidence: float) -> tuple[float, float]:
        """None that are known."""
        return -math.inf, math.inf

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """As many as bound it; they may decide nothing yet. None if none would."""
        return self.fewest - self.n if 0 < self.n < self.fewest else None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure (None where the data do not determine it), its replicates, and the units' influences on it."""

    value: float | None
    replicates: Floats = field(default_factory=lambda: np.zeros(0))
    influences: Floats = field(default_factory=lambda: np.zeros(0))


def resampled(units: Units, table: Floats, rates: Rates, resamples: int, seed: int) -> dict[str, Drawn]:
    """Figures that follow from sums, and their bootstrap over the ``units``.

    ``table`` holds the units' sums: units x columns. ``rates`` makes figures of any number of such rows of sums. A
    resample is a row of weights times the table, so 10,000 resamples take about a second.
    """
    total = table.sum(axis=0, keepdims=True)
    values = {name: float(value[0]) for name, value in rates(total).items()}
    parts = [weights @ table for weights in units.weights(resamples, seed)]
    drawn = rates(np.concatenate(parts)) if parts else {}
    left_out = rates(total - table) if parts else {}
    return {
        name: Drawn(
            None if math.isnan(value) else value,
            *((np.asarray(drawn[name]), influence(np.asarray(left_out[name]))) if parts else ()),
        )
        for name, value in values.items()
    }


def redrawn(
    units: Units, one: Callable[[Floats], Mapping[str, float | None]], resamples: int, seed: int
) -> dict[str, tuple[Floats, Floats]]:
    """Replicates and influences of figures that need all pictures, such as average precision.

    ``one`` makes the figures from the pictures' weights. The influences are those of up to 40 groups of units.
    """

    def table(weights: Iterable[Floats]) -> dict[str, Floats]:
        rows = [one(row[units.of_picture]) for row in weights]
        names = rows[0] if rows else ()
        return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in names}

    if not resamples:
        return {}
    drawn = table(row for block in units.weights(resamples, seed) for row in block)
    left_out = table(units.without())
    return {name: (values, influence(left_out[name])) for name, values in drawn.items()}


def share(figure: Drawn, units: Units, n: int) -> Estimate:
    """An estimate of a figure from 0 to 1 that rests on ``n`` of the units; without replicates, or where there is one
    unit in all, it has no interval.
    """
    if not len(figure.replicates) or units.count < 2:
        return without_interval(figure.value, n, units.name)
    return Resampled(figure.value, n, figure.replicates, units.name, figure.influences)


def without_interval(value: float | None, n: int, units: str) -> Counted:
    """A figure that was not resampled: from one unit that was not possible, and ten would show how much they differ."""
    return Counted(value, n, units, _FEWEST if n < 2 else 0)


def affordable(
    one: Callable[[], object], resamples: int | None, seconds: float, clock: Callable[[], float], least: int = 0
) -> int:
    """How many resamples to draw: ``resamples`` if it is given, else up to 1,000 in about ``seconds``.

    ``one`` computes one resample. Where fewer than 100 would fit it is ``least``, because those give no interval.
    """
    if resamples is not None:
        return resamples
    started = clock()
    one()
    fitting = int(seconds / max(clock() - started, 1e-9))
    return max(min(1000, fitting), least) if fitting >= 100 else least
