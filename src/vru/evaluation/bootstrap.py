"""The bootstrap's bounds: BCa, with the width that few units need.

Sources: Efron, Better Bootstrap Confidence Intervals, JASA 1987 (BCa); Davison and Hinkley, Bootstrap Methods and their
Application, 1997, 5.3.2 (several samples); Hesterberg, What Teachers Should Know About the Bootstrap, The American
Statistician 2015, 3.3 (the quantiles are expanded as Student's t asks for n units).
"""

import math

import numpy as np
from scipy import special

from vru.evaluation.matching import Floats

# Two ways of adding up the same numbers differ by less than this.
_SAME = 1e-12


def influence(left_out: Floats) -> Floats:
    """What each unit does to a figure, from the figures with one unit (or one group of units) left out each.

    Positive where the unit raises the figure; a figure that is not determined without the unit counts as unmoved.
    """
    known = left_out[~np.isnan(left_out)]
    return np.nan_to_num(known.mean() - left_out) if len(known) else np.zeros(len(left_out))


def acceleration(influences: Floats) -> float:
    """How fast the figure's standard error changes with the figure: a sixth of the influences' skewness; 0 if none."""
    spread = float(influences @ influences)
    return float((influences**3).sum() / (6 * spread**1.5)) if spread > 0 else 0.0


def bca_levels(value: float, replicates: Floats, influences: Floats, n: int, confidence: float) -> tuple[float, float]:
    """Which quantiles of the ``replicates`` are the lower and the upper one-sided bound of ``value``, 0 to 1 each.

    ``replicates`` are the figures of the resamples, without NaN; ``influences`` those of the ``n`` units.
    """
    tolerance = _SAME * max(1.0, abs(value))
    same = np.abs(replicates - value) <= tolerance
    below = float(np.mean((replicates < value) & ~same) + np.mean(same) / 2)
    finest = 1 / (len(replicates) + 1)
    bias = float(special.ndtri(min(max(below, finest), 1 - finest)))
    width = float(special.ndtri(confidence))
    if n > 1:
        width = math.sqrt(n / (n - 1)) * float(special.stdtrit(n - 1, confidence))
    skew = acceleration(influences)

    def level(z: float) -> float:
        # |skew| is at most 1/6, so that the divisor leaves 0 only for bounds far beyond any resample.
        divisor = 1 - skew * (bias + z)
        return float(special.ndtr(bias + (bias + z) / divisor)) if divisor > 0 else float(z > 0)

    return level(-width), level(width)


def bca(value: float, replicates: Floats, influences: Floats, n: int, confidence: float) -> tuple[float, float]:
    """Lower and upper bound of ``value``, each one-sided at ``confidence``. ``value`` lies between them.

    A replicate that is NaN, because its resample determines nothing, counts against the bound on either side: -inf for
    the lower one, inf for the upper one.
    """
    unknown = np.isnan(replicates)
    known = np.sort(replicates[~unknown])
    if not len(known):
        return -math.inf, math.inf
    low, high = bca_levels(value, known, influences, n, confidence)
    lost = int(unknown.sum())
    return (
        min(value, _quantile(known, low * (len(known) + lost) - lost)),
        max(value, _quantile(known, high * (len(known) + lost))),
    )


def _quantile(rising: Floats, place: float) -> float:
    """The value at a share ``place`` / n of n values; beyond those that are known it is infinite."""
    if place < -_SAME:
        return -math.inf
    if place > len(rising) + _SAME:
        return math.inf
    return float(np.interp(place / len(rising) * (len(rising) - 1), np.arange(len(rising)), rising))
