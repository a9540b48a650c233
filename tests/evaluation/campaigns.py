"""Simulated campaigns: clips of kinds that make bounds fail, with the truth that they were drawn from.

Every kind draws a number of clips from a population whose recall, precision, rates and latencies are known, because a
large sample of the same population says them. What varies is what the field's campaigns vary in: how hard clips are,
how crowded the hard ones are, how rare and how bad failures are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.core.tables import Floats, Ints
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Quantile, Resampled
from vru.evaluation.statistics.resampling import resampled
from vru.evaluation.video.metrics import ClipCounts, clip_rates

FRAMES = 250
MINUTES = 10 / 60
POPULATION = 200_000


@dataclass(frozen=True)
class Clip:
    """Clips as columns, and the latency of each track (inf for a miss) with its clip."""

    counts: ClipCounts
    latency: Floats
    clip: Ints

    @property
    def n(self) -> int:
        return len(self.counts.boxes)


def _clips(
    rng: np.random.Generator,
    tracks: Ints,
    per_track: Floats,
    box_share: Floats,
    track_share: Floats,
    wrong: Floats,
    alarms: Floats,
    slowness: Floats,
) -> Clip:
    """Clips with so many ``tracks`` of so many boxes ``per_track``; all tracks of a clip share its difficulty."""
    clip = np.repeat(np.arange(len(tracks)), tracks)
    length = np.maximum(1, rng.poisson(per_track[clip])).astype(np.float64)
    found = rng.random(len(clip)) < track_share[clip]
    hits = np.where(found, rng.binomial(length.astype(np.int64), box_share[clip]), 0)
    detected = hits > 0
    latency = np.where(detected, rng.exponential(slowness[clip]), np.inf)

    def per_clip(values: Floats) -> Floats:
        return np.bincount(clip, weights=values, minlength=len(tracks)).astype(np.float64)

    counts = ClipCounts(
        true_positives=per_clip(hits),
        false_positives=wrong.astype(np.float64),
        boxes=per_clip(length),
        detected=per_clip(detected.astype(np.float64)),
        tracks=tracks.astype(np.float64),
        alarms=alarms.astype(np.float64),
        minutes=np.full(len(tracks), MINUTES),
    )
    return Clip(counts, latency, clip)


def _quiet(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    wrong = rng.poisson(1.0, n).astype(np.float64)
    return wrong, np.minimum(wrong, rng.poisson(0.5, n))


def shared_difficulty(rng: np.random.Generator, n: int) -> Clip:
    """How easy a clip is follows a Beta distribution; its tracks share it."""
    ease = rng.beta(9, 1, n)
    return _clips(rng, rng.poisson(3, n) + 1, np.full(n, 40.0), ease, ease, *_quiet(rng, n), 60 / ease**2)


def crowded_hard(rng: np.random.Generator, n: int) -> Clip:
    """A tenth of the clips is hard, and has four times the road users."""
    hard = rng.random(n) < 0.1
    tracks = np.where(hard, rng.poisson(16, n), rng.poisson(4, n)) + 1
    share = np.where(hard, 0.4, 0.99)
    return _clips(rng, tracks, np.full(n, 30.0), share, share, *_quiet(rng, n), np.where(hard, 400.0, 40.0))


def rare_crowded_hard(rng: np.random.Generator, n: int) -> Clip:
    """One clip in thirty is hard, and has five times the road users."""
    hard = rng.random(n) < 1 / 30
    tracks = np.where(hard, rng.poisson(20, n), rng.poisson(4, n)) + 1
    share = np.where(hard, 0.2, 0.995)
    return _clips(rng, tracks, np.full(n, 30.0), share, share, *_quiet(rng, n), np.where(hard, 800.0, 40.0))


def few_long_tracks(rng: np.random.Generator, n: int) -> Clip:
    """One or two tracks a clip, of very different lengths, each found or lost as a whole."""
    length = rng.lognormal(4, 1, n)
    return _clips(
        rng, rng.integers(1, 3, n), length, np.full(n, 0.98), np.full(n, 0.93), *_quiet(rng, n), np.full(n, 80.0)
    )  # fmt: skip


def lost_clips(rng: np.random.Generator, n: int) -> Clip:
    """In one clip of fifty nothing is found at all."""
    share = np.where(rng.random(n) < 0.02, 0.0, 0.995)
    return _clips(rng, rng.poisson(3, n) + 1, np.full(n, 40.0), share, share, *_quiet(rng, n), np.full(n, 50.0))


def bursts(rng: np.random.Generator, n: int) -> Clip:
    """In one clip of fifty a false box stands in every frame, or in most."""
    burst = rng.random(n) < 0.02
    wrong = np.where(burst, rng.integers(FRAMES // 2, FRAMES, n), rng.poisson(0.3, n)).astype(np.float64)
    alarms = np.where(burst, rng.integers(1, 20, n), np.minimum(wrong, 1))
    share = np.full(n, 0.97)
    return _clips(rng, rng.poisson(3, n) + 1, np.full(n, 40.0), share, share, wrong, alarms, np.full(n, 60.0))


def bursts_of_three(rng: np.random.Generator, n: int) -> Clip:
    """In one clip of fifty there are three false boxes in almost every frame."""
    burst = rng.random(n) < 0.02
    wrong = np.where(burst, rng.binomial(3 * FRAMES, 0.95, n), rng.poisson(0.3, n)).astype(np.float64)
    share = np.full(n, 0.97)
    alarms = np.minimum(wrong, 3)
    return _clips(rng, rng.poisson(3, n) + 1, np.full(n, 40.0), share, share, wrong, alarms, np.full(n, 60.0))


def doubled(rng: np.random.Generator, n: int) -> Clip:
    """About ten road users are in view at a time, and in one clip of fifty each of them has a second box."""
    share = np.full(n, 0.97)
    wrong, alarms = _quiet(rng, n)
    clips = _clips(rng, rng.poisson(9, n) + 1, np.full(n, FRAMES * 0.9), share, share, wrong, alarms, np.full(n, 60.0))
    twice = rng.random(n) < 0.02
    counts = clips.counts
    wrong = np.where(twice, counts.true_positives, wrong)
    return replace(clips, counts=replace(counts, false_positives=wrong, alarms=np.where(twice, counts.tracks, alarms)))


def flickering(rng: np.random.Generator, n: int) -> Clip:
    """In three clips of a hundred false boxes flicker: an alarm every fourth frame."""
    flicker = rng.random(n) < 0.03
    wrong = np.where(flicker, rng.binomial(FRAMES, 0.25, n), rng.poisson(0.2, n)).astype(np.float64)
    share = np.full(n, 0.97)
    return _clips(rng, rng.poisson(3, n) + 1, np.full(n, 40.0), share, share, wrong, wrong, np.full(n, 60.0))


def near_one(rng: np.random.Generator, n: int) -> Clip:
    """Almost nothing goes wrong."""
    share = np.where(rng.random(n) < 0.005, 0.5, 0.9995)
    wrong = (rng.random(n) < 0.01).astype(np.float64)
    return _clips(rng, rng.poisson(3, n) + 1, np.full(n, 40.0), share, share, wrong, wrong, np.full(n, 30.0))


def near_zero(rng: np.random.Generator, n: int) -> Clip:
    """Almost nothing is found, and much is wrong."""
    share = np.where(rng.random(n) < 0.03, 0.6, 0.01)
    wrong = rng.poisson(30, n).astype(np.float64)
    return _clips(rng, rng.poisson(3, n) + 1, np.full(n, 40.0), share, share, wrong, wrong, np.full(n, 400.0))


KINDS: Mapping[str, Callable[[np.random.Generator, int], Clip]] = {
    kind.__name__: kind
    for kind in (
        shared_difficulty, crowded_hard, rare_crowded_hard, few_long_tracks, lost_clips, bursts, bursts_of_three,
        doubled, flickering, near_one, near_zero,
    )
}  # fmt: skip
QUANTILES = {"latency_median_ms": 0.5, "latency_p95_ms": 0.95}
LESS_IS_BETTER = ("false_alarms_per_minute", "fppi", *QUANTILES)


@cache
def population(kind: str) -> dict[str, float]:
    """What is true of the clips of a kind, from very many of them."""
    drawn = KINDS[kind](np.random.default_rng(1), POPULATION)
    values = {name: float(rate[0]) for name, rate in clip_rates(drawn.counts.table().sum(axis=0)[None]).items()}
    values["fppi"] = float(drawn.counts.false_positives.sum()) / (FRAMES * POPULATION)
    ordered = np.sort(drawn.latency)
    return values | {name: float(ordered[int(share * len(ordered))]) for name, share in QUANTILES.items()}


def estimates(clips: Clip, resamples: int = 1000) -> dict[str, Resampled | Quantile]:
    """What the platform says about a campaign."""
    draws, assumed = Draws(clips.n, resamples), UnseenUnit()
    frames = np.full(clips.n, float(FRAMES))
    found = resampled(draws, clips.counts.table(), clip_rates, clips.counts.unseen(assumed, frames))
    result: dict[str, Resampled | Quantile] = {
        name: Resampled(of.value, clips.n, of.replicates) for name, of in found.items()
    }
    unseen = np.array(
        [
            [assumed.false_positives(clips.counts.false_positives, frames, clips.counts.true_positives), FRAMES],
            [0, FRAMES],
        ]
    )
    table = np.column_stack([clips.counts.false_positives, frames])
    fppi = resampled(draws, table, lambda sums: {"fppi": sums[:, 0] / sums[:, 1]}, unseen)["fppi"]
    result["fppi"] = Resampled(fppi.value, clips.n, fppi.replicates)
    known = np.where(np.isinf(clips.latency), np.inf, clips.latency)
    for name, share in QUANTILES.items():
        result[name] = Quantile(0.0, share, known, known, clips.clip, draws, assumed.truths(clips.counts.tracks))
    return result


@dataclass(frozen=True)
class Shares:
    """Of so many campaigns: which passed a threshold that is the truth itself, which failed it, and in which the
    two-sided 95 % interval held the truth. By metric.
    """

    passed: dict[str, float]
    failed: dict[str, float]
    covered: dict[str, float]


def shares(kind: str, n: int, campaigns: int, resamples: int = 1000) -> Shares:
    """Simulate ``campaigns`` of ``n`` clips of a kind. Metrics whose truth is infinite are left out."""
    true = {name: value for name, value in population(kind).items() if np.isfinite(value)}
    verdicts: dict[str, list[tuple[bool, bool, bool]]] = {name: [] for name in true}
    for campaign in range(campaigns):
        found = estimates(KINDS[kind](np.random.default_rng((5, campaign, n)), n), resamples)
        for name, value in true.items():
            verdicts[name].append(judged(found[name], value, less=name in LESS_IS_BETTER))
    means = {name: np.mean(of, axis=0) for name, of in verdicts.items()}
    return Shares(*({name: float(of[place]) for name, of in means.items()} for place in range(3)))


def judged(estimate: Resampled | Quantile, truth: float, *, less: bool = False) -> tuple[bool, bool, bool]:
    """Whether a threshold at the truth is passed, or failed, at 95 %; and whether the two-sided interval holds it."""
    low, high = estimate.bounds(0.95)
    passed, failed = (high <= truth, low > truth) if less else (low >= truth, high < truth)
    low, high = estimate.bounds(0.975)
    return passed, failed, low <= truth <= high


def allowed(share: float, campaigns: int) -> float:
    """The share, and twice its Monte Carlo error."""
    return share + 2 * float(np.sqrt(share * (1 - share) / campaigns))
