"""Do the intervals hold what they promise? Whole campaigns are simulated, and the true figures are known.

Each campaign has clips of very different difficulty, each with some road users of whom so many frames are found: the
number of hits is beta-binomial in tracks and in clips, and the number of false positives is overdispersed. 2,000
campaigns have a Monte Carlo error of half a percentage point. ``python -m tests.evaluation.test_coverage`` prints the
rates of 10,000, which docs/measuring.md states.
"""

from collections.abc import Callable

import numpy as np
import pytest

from vru.domain import Comparator, Criterion, Verdict
from vru.evaluation.core.tables import Floats, ratio
from vru.evaluation.detection.operating_point import rates
from vru.evaluation.statistics.bootstrap import bca, influence
from vru.evaluation.statistics.estimates import Proportion, Rate, Resampled
from vru.evaluation.statistics.resampling import Spread, Units
from vru.evaluation.verdict.judge import decide

CAMPAIGNS = 2000
RESAMPLES = 1000
METRICS = ("recall", "precision", "f1", "mota", "fppi")


def campaigns(
    rng: np.random.Generator, clips: int, recall: float, spread: float = 8.0, count: int = CAMPAIGNS
) -> Floats:
    """Sums of each clip, campaigns x clips x 4: hits, false positives, truth boxes, 1. ``recall`` is the truth's."""
    shape = (count, clips)
    tracks = rng.integers(1, 6, shape)
    difficulty = rng.beta(recall * spread, (1 - recall) * spread, shape)
    hits, boxes = np.zeros(shape), np.zeros(shape)
    for number in range(5):
        frames = np.where(tracks > number, rng.integers(5, 40, shape), 0)
        found = rng.beta(difficulty * 6 + 1e-9, (1 - difficulty) * 6 + 1e-9)
        hits += rng.binomial(frames, found)
        boxes += frames
    wrong = rng.poisson(rng.gamma(0.8, 5.0, shape))
    return np.stack([hits, wrong.astype(float), boxes, np.ones(shape)], axis=-1)


def mota(sums: Floats) -> dict[str, Floats]:
    """MOTA-like: hits less false positives, by truth boxes."""
    return {"mota": ratio(sums[:, 0] - sums[:, 1], sums[:, 2])}


def figures(sums: Floats) -> dict[str, Floats]:
    return {**rates(sums), **mota(sums)}


def estimates(sums: Floats, metric: str) -> list:
    """The estimate of each campaign, with the product's own resampling; 250 campaigns share their draws."""
    clips, columns = sums.shape[1:]
    units = Units("clips", np.arange(clips), clips)
    result = []
    for start in range(0, len(sums), 250):
        part = sums[start : start + 250]
        weights = np.concatenate(list(units.weights(RESAMPLES, (7, start))))
        table = part.transpose(1, 0, 2).reshape(clips, -1)
        drawn = figures((weights @ table).reshape(-1, columns))[metric].reshape(RESAMPLES, -1)
        total = part.sum(axis=1)
        values = figures(total)[metric]
        left_out = figures((total[:, None] - part).reshape(-1, columns))[metric].reshape(len(part), clips)
        for number, value in enumerate(values.tolist()):
            influences = influence(left_out[number])
            if metric == "mota":
                result.append(Spread(value, clips, drawn[:, number], "clips", influences))
            elif metric == "fppi":
                events = float(total[number, 1])
                result.append(Rate(events, float(clips), clips, drawn[:, number], "clips", influences))
            else:
                result.append(Resampled(value, clips, drawn[:, number], "clips", influences))
    return result


def truth_of(recall: float, metric: str) -> float:
    """From the means of what ``campaigns`` draws: 3 tracks of 22 frames, 4 false positives a clip."""
    boxes = 3 * 22.0
    return float(figures(np.array([[boxes * recall, 4.0, boxes, 1.0]]))[metric][0])


def share_covered(bounds: Floats, truth: float) -> float:
    return float(np.mean((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])))


def bounds_of(found: list, level: float) -> Floats:
    return np.array([estimate.bounds(level) for estimate in found])


def unwidened(found: list, level: float) -> Floats:
    return np.array([bca(e.value, e.replicates, e.influences, e.n, level) for e in found])


def false_passes(found: list, metric: str, truth: float) -> float:
    """The share of campaigns that pass a threshold just better than the truth: that lie beyond it at one bound."""
    low, high = bounds_of(found, 0.95).T
    return float(np.mean(high <= truth - 1e-4 if metric == "fppi" else low >= truth + 1e-4))


# Clips, recall, and how alike the clips are: 2 lets some be found entirely and others hardly at all.
CASES = [(50, 0.85, 8.0), (150, 0.85, 8.0)]
SLOW = [(500, 0.85, 8.0), (50, 0.949, 2.0), (150, 0.949, 2.0), (500, 0.949, 2.0)]
# Where a kind of clip that nobody saw may matter more than the clips seen, the lower bound is never missed.
WIDENED = {
    (50, "recall"), (50, "precision"), (50, "f1"), (50, "mota"), (150, "precision"), (150, "f1"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("clips", "recall", "spread"), [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
)
@pytest.mark.parametrize("metric", METRICS)
def test_intervals_cover_and_a_system_just_below_the_threshold_seldom_passes(
    clips: int, recall: float, spread: float, metric: str
) -> None:
    found = estimates(campaigns(np.random.default_rng(20), clips, recall, spread), metric)
    truth = truth_of(recall, metric)
    assert false_passes(found, metric, truth) <= 0.05
    assert 0.93 <= share_covered(unwidened(found, 0.975), truth) <= 0.97
    # A bound that holds whatever nobody saw is never missed by these campaigns, in which there is nothing of the kind:
    # what is left of 5 % is the other bound's 2.5 %.
    assert 0.93 <= share_covered(bounds_of(found, 0.975), truth) <= (0.985 if (clips, metric) in WIDENED else 0.97)


@pytest.mark.parametrize("clips", [15, 40])
def test_few_clips_cover_at_least_93_percent(clips: int) -> None:
    for metric in METRICS:
        found = estimates(campaigns(np.random.default_rng(21), clips, 0.85), metric)
        assert share_covered(bounds_of(found, 0.975), truth_of(0.85, metric)) >= 0.93


def test_exact_intervals_of_proportions_cover() -> None:
    # Clopper and Pearson's are exact, so never below the level; 1,000 tracks leave them little above it.
    found = np.random.default_rng(22).binomial(1000, 0.9, CAMPAIGNS).tolist()
    assert 0.94 <= share_covered(bounds_of([Proportion(hits, 1000) for hits in found], 0.975), 0.9) <= 0.97


def test_rare_total_misses_are_not_forgotten() -> None:
    """4 % of the road users are never found, all others nearly always: 60 of them show no such road user in 9 % of the
    campaigns, and a bootstrap alone would pass those.
    """
    rng = np.random.default_rng(24)
    boxes = np.full((CAMPAIGNS, 60), 40.0)
    hits = np.where(rng.random(boxes.shape) < 0.04, 0.0, rng.binomial(40, 0.999, boxes.shape))
    sums = np.stack([hits, np.zeros_like(hits), boxes, np.ones_like(hits)], axis=-1)
    criterion = Criterion("recall", Comparator.AT_LEAST, 0.96)
    passed = [decide(estimate, criterion)[0] == Verdict.PASS for estimate in estimates(sums, "recall")]
    assert np.mean(passed) <= 0.05


def test_about_so_many_more_clips_decide_it() -> None:
    """The number needed assumes that new clips look like those seen: then about half of the campaigns are decided."""
    sums = campaigns(np.random.default_rng(25), 60, 0.9)
    threshold = 0.87
    more = [estimate.more_needed(threshold, True, 0.95) for estimate in estimates(sums[:200], "recall")]
    typical = int(np.median([number for number in more if number is not None]))
    later = campaigns(np.random.default_rng(26), 60 + typical, 0.9)
    decided: Callable[[Resampled], bool] = lambda estimate: estimate.bounds(0.95)[0] >= threshold  # noqa: E731
    assert 0.3 <= np.mean([decided(estimate) for estimate in estimates(later[:500], "recall")]) <= 0.8


def print_rates(count: int = 10_000) -> None:
    """The rates of the cases above, for docs/measuring.md."""
    for clips, recall, spread in [(15, 0.85, 8.0), *CASES, *SLOW]:
        rng = np.random.default_rng(1)
        parts = campaigns(rng, clips, recall, spread, count).reshape(-1, 250, clips, 4)
        for metric in METRICS:
            found = [estimate for part in parts for estimate in estimates(part, metric)]
            truth = truth_of(recall, metric)
            covered = share_covered(bounds_of(found, 0.975), truth), share_covered(unwidened(found, 0.975), truth)
            print(clips, recall, spread, metric, *covered, false_passes(found, metric, truth), flush=True)


if __name__ == "__main__":
    print_rates()
