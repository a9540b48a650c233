import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vru.evaluation.core.tables import ratio
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Fixed, Quantile, Replicates, Resampled, Unbounded, lower_quantile
from vru.evaluation.statistics.resampling import resampled


def share(hits: list[float], of: list[float], unseen: float = 1.0, resamples: int = 2000) -> Resampled:
    """A share of sums over units; a unit not seen has so many times as many as the largest."""
    most = unseen * max(of, default=0)
    table = np.column_stack([hits, of]).astype(np.float64).reshape(-1, 2)
    found = resampled(
        Draws(len(of), resamples),
        table,
        lambda sums: {"share": ratio(sums[:, 0], sums[:, 1])},
        np.array([[0.0, most], [most, most]]),
    )["share"]
    return Resampled(found.value, len(of), found.replicates)


def quantile(values: list[float], q: float, unseen: float = 1.0) -> Quantile:
    """One track in each unit."""
    times, units = np.array(values, dtype=float), np.arange(len(values))
    return Quantile(None, q, times, times, units, Draws(len(values), 2000), unseen)


@pytest.mark.parametrize(("n", "proves"), [(58, False), (59, True)])
def test_59_units_without_a_miss_prove_95_percent(n: int, proves: bool) -> None:
    assert (share([1] * n, [1] * n).bounds(0.95)[0] >= 0.9499) is proves


@given(n=st.integers(2, 80), confidence=st.sampled_from([0.8, 0.95, 0.975]))
def test_flawless_units_prove_what_the_exact_bound_says(n: int, confidence: float) -> None:
    low, high = share([5] * n, [5] * n).bounds(confidence)
    assert low == pytest.approx((1 - confidence) ** (1 / n), abs=2e-3) and high == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=12))
def test_bounds_hold_the_value_and_stay_within_the_limits(units: list[tuple[int, int]]) -> None:
    hits = [hit for hit, _ in units]
    of = [hit + miss for hit, miss in units]
    estimate = share(hits, of, resamples=400)
    if estimate.value is None:
        assert sum(of) == 0
        return
    low, high = estimate.bounds(0.95)
    assert 0 <= low <= estimate.value <= high <= 1
    wider = estimate.bounds(0.99)
    assert wider[0] <= low and wider[1] >= high


def test_a_larger_unit_that_was_not_seen_proves_less() -> None:
    lows = [share([1] * 30, [1] * 30, unseen).bounds(0.95)[0] for unseen in (1, 2, 5)]
    # With u times the truth a share s of unseen units weighs u s / (1 - s + u s).
    unseen_share = 1 - 0.05 ** (1 / 30)
    exact = [1 - u * unseen_share / (1 - unseen_share + u * unseen_share) for u in (1, 2, 5)]
    assert lows == pytest.approx(exact, abs=3e-3)


def test_a_single_unit_decides_nothing() -> None:
    assert share([5], [5]).bounds(0.95) == (-math.inf, math.inf)
    assert quantile([1.0], 0.5).bounds(0.95) == (-math.inf, math.inf)
    assert share([0, 0], [5, 5]).bounds(0.95)[1] < 0.95


def test_without_resamples_there_are_no_bounds() -> None:
    estimate = Resampled(0.8, 20, Replicates())
    assert estimate.bounds(0.95) == (-math.inf, math.inf) and estimate.more_needed(0.5, True, 0.95) is None
    assert Resampled(0.8, 1, Replicates()).more_needed(0.5, True, 0.95) == 1


def test_a_resample_that_determines_nothing_counts_against_the_bound() -> None:
    replicates = np.append(np.full(900, 0.9), np.full(100, np.nan))
    estimate = Resampled(0.9, 100, Replicates(replicates, replicates, replicates))
    assert estimate.bounds(0.95) == (-math.inf, math.inf)
    assert estimate.bounds(0.8) == (0.9, 0.9)


def test_too_few_resamples_for_a_level_set_no_bound() -> None:
    assert lower_quantile(np.arange(100.0), 0.999) == -math.inf
    assert lower_quantile(np.arange(99.0), 0.95) == 4  # the fifth of 99


def test_a_high_quantile_needs_many_units() -> None:
    assert quantile([0.0] * 57, 0.95).bounds(0.95)[1] == math.inf
    assert quantile([0.0] * 60, 0.95).bounds(0.95)[1] == 0
    assert quantile([0.0] * 6, 0.95).more_needed(100, False, 0.95) == pytest.approx(53, abs=2)
    assert quantile([], 0.5).bounds(0.95) == (-math.inf, math.inf)


def test_the_bounds_of_a_quantile_are_those_of_the_share_within_it() -> None:
    """A quantile is at most t if and only if the share of tracks within t is at least that."""
    times = np.random.default_rng(1).exponential(50, 60).tolist()
    estimate = quantile(times, 0.5)
    high = estimate.bounds(0.95)[1]
    rising = np.sort(times)
    before = float(rising[np.searchsorted(rising, high) - 1])
    assert estimate.within(high).bounds(0.95)[0] >= 0.5 > estimate.within(before).bounds(0.95)[0]


def test_tracks_of_one_clip_are_one_unit() -> None:
    """Sixty tracks in three clips prove no more than three clips do."""
    times, clips = np.zeros(60), np.repeat([0, 1, 2], 20)
    estimate = Quantile(0.0, 0.5, times, times, clips, Draws(3, 2000), 40.0)
    assert estimate.n == 3 and estimate.bounds(0.95)[1] == math.inf


@pytest.mark.parametrize("unseen", [1.0, 2.0])
def test_about_so_many_more_units_decide_it(unseen: float) -> None:
    rng = np.random.default_rng(2)
    few = share(rng.binomial(20, 0.97, 25).tolist(), [20] * 25, unseen)
    more = few.more_needed(0.92, True, 0.95)
    assert more is not None
    later = [
        share(rng.binomial(20, 0.97, 25 + more).tolist(), [20] * (25 + more), unseen, 500).bounds(0.95)[0] >= 0.92
        for _ in range(60)
    ]
    assert 0.2 <= np.mean(later) <= 0.9
    assert share([1] * 10, [1] * 10).more_needed(0.95, True, 0.95) == pytest.approx(49, abs=2)


def test_a_value_at_the_threshold_is_never_decided() -> None:
    assert share([9] * 30, [10] * 30).more_needed(0.9, True, 0.95) is None


def test_a_figure_without_value_still_says_how_many_would_do_at_best() -> None:
    # Twice the truth of the fullest: 59 units that prove 0.95 become about twice as many.
    assert share([], []).more_needed(0.95, True, 0.95) == pytest.approx(116, abs=2)


def test_what_is_known_has_no_width_and_what_is_unbounded_decides_nothing() -> None:
    assert Fixed(100.0, 5).bounds(0.95) == (100.0, 100.0)
    assert Fixed(None, 1).bounds(0.95) == (-math.inf, math.inf)
    assert Unbounded(12.0, 3, "clips").bounds(0.95) == (-math.inf, math.inf)
