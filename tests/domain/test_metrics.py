"""Criteria that no data can decide are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vru.domain import DEFAULT_CRITERIA, Comparator, Criterion, VruError
from vru.domain.metrics import CAMERA_METRICS, MODEL_METRICS, check_decidable


@pytest.mark.parametrize(
    ("metric", "comparator", "threshold", "says"),
    [
        ("recall", ">=", 1.0, "holds never"),
        ("recall", ">=", 1.5, "holds never"),
        ("recall", ">=", 0.0, "holds always"),
        ("recall", ">=", -3.0, "holds always"),
        ("precision", "<=", 1.0, "holds always"),
        ("latency_p95_ms", "<=", 0.0, "holds never"),
        ("latency_p95_ms", "<=", -5.0, "holds never"),
        ("latency_p95_ms", ">=", -5.0, "holds always"),
        ("false_alarms_per_minute", "<=", 0.0, "holds never"),
        ("duplicate_signals", "<=", -1.0, "holds never"),
        ("recall", ">=", float("nan"), "finite"),
        ("recall", ">=", float("inf"), "finite"),
        ("nope", ">=", 0.5, "no metric 'nope'"),
    ],
)
def test_refused(metric: str, comparator: str, threshold: float, says: str) -> None:
    with pytest.raises(VruError, match=says):
        check_decidable(Criterion(metric, Comparator(comparator), threshold))


@pytest.mark.parametrize(
    ("metric", "comparator", "threshold"),
    [("recall", ">=", 0.999), ("duplicate_signals", "<=", 0.0), ("offset_ms", "<=", -5.0), ("latency_p95_ms", "<=", 1)],
)
def test_taken(metric: str, comparator: str, threshold: float) -> None:
    check_decidable(Criterion(metric, Comparator(comparator), threshold))


def test_the_defaults_can_be_decided() -> None:
    for criterion in DEFAULT_CRITERIA:
        check_decidable(criterion)


@given(st.sampled_from([*MODEL_METRICS, *CAMERA_METRICS]), st.sampled_from(list(Comparator)), st.floats())
def test_a_threshold_inside_the_range_is_never_refused(metric: str, comparator: Comparator, threshold: float) -> None:
    known = MODEL_METRICS.get(metric) or CAMERA_METRICS[metric]
    if known.least < threshold < known.most:
        check_decidable(Criterion(metric, comparator, threshold))
