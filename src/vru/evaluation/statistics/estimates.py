"""Estimates with their bounds: what so many independent units prove about a metric.

Units are recordings, clips of one, or images that are known to be independent; never frames of a video.

All bounds here are one-sided: ``bounds(0.95)`` gives a lower and an upper bound each of which holds with 95 %
confidence, so both together are a 90 % interval. -inf and inf mean that the data set no bound.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.core.tables import Bools, Floats, Ints
from vru.evaluation.statistics.draws import Draws, unseen_odds

# A single unit does not show how much units differ.
FEWEST = 2
_MOST = 1_000_000
_NONE: Floats = np.zeros(0)


class Estimate(Protocol):
    """A metric's value, the number of independent units behind it, and what those units prove."""

    @property
    def value(self) -> float | None:
        """The point estimate, or None where the data do not determine it."""

    @property
    def n(self) -> int:
        """Number of independent units."""

    @property
    def units(self) -> str:
        """What the units are: "recordings", "clips", "images", ..."""

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper one-sided bound, each at ``confidence``."""

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """How many more units would decide the criterion if they looked like those seen; None if none would."""


@dataclass(frozen=True, slots=True)
class Replicates:
    """The figure under each row of weights: of the units ``seen`` alone, and with the one that was not seen being the
    one that lowers (``low``) or raises it (``high``) most. NaN where a row does not determine it.

    ``limits`` are the figure of the unit not seen alone, at its lowest and at its highest.
    """

    seen: Floats = field(default_factory=lambda: _NONE)
    low: Floats = field(default_factory=lambda: _NONE)
    high: Floats = field(default_factory=lambda: _NONE)
    limits: tuple[float, float] = (0.0, 1.0)

    def __len__(self) -> int:
        return len(self.seen)

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Gaffke's bounds; infinite where there are too few resamples for the ``confidence``."""
        return lower_quantile(self.low, confidence), -lower_quantile(-self.high, confidence)

    def projected(self, value: float, n: int, wanted: int, confidence: float) -> tuple[float, float]:
        """The bounds that ``wanted`` units like the ``n`` seen would give: the spread of those seen falls with the root
        of their number, the weight of the unit not seen with the odds of missing its kind.
        """
        shrink = math.sqrt(n / wanted)
        odds = unseen_odds(wanted, confidence) / unseen_odds(n, confidence)
        bounds = self.bounds(confidence)
        ends = lower_quantile(self.seen, confidence), -lower_quantile(-self.seen, confidence)
        low, high = (
            _projected(value, end, bound, limit, shrink, odds)
            for end, bound, limit in zip(ends, bounds, self.limits, strict=True)
        )
        return low, high


def lower_quantile(replicates: Floats, confidence: float) -> float:
    """The replicate below which a share of 1 - ``confidence`` lies, rounded to the safe side; NaN counts as lowest."""
    place = math.floor((1 - confidence) * (len(replicates) + 1) + 1e-9)
    if place < 1:
        return -math.inf
    ranked = np.where(np.isnan(replicates), -np.inf, replicates)
    return float(np.partition(ranked, place - 1)[place - 1])


def _projected(value: float, end: float, bound: float, limit: float, shrink: float, odds: float) -> float:
    # The bound takes a share of the way from the spread's end to the limit: odds of shares grow with the weight.
    if not math.isfinite(bound) or not math.isfinite(end):
        return bound
    way = (bound - end) / (limit - end) if limit != end else 0.0
    way = min(max(way, 0.0), 1 - 1e-12)
    scaled = odds * way / (1 - way)
    nearer = value + (end - value) * shrink
    return nearer + (limit - nearer) * scaled / (1 + scaled)


@dataclass(frozen=True, slots=True)
class Resampled:
    """A figure of ``n`` units, with Gaffke's bounds from its ``replicates``."""

    value: float | None
    n: int
    replicates: Replicates
    units: str = "clips"

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Gaffke's; none from a single unit, or without replicates."""
        if self.value is None or self.n < FEWEST:
            return -math.inf, math.inf
        return self.replicates.bounds(confidence)

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """Assumes that further units are like those seen. Where the data do not determine the figure, that they are
        flawless; where it was not resampled, how many there must be at least.
        """
        n, value, replicates = self.n, self.value, self.replicates
        if value is None or not n:
            best = replicates.limits[at_least]
            return search(0, lambda n: decided(_flawless(best, replicates.limits, n, confidence), threshold, at_least))
        if not len(replicates):
            return FEWEST - n if n < FEWEST else None
        found = search(n, lambda more: decided(replicates.projected(value, n, more, confidence), threshold, at_least))
        return None if found is None else max(found, FEWEST - n)


def _flawless(best: float, limits: tuple[float, float], n: int, confidence: float) -> tuple[float, float]:
    """The bounds from ``n`` units that are all at their ``best``."""
    odds = UnseenUnit().truth * unseen_odds(n, confidence)
    low, high = (best + (limit - best) * odds / (1 + odds) for limit in limits)
    return low, high


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a time over the tracks of all units, such as the 95th percentile of the latency.

    It is at most t where at least the share ``quantile`` of all tracks has a time of at most t: for each t that is a
    share of tracks, with Gaffke's bounds. ``earliest`` and ``latest`` are the tracks' times with what is not known set
    to its lowest and to its highest possible value (inf for a miss), ``unit`` the unit of each. ``unseen`` is how many
    tracks the unit that was not seen may have.
    """

    value: float | None
    quantile: float
    earliest: Floats
    latest: Floats
    unit: Ints
    draws: Draws
    unseen: float
    units: str = "clips"

    @property
    def n(self) -> int:
        """Number of units that have a track."""
        return len(np.unique(self.unit))

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper bound; inf where even the slowest track seen sets none.

        The upper one is the time below which the quantile lies under all rows of weights but so many, the lower one
        that below which it lies under so many: both are found by bisection over the times.
        """
        if self.n < FEWEST:
            return -math.inf, math.inf
        place = math.floor((1 - confidence) * (self.draws.resamples + 1) + 1e-9)
        if place < 1:
            return 0.0, math.inf
        tracks, weight = self.draws.sums(self._per_unit(np.ones(len(self.unit), dtype=np.bool_)))
        more = weight * self.unseen
        # Sums of weights are exact, their product with the share is not: rounding must not move it by one step.
        wanted = self.quantile * (tracks[:, 0] + more) * (1 - 1e-12)
        early = np.count_nonzero(more >= wanted) >= place
        low = 0.0 if early else self._first(self.earliest, wanted - more, place)
        high = self._first(self.latest, wanted, self.draws.resamples - place + 1)
        return max(low, 0.0), high

    def _first(self, times: Floats, wanted: Floats, rows: int) -> float:
        """The first of the times by which so many rows have the weight of tracks that is ``wanted``; inf if none."""
        steps = np.unique(times[np.isfinite(times)])
        below, above = -1, len(steps)
        while above - below > 1:
            middle = (below + above) // 2
            reached = self.draws.sums(self._per_unit(times <= steps[middle]))[0][:, 0]
            if np.count_nonzero(reached >= wanted) >= rows:
                above = middle
            else:
                below = middle
        return float(steps[above]) if above < len(steps) else math.inf

    def _per_unit(self, which: Bools) -> Floats:
        """How many of these tracks each unit has; units x 1."""
        return np.bincount(self.unit[which], minlength=self.draws.count).astype(np.float64)[:, None]

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """Assumes that further units are like those seen; a question about the share of tracks within the threshold."""
        return self.within(threshold).more_needed(self.quantile, not at_least, confidence)

    def within(self, threshold: float) -> Resampled:
        """The share of tracks whose time is known to be at most ``threshold``."""
        inside = np.bincount(self.unit, weights=self.latest <= threshold, minlength=self.draws.count)
        tracks = np.bincount(self.unit, minlength=self.draws.count).astype(np.float64)
        sums, weight = self.draws.sums(np.column_stack([inside, tracks]))
        more = weight * self.unseen
        with np.errstate(invalid="ignore"):
            replicates = Replicates(
                sums[:, 0] / sums[:, 1], sums[:, 0] / (sums[:, 1] + more), (sums[:, 0] + more) / (sums[:, 1] + more)
            )
        share = float(inside.sum() / tracks.sum()) if len(self.unit) else None
        return Resampled(share, self.n, replicates, self.units)


@dataclass(frozen=True, slots=True)
class Fixed:
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


@dataclass(frozen=True, slots=True)
class Unbounded:
    """A figure of these data alone, which no bound generalises: a number of identity switches, or one that was not
    resampled. It decides nothing.
    """

    value: float | None
    n: int
    units: str

    def bounds(self, confidence: float) -> tuple[float, float]:
        """None that are known."""
        return -math.inf, math.inf

    def more_needed(self, threshold: float, at_least: bool, confidence: float) -> int | None:
        """None would."""
        return None


def decided(bounds: tuple[float, float], threshold: float, at_least: bool) -> bool:
    """Whether the bounds lie on one side of the threshold."""
    low, high = bounds
    if at_least:
        return low >= threshold or high < threshold
    return high <= threshold or low > threshold


def search(n: int, holds: Callable[[int], bool]) -> int | None:
    """How many units beyond ``n`` from which ``holds`` holds: doubling, then bisection."""
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
