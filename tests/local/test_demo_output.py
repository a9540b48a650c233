"""What the demo prints of a run's figures."""

import re
import uuid
from datetime import UTC, datetime

import pytest

from vru.domain import RunKind, RunState, Verdict
from vru.local.demo import print_verdict
from vru.local.output import Output
from vru.service.schemas import MeasurementBody, ModelRunBody, RunMetrics, RunSettings

LONG = "latency_reasonable_median_ms"


def run_of(*measurements: MeasurementBody) -> ModelRunBody:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    metrics = RunMetrics(
        measurements=list(measurements),
        tracks=[],
        true_positives=7,
        false_positives=2,
        false_negatives=1,
        ground_truth_approved=True,
    )
    known = {
        "id": uuid.uuid4(), "project_id": uuid.uuid4(), "kind": RunKind.MODEL, "video_id": uuid.uuid4(),
        "ground_truth_id": uuid.uuid4(), "signals_id": None, "settings": RunSettings(), "criteria": [],
        "state": RunState.COMPLETED, "frames_total": 1, "frames_done": 1, "priority": 0, "set_aside": [],
        "metrics": metrics, "verdict": Verdict.PASS, "verdict_reasons": [], "notes": [], "created_by": "a@b.example",
        "created_at": now,
    }  # fmt: skip
    return ModelRunBody.model_construct(**known)


@pytest.fixture
def printed(capsys):
    def of(*measurements: MeasurementBody) -> list[str]:
        print_verdict(run_of(*measurements), Output())
        lines = capsys.readouterr().out.splitlines()
        return lines[lines.index("Measured") + 1 :]

    return of


def test_the_longest_name_keeps_its_distance_and_all_values_stand_in_one_column(printed):
    lines = printed(
        MeasurementBody(metric="f1", value=0.9, low=0.8, high=0.95, n=12),
        MeasurementBody(metric=LONG, value=300.0, low=200.0, high=400.0, n=12, unit="ms"),
    )
    assert {re.match(r"  (?:road users|\w+) +", line).end() for line in lines} == {len(f"  {LONG}  ")}
    assert f"  {LONG}  300 ms  (95% interval: 200 to 400, n = 12)" in lines


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (None, None, "95% interval: without bounds, n = 3"),
        (0.4, None, "95% interval: from 0.4, n = 3"),
        (None, 0.9, "95% interval: up to 0.9, n = 3"),
    ],
)
def test_a_side_without_a_bound_is_said_in_words(printed, low, high, says):
    (line, *_) = printed(MeasurementBody(metric="f1", value=0.5, low=low, high=high, n=3))
    assert says in line and "unknown" not in line


def test_a_figure_that_the_data_do_not_determine_has_no_interval(printed):
    (line, *_) = printed(MeasurementBody(metric="f1", value=None, low=None, high=None, n=0))
    assert line.split(maxsplit=1)[1] == "not determined by these data (n = 0)"
