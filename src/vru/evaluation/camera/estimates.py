"""Estimates of camera runs: with a systematic part from the clocks, of a measured quantity, of a drift."""

import math
from dataclasses import dataclass

from scipy import special

from vru.evaluation.camera.clocks import Floats
from vru.evaluation.statistics.estimates import Estimate, decided, search

_FEWEST = 10


@dataclass(frozen=True, slots=True)
class Widened:
    """An estimate whose bounds also hold for what the clocks leave open.

    ``others`` are the same figure with all signals shifted by the offset's expanded uncertainty, back and forth:
    signals may then fall into other windows. ``margin`` is that uncertainty in the figure's unit, where it shifts with
    it. The bounds are the widest of all. The systematic part is added to the statistical one, not in
    quadrature: it does not average out.
    """

    central: Estimate
    others: tuple[Estimate, ...]
    margin: float = 0.0

    @property
    def value(self) -> float | None:
        """The estimate at the offset itself."""
        return self.central.value

    @property
    def n(self) -> int:
        """Number of independent units."""
        return self.central.n

    @property
    def units(self) -> str:
        """What the units are."""
        return self.central.units

    def bounds(self, confidence: float) -> tuple[float, float]:
        """The widest."""
        low, high = self.central.bounds(confidence)
        all_bounds = [(low - self.margin, high + self.margin)]
        all_bounds += [other.bounds(confidence) for other in self.others]
        return min(low for low, _ in all_bounds), max(high for _, high in all_bounds)

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """Of the central estimate, against a threshold that is harder by the margin: more units do not join the clocks
        better. None if the value is nearer to the threshold than the margin.
        """
        value = self.value
        if value is not None and abs(value - threshold) <= self.margin:
            return None
        clears = value is None or (value >= threshold if at_least else value <= threshold)
        harder = threshold + (self.margin if clears == at_least else -self.margin)
        more = self.central.more_needed(harder, at_least, confidence)
        # What the units alone already decide is open because of the clocks.
        return more or None


@dataclass(frozen=True, slots=True)
class Measured:
    """A quantity with its standard uncertainty: bounds are Student's with ``freedom``, normal where that is infinite.

    With fewer than ``fewest`` units nothing is known about the uncertainty itself, and there is no bound.
    """

    value: float | None
    uncertainty: float
    n: int
    units: str
    freedom: float = math.inf
    fewest: int = 0

    def bounds(self, confidence: float) -> tuple[float, float]:
        """``value`` give or take so many standard uncertainties."""
        if self.value is None or self.n < self.fewest:
            return -math.inf, math.inf
        finite = math.isfinite(self.freedom)
        reach = float(special.stdtrit(self.freedom, confidence) if finite else special.ndtri(confidence))
        return self.value - reach * self.uncertainty, self.value + reach * self.uncertainty

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """Assumes that the value stays, and that the uncertainty falls with the root of the number of units."""
        value = self.value
        low, high = self.bounds(confidence)
        if value is None or not math.isfinite(low) or not self.n:
            return max(self.fewest - self.n, 0) or None

        def enough(n: int) -> bool:
            shrink = math.sqrt(self.n / n)
            return decided((value - (value - low) * shrink, value + (high - value) * shrink), threshold, at_least)

        return search(self.n, enough)


@dataclass(frozen=True, slots=True)
class Slope:
    """The median of independent slopes (rising), with the exact bounds of the sign test (Theil 1950).

    ``n`` counts the points that they come from.
    """

    slopes: Floats
    n: int
    units: str = "tracks"

    @property
    def value(self) -> float | None:
        """The median slope."""
        count = len(self.slopes)
        return float(self.slopes[(count - 1) // 2] + self.slopes[count // 2]) / 2 if count else None

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Order statistics of the slopes; none where even the flattest and the steepest prove nothing."""
        if not len(self.slopes) or 0.5 ** len(self.slopes) > 1 - confidence:
            return -math.inf, math.inf
        count = len(self.slopes)
        upper = _binomial_quantile(confidence, count, 0.5) + 1
        lower = _binomial_quantile(1 - confidence, count, 0.5)
        return (
            float(self.slopes[lower - 1]) if lower >= 1 else -math.inf,
            float(self.slopes[upper - 1]) if upper <= count else math.inf,
        )

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """Assumes that the bounds close in with the root of the number of tracks."""
        value = self.value
        low, high = self.bounds(confidence)
        if value is None or not math.isfinite(low):
            return _FEWEST - self.n if self.n < _FEWEST else None
        return Measured(value, max(value - low, high - value), self.n, self.units).more_needed(
            threshold, at_least, special.ndtr(1.0)
        )


def _binomial_quantile(probability: float, n: int, share: float) -> int:
    """Smallest k for which P(Binomial(n, share) <= k) reaches ``probability``.

    ``scipy.stats`` has this too; importing it would double the time that a worker takes to start.
    """
    k: int = math.ceil(special.bdtrik(probability, n, share))
    while k > 0 and special.bdtr(k - 1, n, share) >= probability:
        k -= 1
    return k
