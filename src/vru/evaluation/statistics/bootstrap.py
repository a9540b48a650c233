"""The bootstrap's bounds: BCa, with the width that few units need.

Sources: Efron, Better Bootstrap Confidence Intervals, JASA 1987 (BCa); Davison and Hinkley, Bootstrap Methods and their
Application, 1997, 5.3.2 (several samples); Hesterberg, What Teachers Should Know About the Bootstrap, The American
Statistician 2015, 3.3 (the quantiles are expanded as Student's t asks for n units).
"""

import math

import numpy as np
from scipy import special

from vru.evaluation.core.matching import Floats

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

    Few units seldom show how bad the worst are, so that a bootstrap of skewed figures passes too often. Therefore half
    of the resamples get one unit more on the side of the longer tail: a copy, of random weight, of the unit that pulls
    the figure the most, as far as it pulls more than the one at the other end (see ``_reached``). A replicate that is
    NaN, because its resample determines nothing, counts against the bound on either side: -inf for the lower one, inf
    for the upper one.
    """
    unknown = np.isnan(replicates)
    known = np.sort(replicates[~unknown])
    if not len(known):
        return -math.inf, math.inf
    low, high = bca_levels(value, known, influences, n, confidence)
    tail = float(influences.max() + influences.min()) if len(influences) else 0.0
    lost = int(unknown.sum())
    places = len(known) + lost
    return (
        min(value, _reached(known, low * places - lost, max(0.0, -tail))),
        max(value, -_reached(-known[::-1], (1 - high) * places - lost, max(0.0, tail))),
    )


def _reached(rising: Floats, place: float, pull: float) -> float:
    """Below what value lie ``place`` of the ``rising`` values, if half of each is lowered by ``pull`` times a random
    weight.

    The weight is exponential with mean 1, as a unit's weight in the Bayesian bootstrap (Rubin 1981). With the whole of
    each lowered, a rate of single events would get Garwood's exact bounds, and unequal weights those of Fay and Feuer
    (Confidence Intervals for Directly Standardized Rates, Statistics in Medicine 1997), which cover too often; half is
    the mid-P correction (Lancaster 1961). The share of a lowered x below t is exp((t - x) / pull), so that the sum over
    all x is solved for t where it is ``place``.
    """
    count = len(rising)
    if place <= 0:
        return -math.inf if place < -_SAME else float(rising[0])
    if pull <= _SAME * max(1.0, abs(float(rising[0])), abs(float(rising[-1]))):
        return float(np.interp(min(place / count, 1) * (count - 1), np.arange(count), rising))
    # log of the sum of exp(-x / pull) over each x and those above it.
    above = np.logaddexp.accumulate(-rising[::-1] / pull)[::-1]
    # So many lie below each x: those before it entirely, of the others half of their share.
    below = np.arange(count) + np.exp(above + rising / pull) / 2
    first = int(np.searchsorted(below, place))
    least = float(rising[first - 1]) if first else -math.inf
    left = 2 * (place - first)
    if first == count or left <= 0:
        return least
    return max(least, float(pull * (math.log(left) - above[first])))
