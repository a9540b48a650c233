import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vru.evaluation.statistics.estimates import (
    Known,
    Proportion,
    Quantile,
    Rate,
    Resampled,
    clopper_pearson,
    garwood,
    unseen_share,
)


def times(values: list[float]) -> np.ndarray:
    return np.sort(np.array(values, dtype=float))


def quantile(values: list[float], q: float) -> Quantile:
    return Quantile(float(np.quantile(values, q)) if values else None, q, times(values), times(values))


@pytest.mark.parametrize(("n", "proves"), [(58, False), (59, True)])
def test_59_tracks_without_a_miss_prove_a_recall_of_95_percent(n: int, proves: bool) -> None:
    assert (Proportion(n, n).bounds(0.95)[0] >= 0.95) is proves
    assert Proportion(10, 10).more_needed(0.95, True, 0.95) == 49


def test_299_prove_99_percent() -> None:
    assert Proportion(298, 298).bounds(0.95)[0] < 0.99 <= Proportion(299, 299).bounds(0.95)[0]


@given(n=st.integers(1, 60), data=st.data(), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_clopper_pearson_is_scipys(n: int, data: st.DataObject, confidence: float) -> None:
    k = data.draw(st.integers(0, n))
    ours = clopper_pearson(k, n, confidence)
    assert ours[0] == pytest.approx(stats.binomtest(k, n, alternative="greater").proportion_ci(confidence).low)
    assert ours[1] == pytest.approx(stats.binomtest(k, n, alternative="less").proportion_ci(confidence).high)


def test_no_false_alarm_in_thirty_minutes_proves_one_in_ten() -> None:
    # The rule of three: -ln(0.05) = 2.996 events.
    assert garwood(0, 30, 0.95) == (0.0, pytest.approx(2.9957 / 30, abs=1e-5))
    assert Rate(0, 30.0, 180, np.zeros(100)).bounds(0.95)[1] <= 0.1
    assert Rate(0, 1.0, 6, np.zeros(100)).more_needed(0.1, False, 0.95) == 180 - 6


@given(events=st.integers(0, 50), exposure=st.floats(0.1, 100))
def test_garwood_contains_the_rate(events: int, exposure: float) -> None:
    low, high = garwood(events, exposure, 0.95)
    assert 0 <= low <= events / exposure <= high
    if events:
        # The definition: at the bounds, so many events or fewer (or more) have a probability of 5 %.
        assert stats.poisson.cdf(events, high * exposure) == pytest.approx(0.05)
        assert stats.poisson.sf(events - 1, low * exposure) == pytest.approx(0.05)


def test_bursts_widen_a_rate() -> None:
    bursty = np.linspace(0, 20, 101)
    low, high = Rate(10, 1.0, 600, bursty).bounds(0.95)
    assert (low, high) == (pytest.approx(1.0, abs=0.05), pytest.approx(19.0, abs=0.05))
    # Six clips do not know their own spread well: Student's t makes the bounds wider.
    assert Rate(10, 1.0, 6, bursty).bounds(0.95)[1] > high + 0.5


def test_a_high_quantile_needs_many_tracks() -> None:
    assert quantile([0.0] * 58, 0.95).bounds(0.95)[1] == math.inf
    assert quantile([0.0] * 59, 0.95).bounds(0.95)[1] == 0
    assert quantile([0.0] * 6, 0.95).more_needed(100, False, 0.95) == 53
    assert quantile([0.0] * 5, 0.5).bounds(0.95)[1] == 0
    assert quantile([], 0.5).bounds(0.95) == (0.0, math.inf)


@given(n=st.integers(1, 80), q=st.sampled_from([0.5, 0.95]), confidence=st.sampled_from([0.8, 0.95]))
def test_quantile_bounds_are_the_tightest_order_statistics_that_hold(n: int, q: float, confidence: float) -> None:
    ranks = [float(rank) for rank in range(1, n + 1)]
    low, high = quantile(ranks, q).bounds(confidence)
    if math.isfinite(high):
        assert stats.binom.cdf(high - 1, n, q) >= confidence - 1e-12
        assert high == 1 or stats.binom.cdf(high - 2, n, q) < confidence
    else:
        assert stats.binom.cdf(n - 1, n, q) < confidence
    if low >= 1:
        assert stats.binom.sf(low - 1, n, q) >= confidence - 1e-12


def test_few_flawless_units_prove_little() -> None:
    flawless = Resampled(1.0, 6, np.ones(1000))
    assert flawless.bounds(0.95) == (pytest.approx(0.05 ** (1 / 6)), 1.0)
    assert flawless.more_needed(0.95, True, 0.95) == 53
    assert Resampled(1.0, 59, np.ones(1000)).bounds(0.95)[0] >= 0.95


def test_a_resample_that_determines_nothing_widens_both_sides() -> None:
    replicates = np.append(np.full(900, 0.9), np.full(100, np.nan))
    assert Resampled(0.9, 10_000, replicates).bounds(0.95) == (0.0, 1.0)


def test_a_value_at_the_threshold_is_never_decided() -> None:
    at_it = Resampled(0.95, 50, np.linspace(0.9, 1.0, 101))
    assert at_it.more_needed(0.95, True, 0.95) is None


def test_a_figure_without_value_still_says_how_many_would_do_at_best() -> None:
    assert Resampled(None, 0, np.zeros(100)).more_needed(0.95, True, 0.95) == 59
    assert Proportion(0, 0).more_needed(0.95, True, 0.95) == 59


def test_what_is_known_has_no_width() -> None:
    assert Known(100.0, 5).bounds(0.95) == (100.0, 100.0)
    assert Known(None, 1).bounds(0.95) == (-math.inf, math.inf)


@given(n=st.integers(1, 10_000), confidence=st.floats(0.6, 0.99))
def test_the_unseen_share_is_what_n_units_would_show_with_that_confidence(n: int, confidence: float) -> None:
    assert (1 - unseen_share(n, confidence)) ** n == pytest.approx(1 - confidence)
