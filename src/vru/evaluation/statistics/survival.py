"""The share of road users still undetected after so much time: Kaplan and Meier's curve, with its bounds."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from vru.domain import VruError
from vru.evaluation.core.tables import Floats, Ints

# Shares are products of many factors: rounding must not move a quantile by one step.
_ROUNDING = 1e-12
# Media times are differences of large numbers: what differs by less is the same frame.
_SAME_MS = 1e-6
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class SurvivalCurve:
    """A step curve: from each of ``times_ms`` (rising) on, the share ``undetected``; before the first, all are.

    ``low`` and ``high`` bound the share at each time by itself, at ``confidence_level`` (two-sided); ``variance`` is
    Greenwood's. ``at_risk`` is how many were still watched and undetected just before each time, ``detected`` how many
    were detected at it. ``n`` is the number of all observations, also of those that were censored.
    """

    times_ms: Floats
    undetected: Floats
    variance: Floats
    low: Floats
    high: Floats
    at_risk: Ints
    detected: Ints
    n: int
    confidence_level: float

    def quantile(self, share: float) -> float | None:
        """Milliseconds by which the ``share`` of all is detected; None if the curve never gets there."""
        reached = np.flatnonzero(1 - self.undetected >= share - _ROUNDING)
        return float(self.times_ms[reached[0]]) if len(reached) else None


def kaplan_meier(times_ms: ArrayLike, detected: ArrayLike, confidence_level: float = 0.95) -> SurvivalCurve:
    """The product-limit estimate (Kaplan and Meier 1958) of the share still undetected.

    Each observation ends at its time, by a detection or (``detected`` is False) censored; one that is censored at
    infinity stays among the undetected for good. At equal times detections come before censorings, as usual. The
    variance is Greenwood's (1926); the bounds are those of log(-log(share)) (Kalbfleisch and Prentice 1980, 1.4), which
    never leave 0 to 1. Where nobody is left undetected the lower bound is 0, the upper one that of the time before.

    Raises:
        VruError: a time is not a number, or a detection is at infinity.
    """
    times = np.asarray(times_ms, dtype=np.float64)
    ended = np.asarray(detected, dtype=np.bool_)
    if np.isnan(times).any() or np.isinf(times[ended]).any():
        raise VruError("A time to detection is infinite or not a number.", "Only what was not detected has no end.")
    if not 0 < confidence_level < 1:
        raise VruError(f"The confidence level {confidence_level} is outside 0 to 1.", "0.95 is usual.")
    steps, deaths = _steps(times[ended])
    at_risk = len(times) - np.searchsorted(np.sort(times), steps - _SAME_MS, side="left")
    undetected = np.cumprod(1 - deaths / at_risk, dtype=np.float64)
    surviving = at_risk - deaths
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.cumsum(np.where(surviving > 0, deaths / (at_risk * surviving), np.inf))
        spread = _NORMAL.inv_cdf((1 + confidence_level) / 2) * np.sqrt(terms) / np.abs(np.log(undetected))
        low, high = undetected ** np.exp(spread), undetected ** np.exp(-spread)
        variance = np.where(surviving > 0, undetected**2 * terms, 0.0)
    if len(steps) and surviving[-1] == 0:
        low[-1], high[-1] = 0.0, high[-2] if len(steps) > 1 else 1.0
    return SurvivalCurve(
        steps, undetected, variance, low, high, at_risk.astype(np.int64), deaths.astype(np.int64), len(times),
        confidence_level,
    )  # fmt: skip


def _steps(times: Floats) -> tuple[Floats, Ints]:
    """The different times and how often each occurs; what differs by rounding alone is one time, the last of them."""
    rising = np.sort(times)
    ends = np.append(np.diff(rising) > _SAME_MS, True)[: len(rising)]
    steps = rising[ends]
    return steps, np.diff(np.flatnonzero(ends), prepend=-1)


def with_misses(observed_ms: ArrayLike, detected: ArrayLike, missed: ArrayLike) -> SurvivalCurve:
    """The curve of the time to detection, with misses censored at infinity and the other censorings at their time.

    A road user who left the picture undetected can never be detected any more, and stays among the undetected for good,
    as in Fine and Gray's subdistribution (1999). Censoring it when it left assumes that it would have been detected
    later, and hides the miss: a detection that turns into a miss could then shorten a quantile. Here it cannot.
    """
    times = np.where(np.asarray(missed, dtype=np.bool_), np.inf, np.asarray(observed_ms, dtype=np.float64))
    return kaplan_meier(times, detected)
