"""Weights of units: the weighted bootstrap with one more unit, which nobody saw.

A bootstrap can only repeat what was seen: from flawless units it proves perfection, however few they are. Gaffke's
bound gives each of the n units and one more, the worst that there can be, a random weight; the weights are uniform on
the simplex, Dirichlet(1, ..., 1). The 5 % quantile of the weighted figures is a lower bound with 95 % confidence at
every n. Without an error in n units it is the exact one: 1 - 0.05^(1/n) of all units may be of a kind not seen.

Sources: Gaffke, Three Test Statistics for a Nonparametric One-Sided Hypothesis on the Mean of a Nonnegative Variable,
2005; Learned-Miller and Thomas, A New Confidence Interval for the Mean of a Bounded Random Variable, 2019; Rubin, The
Bayesian Bootstrap, The Annals of Statistics 1981 (the weights, without the unit not seen).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vru.evaluation.core.tables import Floats

# Weights in memory at a time: 10,000 resamples of 100,000 images would be 8 GB.
_BLOCK = 250_000
# So many are kept for the next figure: 80 MB, 2,000 resamples of 5,000 units.
_KEPT = 10_000_000
# Weights are multiples of this, so that weighted sums of counts are exact, in any order and on any machine.
_GRAIN = 2.0**-16


@dataclass(frozen=True, slots=True)
class Draws:
    """``resamples`` rows of random weights of ``count`` units and of one that was not seen; the same for a ``seed``."""

    count: int
    resamples: int
    seed: int = 0

    def blocks(self) -> Iterator[tuple[Floats, Floats]]:
        """Weights of the units (rows x units) and of the one not seen (rows), some rows at a time.

        They are not normalised: figures are quotients of weighted sums. The weight of the unit not seen is a
        Beta(1, n) share of the whole; its quantiles are taken in even steps, not at random, because the bound of
        flawless units rests on it alone.
        """
        if not self.count:
            return
        rng = np.random.default_rng((self.seed, self.count))
        size = max(1, _BLOCK // self.count)
        for start in range(0, self.resamples, size):
            rows = np.arange(start, min(start + size, self.resamples))
            seen = rng.standard_exponential((len(rows), self.count))
            # With the share s of Beta(1, n), s / (1 - s) is its weight relative to all others.
            relative = np.expm1(-np.log1p(-(rows + 0.5) / self.resamples) / self.count)
            yield _rounded(seen), _rounded(seen.sum(axis=1) * relative)

    def sums(self, table: Floats) -> tuple[Floats, Floats]:
        """Weighted sums of the units' values (units x columns) as resamples x columns, and the weights of the unit not
        seen.
        """
        if self.count * self.resamples <= _KEPT:
            seen, unseen = _whole(self)
            return seen @ table, unseen
        parts = [(seen @ table, unseen) for seen, unseen in self.blocks()]
        return np.concatenate([sums for sums, _ in parts]), np.concatenate([unseen for _, unseen in parts])


@lru_cache(maxsize=1)
def _whole(draws: Draws) -> tuple[Floats, Floats]:
    """All weights: the figures of one evaluation are made from the same, one after the other."""
    parts = list(draws.blocks())
    if not parts:
        return np.zeros((0, draws.count)), np.zeros(0)
    return np.concatenate([seen for seen, _ in parts]), np.concatenate([unseen for _, unseen in parts])


def _rounded(weights: Floats) -> Floats:
    return np.asarray(np.round(weights / _GRAIN) * _GRAIN)


def unseen_odds(n: float, confidence: float) -> float:
    """Weight of the unit not seen relative to ``n`` units, at its quantile ``confidence``."""
    return float(np.expm1(-np.log1p(-confidence) / n))
