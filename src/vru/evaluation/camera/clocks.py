"""One clock for a camera run: a device's monotonic nanoseconds and the screen's media seconds, joined."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vru.domain import FEWEST_MARKERS, VruError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A crystal is off by some 10 to 100 ppm; what is off by more than this is no clock, or the pairs are wrong.
_MOST_PPM = 1000.0
_MOST_OUTLIERS = 0.25
# Beyond so many robust standard deviations (1.4826 MAD) a marker is wrong: not 3.5 (Iglewicz and Hoaglin 1993), for
# with few markers that also takes the tails of good ones, and what is left then looks surer than it is.
_OUTLIER = 6.0
_MAD = 1.4826
# Rounding of the times themselves must not make outliers of perfect markers.
_RESOLUTION_S = 1e-6
_HOW = "Show at least five markers over the whole run, and record when the device's side saw each."


@dataclass(frozen=True, slots=True)
class Clocks:
    """How the two clocks are joined: media seconds = ``reference_s`` + (time - ``reference_ns``) / 1e9, with the drift.

    ``offset_u_s`` is the standard uncertainty of the join at the reference, ``drift_u_ppm`` that of the drift, both
    with ``freedom`` degrees of freedom (inf if given and not estimated). ``jitter_s`` is the standard deviation of a
    single marker about the line. ``markers`` are those used, ``outliers`` those left out.
    """

    reference_ns: int
    reference_s: float
    drift_ppm: float
    offset_u_s: float
    drift_u_ppm: float
    jitter_s: float
    freedom: float
    markers: int
    outliers: int

    def media_s(self, time_ns: Ints) -> Floats:
        """Media seconds of times on the signal clock; differences are taken in whole nanoseconds."""
        passed = (time_ns - self.reference_ns).astype(np.float64) * 1e-9
        return np.asarray(self.reference_s + passed * (1 + self.drift_ppm * 1e-6), dtype=np.float64)

    def uncertainty_s(self, media_s: Floats) -> Floats:
        """Standard uncertainty of the join at these media seconds (type A): it shifts all signals near there alike.

        That of a regression's mean: s² (1/n + (t - t̄)² / Sxx), the reference being the markers' mean.
        """
        away = (media_s - self.reference_s) * self.drift_u_ppm * 1e-6
        return np.asarray(np.sqrt(self.offset_u_s**2 + away**2), dtype=np.float64)

    def coverage(self, confidence: float = 0.95) -> float:
        """The factor from standard to expanded uncertainty, two-sided: Student's, or 2 without degrees of freedom
        (GUM 6.3.3).
        """
        from scipy import special  # joining clocks needs no more than numpy

        return float(special.stdtrit(self.freedom, (1 + confidence) / 2)) if math.isfinite(self.freedom) else 2.0

    @property
    def offset_ms(self) -> float:
        """What the signal clock shows at media time 0, in milliseconds."""
        return (self.reference_ns * 1e-9 - self.reference_s / (1 + self.drift_ppm * 1e-6)) * 1000

    @property
    def offset_u_ms(self) -> float:
        """Standard uncertainty of ``offset_ms``."""
        return float(self.uncertainty_s(np.zeros(1))[0]) * 1000


def given_offset(offset_ns: int, uncertainty_s: float) -> Clocks:
    """The clocks joined by an offset known from elsewhere: the signal clock shows ``offset_ns`` at media time 0.

    ``uncertainty_s`` is its standard uncertainty over the whole run, drift included.

    Raises:
        VruError: the uncertainty is not a number of at least 0.
    """
    if not 0 <= uncertainty_s < math.inf:
        raise VruError(
            f"The offset's uncertainty is {uncertainty_s}, not a number of at least 0.", "Give it in milliseconds."
        )
    return Clocks(offset_ns, 0.0, 0.0, uncertainty_s, 0.0, 0.0, math.inf, 0, 0)


def join_clocks(media_s: Sequence[float], time_ns: Sequence[int]) -> Clocks:
    """Join the clocks by markers: shown at ``media_s`` of media time, seen at ``time_ns`` on the signal clock.

    A line through them: Theil and Sen's slope (1950, 1968) first, which a few wrong markers do not move; those beyond
    6 robust standard deviations (MAD) are left out; least squares through the rest gives offset, drift and their
    standard uncertainties.

    Raises:
        VruError: there are fewer than five, times do not rise, more than a quarter are outliers, or the clocks run
            apart by more than 1,000 ppm.
    """
    y, ns = np.asarray(media_s, dtype=np.float64), np.asarray(time_ns, dtype=np.int64)
    if len(y) != len(ns) or len(y) < FEWEST_MARKERS:
        raise VruError(f"Clocks are joined by at least {FEWEST_MARKERS} markers; there are {len(y)}.", _HOW)
    if not np.isfinite(y).all() or (np.diff(y) <= 0).any() or (np.diff(ns) <= 0).any():
        raise VruError("The times of the markers do not rise on both clocks.", "List the markers in order of time.")
    reference = int(ns[len(ns) // 2])
    x = (ns - reference).astype(np.float64) * 1e-9
    slope = theil_sen(x, y)
    rest = y - slope * x
    away = np.abs(rest - np.median(rest))
    kept = away <= _OUTLIER * max(_MAD * float(np.median(away)), _RESOLUTION_S)
    used, outliers = int(kept.sum()), int((~kept).sum())
    if outliers > _MOST_OUTLIERS * len(y) or used < FEWEST_MARKERS:
        raise VruError(f"{outliers} of {len(y)} markers do not fit the others: they are inconsistent.", _HOW)
    x, y, ns = x[kept], y[kept], ns[kept]
    centre = round(float(x.mean()) * 1e9)
    x = x - centre * 1e-9
    spread, level = float((x**2).sum()), float(y.mean())
    slope = float((x * (y - level)).sum()) / spread
    drift = (slope - 1) * 1e6
    if abs(drift) > _MOST_PPM:
        raise VruError(
            f"By the markers the clocks run apart by {drift:.0f} ppm: one of them is no clock of this run.", _HOW
        )
    jitter = math.sqrt(float(((y - level - slope * x) ** 2).sum()) / (used - 2))
    return Clocks(
        reference + centre, level, drift, jitter / math.sqrt(used), jitter / math.sqrt(spread) * 1e6, jitter,
        used - 2, used, outliers,
    )  # fmt: skip


def theil_sen(x: Floats, y: Floats) -> float:
    """Median of the slopes between points: of all pairs, of more than 1,000 points of ``halved_slopes`` (x rising)."""
    if len(x) > 1000:
        return float(np.median(halved_slopes(x, y)))
    first, second = np.triu_indices(len(x), 1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def halved_slopes(x: Floats, y: Floats) -> Floats:
    """The slopes of Theil's incomplete method (1950): each point of the first half with its partner in the second.

    Every point is used once (that in the middle of an odd number not at all), so the slopes are independent, and the
    sign test gives exact bounds of their median. ``x`` does not fall; pairs at one ``x`` have no slope.
    """
    half = len(x) // 2
    run, rise = x[len(x) - half :] - x[:half], y[len(x) - half :] - y[:half]
    return np.asarray(rise[run > 0] / run[run > 0], dtype=np.float64)
