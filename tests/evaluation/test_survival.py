import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vru.domain import VruError
from vru.evaluation.statistics.survival import kaplan_meier, with_misses

# Weeks in remission under 6-mercaptopurine, Freireich et al. 1963: the textbook example of it. Censored: below 0.
FREIREICH = [6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16, -17, -19, -20, 22, 23, -25, -32, -32, -34, -35]
# Kleinbaum and Klein, Survival Analysis, table 2.3; standard errors from Greenwood's formula, as R's survfit has them.
PUBLISHED = {
    6: (21, 3, 0.857, 0.0764, 0.620, 0.952),
    7: (17, 1, 0.807, 0.0869, 0.563, 0.923),
    10: (15, 1, 0.753, 0.0963, 0.503, 0.889),
    13: (12, 1, 0.690, 0.1068, 0.432, 0.849),
    16: (11, 1, 0.627, 0.1141, 0.368, 0.805),
    22: (7, 1, 0.538, 0.1282, 0.268, 0.747),
    23: (6, 1, 0.448, 0.1346, 0.188, 0.680),
}


def test_the_published_example() -> None:
    curve = kaplan_meier([abs(weeks) for weeks in FREIREICH], [weeks > 0 for weeks in FREIREICH])
    assert curve.times_ms.tolist() == list(PUBLISHED)
    for number, (at_risk, events, share, error, low, high) in enumerate(PUBLISHED.values()):
        assert (curve.at_risk[number], curve.detected[number]) == (at_risk, events)
        assert curve.undetected[number] == pytest.approx(share, abs=0.0006)
        assert math.sqrt(curve.variance[number]) == pytest.approx(error, abs=0.0001)
        assert curve.low[number] == pytest.approx(low, abs=0.001)
        assert curve.high[number] == pytest.approx(high, abs=0.001)
    assert curve.quantile(0.5) == 23
    assert curve.quantile(0.95) is None


def test_times_that_differ_by_rounding_are_one_step() -> None:
    """The same frame reached by two differences of media times: 0.1 + 0.2 and 0.3."""
    curve = kaplan_meier([300.00000000000006, 300.0, 299.99999999999994, 400.0], [True] * 4)
    assert len(curve.times_ms) == 2 and curve.detected.tolist() == [3, 1] and curve.at_risk.tolist() == [4, 1]
    assert curve.undetected.tolist() == [0.25, 0.0]


def test_by_hand() -> None:
    # 4 at risk: 3/4 after 10; the one censored at 15 leaves; 2 at risk: 3/8 after 20; 0 after 30.
    curve = kaplan_meier([10, 15, 20, 30], [True, False, True, True])
    assert curve.undetected.tolist() == [0.75, 0.375, 0.0]
    # Greenwood: 0.75^2 * 1/(4*3); 0.375^2 * (1/12 + 1/2).
    assert curve.variance.tolist() == pytest.approx([0.046875, 0.08203125, 0.0])
    assert curve.low[-1] == 0 and curve.high[-1] == curve.high[-2]


def test_a_miss_that_left_early_keeps_its_place() -> None:
    # Plain Kaplan-Meier would forget the miss at 5 and call the median 20.
    assert kaplan_meier([5, 10, 20, 30], [False, True, True, True]).quantile(0.6) == 20
    assert with_misses([5, 10, 20, 30], [False, True, True, True], [True, False, False, False]).quantile(0.6) == 30


@pytest.mark.parametrize("times", [[math.nan], [math.inf]])
def test_a_detection_has_a_time(times: list[float]) -> None:
    with pytest.raises(VruError, match="infinite or not a number"):
        kaplan_meier(times, [True])


def slow(times: list[float], detected: list[bool]) -> dict[float, float]:
    """The definition: multiply (n - d) / n over the times of detections."""
    share, curve = 1.0, {}
    for moment in sorted({time for time, ended in zip(times, detected, strict=True) if ended}):
        at_risk = sum(time >= moment for time in times)
        events = sum(time == moment and ended for time, ended in zip(times, detected, strict=True))
        share *= (at_risk - events) / at_risk
        curve[moment] = share
    return curve


OBSERVED = st.lists(
    st.tuples(st.integers(0, 30).map(float), st.sampled_from(["detected", "missed", "cut"])), min_size=1, max_size=40
)


@given(observed=OBSERVED)
def test_equal_to_the_definition(observed: list[tuple[float, str]]) -> None:
    times, detected = [time for time, _ in observed], [what == "detected" for _, what in observed]
    curve = kaplan_meier(times, detected)
    assert dict(zip(curve.times_ms.tolist(), curve.undetected.tolist(), strict=True)) == pytest.approx(
        slow(times, detected), abs=1e-12
    )
    assert (curve.low <= curve.undetected + 1e-12).all() and (curve.undetected <= curve.high + 1e-12).all()
    assert ((curve.low >= 0) & (curve.high <= 1)).all()
    assert not np.isnan(np.concatenate([curve.low, curve.high, curve.variance])).any()


@given(observed=OBSERVED, number=st.integers(0, 39), quantile=st.sampled_from([0.25, 0.5, 0.95]), at=st.integers(0, 30))
def test_turning_a_detection_into_a_miss_never_shortens_a_quantile(
    observed: list[tuple[float, str]], number: int, quantile: float, at: int
) -> None:
    def of(rows: list[tuple[float, str]]) -> float:
        columns = [[what == kind for _, what in rows] for kind in ("detected", "missed")]
        value = with_misses([time for time, _ in rows], *columns).quantile(quantile)
        return math.inf if value is None else value

    number %= len(observed)
    worse = [row if position != number else (float(at), "missed") for position, row in enumerate(observed)]
    if observed[number][1] == "detected":
        assert of(worse) >= of(observed)


@given(observed=OBSERVED, quantile=st.sampled_from([0.25, 0.5, 0.95]), factor=st.sampled_from([0.5, 2, 1000]))
def test_the_unit_of_time_does_not_matter(observed: list[tuple[float, str]], quantile: float, factor: float) -> None:
    times, detected = [time for time, _ in observed], [what == "detected" for _, what in observed]
    one = kaplan_meier(times, detected).quantile(quantile)
    other = kaplan_meier([time * factor for time in times], detected).quantile(quantile)
    assert other == (None if one is None else pytest.approx(one * factor))
