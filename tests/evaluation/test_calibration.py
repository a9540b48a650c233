"""The expected calibration error, by hand and against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vru.domain import VruError
from vru.evaluation.detection.calibration import calibration


def test_by_hand() -> None:
    # In (0.6, 0.8]: mean confidence 0.75, 1 of 2 right. In (0.8, 1]: 0.9, 1 of 1.
    result = calibration(np.array([0.7, 0.8, 0.9]), np.array([True, False, True]), bins=5)
    assert result.confidence.tolist() == pytest.approx([0.75, 0.9])
    assert result.precision.tolist() == [0.5, 1]
    assert result.error == pytest.approx((2 * 0.25 + 0.1) / 3)
    assert result.largest_gap == pytest.approx(0.25)
    assert list(zip(result.low, result.high, strict=True)) == [pytest.approx((0.6, 0.8)), pytest.approx((0.8, 1.0))]


def test_adaptive_bins_hold_equally_many() -> None:
    score = np.array([0.1, 0.11, 0.12, 0.9])
    result = calibration(score, np.array([False, True, True, True]), bins=2, adaptive=True)
    assert result.count.tolist() == [2, 2]
    assert result.error == pytest.approx(((0.5 - 0.105) + (1 - 0.51)) / 2)


def test_nothing_has_no_error_and_no_probability_is_refused() -> None:
    assert calibration(np.zeros(0), np.zeros(0, dtype=bool)).error is None
    with pytest.raises(VruError, match="confidence of 7 is no probability"):
        calibration(np.array([0.1, 7.0]), np.array([True, True]))


@given(st.lists(st.tuples(st.integers(0, 100).map(lambda n: n / 100), st.booleans()), min_size=1, max_size=60))
def test_it_equals_the_definition(pairs: list[tuple[float, bool]]) -> None:
    score, right = np.array([s for s, _ in pairs]), np.array([r for _, r in pairs])
    expected = 0.0
    for number in range(10):
        low, high = np.linspace(0, 1, 11)[number : number + 2]
        mine = [(s, r) for s, r in pairs if low < s <= high or (number == 0 and s == 0)]
        if mine:
            gap = abs(np.mean([s for s, _ in mine]) - np.mean([r for _, r in mine]))
            expected += gap * len(mine) / len(pairs)
    assert calibration(score, right, bins=10).error == pytest.approx(expected)
