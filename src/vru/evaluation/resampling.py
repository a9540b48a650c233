"""Intervals for figures of data sets: whole sequences, clips or images are drawn again, never frames of a video."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vru.evaluation.estimates import Estimate, Resampled, decided, search
from vru.evaluation.tables import DataSet, Floats, Ints

# Fewer units say too little about the spread of a figure that has no bounds of its own.
_FEWEST = 10


@dataclass(frozen=True, slots=True)
class Units:
    """The independent units: ``of_picture`` is each picture's, ``count`` how many there are, ``name`` what they are."""

    name: str
    of_picture: Ints
    count: int

    def weights(self, resamples: int, seed: int) -> Floats:
        """How often each unit was drawn: resamples x units."""
        if not self.count or not resamples:
            return np.zeros((0, self.count))
        rng = np.random.default_rng(seed)
        shares = np.full(self.count, 1 / self.count)
        return np.asarray(rng.multinomial(self.count, shares, size=resamples), dtype=np.float64)

    def sums(self, values: Floats) -> Floats:
        """Values of pictures summed over each unit."""
        return np.bincount(self.of_picture, weights=values, minlength=self.count).astype(np.float64)


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
    """A figure without bounds of its own (MOTA, false positives per image), with the bootstrap's percentiles.

    With fewer than ten units, or without replicates, nothing is known about its spread: there is no bound.
    """

    value: float | None
    n: int
    replicates: Floats
    units: str = "sequences"

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Percentile bootstrap (Efron 1979)."""
        known = self.replicates[~np.isnan(self.replicates)]
        if self.value is None or self.n < _FEWEST or len(known) < len(self.replicates) or not len(known):
            return -math.inf, math.inf
        low, high = np.quantile(known, [1 - confidence, confidence])
        return min(float(low), self.value), max(float(high), self.value)

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """Assumes that the value stays, and that the spread falls with the root of the number of units."""
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
    """A figure of this data set alone, such as a number of identity switches: it has no interval."""

    value: float | None
    n: int
    units: str

    def bounds(self, confidence: float) -> tuple[float, float]:
        """None that are known."""
        return -math.inf, math.inf

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """More data do not bound it."""
        return None


def share(value: float | None, units: Units, replicates: Floats) -> Estimate:
    """An estimate of a figure from 0 to 1; without replicates, or from one unit, it has no interval."""
    if not len(replicates) or units.count < 2:
        return Counted(value, units.count, units.name)
    return Resampled(value, units.count, replicates, units.name)


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
