"""Estimates with their bounds: what is known about a metric from so many independent units, and what is not.

Units are tracks and clips, never frames: frames of one road user resemble each other, and intervals that treat them as
independent cover the truth far too rarely.

All bounds here are one-sided: ``bounds(0.95)`` gives a lower and an upper bound each of which holds with 95 %
confidence, so both together are a 90 % interval. -inf and inf mean that the data set no bound.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy import special

from vru.evaluation.core.matching import Floats
from vru.evaluation.statistics.bootstrap import bca

_MOST = 1_000_000


class Estimate(Protocol):
    """A metric's value, the number of independent units behind it, and what those units can prove."""

    @property
    def value(self) -> float | None:
        """The estimate, or None where the data do not determine it."""

    @property
    def n(self) -> int:
        """Number of independent units."""

    @property
    def units(self) -> str:
        """What the units are: "tracks" or "clips"."""

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper one-sided bound, each at ``confidence``."""

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """How many more units would decide the criterion if they looked like those seen; None if none would."""


def clopper_pearson(successes: float, n: float, confidence: float) -> tuple[float, float]:
    """Exact one-sided bounds of a proportion (Clopper and Pearson 1934), each at ``confidence``."""
    if n <= 0:
        return 0.0, 1.0
    alpha = 1 - confidence
    low = float(special.betaincinv(successes, n - successes + 1, alpha)) if successes > 0 else 0.0
    high = float(special.betaincinv(successes + 1, n - successes, 1 - alpha)) if successes < n else 1.0
    return low, high


def garwood(events: float, exposure: float, confidence: float) -> tuple[float, float]:
    """Exact one-sided bounds of a Poisson rate (Garwood 1936): ``events`` in ``exposure``, each at ``confidence``."""
    if exposure <= 0:
        return 0.0, math.inf
    alpha = 1 - confidence
    low = float(special.gammaincinv(events, alpha)) if events > 0 else 0.0
    return low / exposure, float(special.gammaincinv(events + 1, 1 - alpha)) / exposure


def _binomial_quantile(probability: float, n: int, share: float) -> int:
    """Smallest k for which P(Binomial(n, share) <= k) reaches ``probability``.

    ``scipy.stats`` has this too; importing it would double the time that a worker takes to start.
    """
    k: int = math.ceil(special.bdtrik(probability, n, share))
    while k > 0 and special.bdtr(k - 1, n, share) >= probability:
        k -= 1
    return k


def unseen_share(n: int, confidence: float) -> float:
    """Largest share of all units that can be of a kind that none of ``n`` units showed.

    It is ``1 - (1 - confidence)^(1/n)``. With 59 units and 95 % confidence it is just below 0.05: 59 events without a
    miss prove a share of 0.95.
    """
    return 1.0 if n <= 0 else 1 - (1 - confidence) ** (1 / n)


@dataclass(frozen=True, slots=True)
class Proportion:
    """Successes among independent units, with exact bounds."""

    successes: int
    n: int
    units: str = "tracks"

    @property
    def value(self) -> float | None:
        """The share of successes."""
        return self.successes / self.n if self.n else None

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Clopper-Pearson."""
        return clopper_pearson(self.successes, self.n, confidence)

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """Assumes that the share of successes stays as it is."""
        share = 1.0 if self.value is None else self.value
        return search(self.n, lambda n: decided(clopper_pearson(share * n, n, confidence), threshold, at_least))


@dataclass(frozen=True, slots=True)
class Resampled:
    """A figure from 0 to 1 (precision, recall, F1, average precision) whose units differ in size.

    The bounds are the bootstrap's, widened to what ``unseen_share`` allows: a resample can only repeat what was seen,
    so from few or from flawless units it gives an interval that is far too narrow. A share of ``unseen_share(n)`` of
    all units may be of a kind not seen at all, with the figure at 0 (or at 1) there. Of flawless units that is the
    exact binomial bound.
    ``replicates`` are the figures of the resamples, NaN where a resample does not determine one. ``influences`` are
    the units' (``bootstrap.influence``); without them the bounds are not corrected for skewness.
    """

    value: float | None
    n: int
    replicates: Floats
    units: str = "tracks"
    influences: Floats = field(default_factory=lambda: np.zeros(0))

    def bounds(self, confidence: float) -> tuple[float, float]:
        """BCa bootstrap (Efron 1987), widened."""
        if self.value is None:
            return 0.0, 1.0
        return _widened(self.value, *self._bca(self.value, confidence), self.n, confidence)

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """Assumes that the value stays, and that the bootstrap's spread falls with the root of the number of units."""
        if self.value is None:
            best = 1.0 if at_least else 0.0
            return Resampled(best, 0, np.full(1, best)).more_needed(threshold, at_least, confidence)
        value = self.value
        low, high = self._bca(value, confidence)

        def enough(n: int) -> bool:
            shrink = math.sqrt(self.n / n)
            projected = _widened(value, value - (value - low) * shrink, value + (high - value) * shrink, n, confidence)
            return decided(projected, threshold, at_least)

        return search(self.n, enough)

    def _bca(self, value: float, confidence: float) -> tuple[float, float]:
        # A resample that determines nothing counts against the bound, on either side.
        low, high = bca(value, self.replicates, self.influences, self.n, confidence)
        return max(low, 0.0), min(high, 1.0)


def _widened(value: float, low: float, high: float, n: int, confidence: float) -> tuple[float, float]:
    unseen = unseen_share(n, confidence)
    return min(low, value * (1 - unseen)), max(high, value + (1 - value) * unseen)


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a time, with exact distribution-free bounds from the order statistics.

    Source: David and Nagaraja, Order Statistics, 7.1: the r-th smallest of n is an upper bound with confidence
    P(Binomial(n, q) < r). ``earliest`` and ``latest`` are the units' times, rising, with what is not known set to its
    lowest and to its highest possible value (inf for a miss).
    """

    value: float | None
    quantile: float
    earliest: Floats
    latest: Floats
    units: str = "tracks"

    @property
    def n(self) -> int:
        """Number of tracks."""
        return len(self.latest)

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Order statistics; inf where even the slowest track seen sets no bound."""
        n = self.n
        if n == 0:
            return 0.0, math.inf
        upper = _binomial_quantile(confidence, n, self.quantile) + 1
        lower = _binomial_quantile(1 - confidence, n, self.quantile)
        low = float(self.earliest[lower - 1]) if lower >= 1 else 0.0
        high = float(self.latest[upper - 1]) if upper <= n else math.inf
        return low, high

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """Assumes that the share of tracks within the threshold stays: then it is a question about that share."""
        within = float(np.mean(self.latest <= threshold)) if self.n else 1.0

        def enough(n: int) -> bool:
            # The quantile is at most the threshold exactly if the share within the threshold is at least the quantile.
            return decided(clopper_pearson(within * n, n, confidence), self.quantile, not at_least)

        return search(self.n, enough)


@dataclass(frozen=True, slots=True)
class Rate:
    """Events a minute, or of another ``exposure``, such as images.

    ``replicates`` are the rates of the resampled clips, which show if events come in bursts, ``influences`` the clips'.
    """

    events: float
    exposure: float
    n: int
    replicates: Floats
    units: str = "clips"
    influences: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def value(self) -> float | None:
        """Events by exposure."""
        return self.events / self.exposure if self.exposure > 0 else None

    def bounds(self, confidence: float) -> tuple[float, float]:
        """The wider of Garwood's exact Poisson bounds and the bootstrap's (BCa)."""
        low, high = garwood(self.events, self.exposure, confidence)
        if self.value is None:
            return low, high
        burst_low, burst_high = self._bca(confidence)
        return min(low, burst_low), max(high, burst_high)

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """Assumes that the rate stays, and that the bootstrap's spread falls with the root of the number of clips."""
        if self.value is None or self.n == 0:
            return None
        value, clip = self.value, self.exposure / self.n
        burst_low, burst_high = self._bca(confidence)

        def enough(n: int) -> bool:
            low, high = garwood(value * clip * n, clip * n, confidence)
            shrink = math.sqrt(self.n / n)
            projected = (
                min(low, value - (value - burst_low) * shrink),
                max(high, value + (burst_high - value) * shrink),
            )
            return decided(projected, threshold, at_least)

        return search(self.n, enough)

    def _bca(self, confidence: float) -> tuple[float, float]:
        # Without resamples, or where one has no exposure, the bursts are not known and Garwood stands alone.
        if self.value is None or not len(self.replicates) or np.isnan(self.replicates).any():
            return math.inf, -math.inf
        return bca(self.value, self.replicates, self.influences, self.n, confidence)


@dataclass(frozen=True, slots=True)
class Known:
    """A figure that is not estimated, such as the time between two evaluated frames."""

    value: float | None
    n: int
    units: str = "frames"

    def bounds(self, confidence: float) -> tuple[float, float]:
        """The value itself."""
        return (-math.inf, math.inf) if self.value is None else (self.value, self.value)

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """More data change nothing."""
        return None


def decided(bounds: tuple[float, float], threshold: float, at_least: bool) -> bool:
    """Whether the bounds lie on one side of the threshold."""
    low, high = bounds
    if at_least:
        return low >= threshold or high < threshold
    return high <= threshold or low > threshold


def search(n: int, holds: Callable[[int], bool]) -> int | None:
    """Units beyond ``n`` from which ``holds`` holds: doubling, then bisection."""
    if n > 0 and holds(n):
        return 0
    undecided, step = n, 1
    while not holds(n + step):
        undecided = n + step
        if step > _MOST:
            return None
        step *= 2
    enough = n + step
    while enough - undecided > 1:
        middle = (enough + undecided) // 2
        if holds(middle):
            enough = middle
        else:
            undecided = middle
    return enough - n
