import math

import numpy as np
import pytest

from vru.domain import VruError
from vru.evaluation.camera import given_offset, join_clocks
from vru.evaluation.camera.clocks import halved_slopes


def markers(count: int = 40, *, drift_ppm: float = 0, jitter_s: float = 0, seed: int = 0) -> tuple[list, list]:
    rng = np.random.default_rng(seed)
    media = np.arange(count) * 10.0
    seen = 50 + (media + rng.normal(0, jitter_s, count)) / (1 + drift_ppm * 1e-6)
    return media.tolist(), np.round(seen * 1e9).astype(np.int64).tolist()


def test_perfect_markers_join_exactly() -> None:
    clocks = join_clocks(*markers(drift_ppm=80))
    assert clocks.drift_ppm == pytest.approx(80, abs=1e-3)
    assert clocks.offset_ms == pytest.approx(50_000, abs=1e-5)
    assert clocks.jitter_s < 2e-9 and clocks.outliers == 0
    assert clocks.media_s(np.array([60_000_000_000]))[0] == pytest.approx(10 * (1 + 80e-6), abs=1e-8)


def test_the_line_is_that_of_textbook_least_squares() -> None:
    media, seen = markers(30, jitter_s=0.002, seed=3)
    clocks = join_clocks(media, seen)
    x, y = np.array(seen) * 1e-9 - 50, np.array(media)
    design = np.column_stack([np.ones(30), x])
    (_, slope), residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    variance = float(residual[0]) / 28
    covariance = variance * np.linalg.inv(design.T @ design)
    assert clocks.outliers == 0
    assert clocks.drift_ppm == pytest.approx((slope - 1) * 1e6, abs=1e-3)
    assert clocks.jitter_s == pytest.approx(math.sqrt(variance), rel=1e-6)
    assert clocks.drift_u_ppm == pytest.approx(math.sqrt(covariance[1, 1]) * 1e6, rel=1e-6)
    # At any time: the standard uncertainty of the regression's mean.
    for when in (0.0, 140.0, 290.0):
        row = np.array([1, when])
        assert clocks.uncertainty_s(np.array([when]))[0] == pytest.approx(math.sqrt(row @ covariance @ row), rel=1e-3)


def test_wrong_markers_are_left_out() -> None:
    media, seen = markers(jitter_s=0.001)
    seen[7] += 300_000_000
    clocks = join_clocks(media, seen)
    assert clocks.outliers >= 1 and clocks.offset_ms == pytest.approx(50_000, abs=1.5)


def test_the_interval_of_the_offset_covers_it() -> None:
    inside = 0
    for seed in range(400):
        clocks = join_clocks(*markers(12, drift_ppm=30, jitter_s=0.002, seed=seed))
        inside += abs(clocks.offset_ms - 50_000) <= clocks.coverage() * clocks.offset_u_ms
    assert 0.92 <= inside / 400 <= 0.98


@pytest.mark.parametrize(
    ("media", "seen", "message"),
    [
        ([0, 1, 2, 3], [0, 10**9, 2 * 10**9, 3 * 10**9], "at least 5 markers; there are 4"),
        ([0, 1, 2, 2, 4], [1, 2, 3, 4, 5], "do not rise"),
        ([0, 1, 2, 3, 4], [1, 2, 4, 3, 5], "do not rise"),
        ([0, 1, 2, 3, math.nan], [1, 2, 3, 4, 5], "do not rise"),
        ([0, 1, 2, 3, 4, 5], [0, 10**9, 2 * 10**9, 3500000000, 4700000000, 5 * 10**9], "inconsistent"),
        ([0, 1, 2, 3, 4], [number * 1_010_000_000 for number in range(5)], "run apart by -9901 ppm"),
    ],
)
def test_markers_that_join_nothing_are_refused(media: list, seen: list, message: str) -> None:
    with pytest.raises(VruError, match=message):
        join_clocks(media, seen)


def test_an_offset_from_elsewhere() -> None:
    clocks = given_offset(5_000_000_000, 0.002)
    assert clocks.media_s(np.array([6_500_000_000]))[0] == 1.5
    assert clocks.coverage() == 2 and clocks.offset_u_ms == 2 and clocks.offset_ms == 5000
    with pytest.raises(VruError, match="uncertainty"):
        given_offset(0, math.nan)


def test_theil_s_incomplete_slopes_by_hand() -> None:
    assert halved_slopes(np.array([0.0, 1, 2, 3, 4]), np.array([0.0, 1, 9, 6, 8])).tolist() == [2, 7 / 3]
