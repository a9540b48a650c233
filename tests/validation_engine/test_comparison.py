"""Comparisons from stored counts: against the estimates of the whole evaluations."""

import pytest
from tests.evaluation.test_pooled import GROUPS, RECORDINGS, pool

from vru.domain import Verdict, VruError
from vru.evaluation import EvaluationSettings, Roster
from vru.evaluation.study.comparison import difference_of
from vru.service.schemas import DataSetRunMetrics, RunSettings, SetAsideClip
from vru.service.schemas.comparisons import MarginBody
from vru.validation_engine.comparison import compare
from vru.validation_engine.data_set_analysis import DataSetAnalysing, Measured

NAMES = [f"r{place}" for place in range(len(RECORDINGS))]
SLICES = dict(zip(NAMES, map(sorted, GROUPS), strict=True))
# The second version does not find what comes late in each recording.
WEAKER = [(truth, [one for one in found if one.frame_index < 40], times) for truth, found, times in RECORDINGS]


def measured(recordings, set_aside=()):
    analysing = DataSetAnalysing(
        [Measured(place + 1, name, SLICES[name]) for place, name in enumerate(NAMES)],
        [],
        RunSettings(),
        [],
        "net",
        set_aside,
    )
    for place, (truth, found, times) in enumerate(recordings):
        analysing.begin(place + 1, Roster.of(truth), times)
        outside = [clip.recording for clip in set_aside]
        analysing.add(truth, [] if place + 1 in outside else found)
    return DataSetRunMetrics.model_validate(analysing.result().metrics)


@pytest.fixture(scope="module")
def before():
    return measured(RECORDINGS)


@pytest.fixture(scope="module")
def after():
    return measured(WEAKER)


def test_differences_are_those_of_the_evaluations(before, after):
    compared = compare((before, after), SLICES, RunSettings(), [])
    old, new = (pool(recordings, GROUPS, EvaluationSettings()).evaluation for recordings in (RECORDINGS, WEAKER))
    assert {item.slice for item in compared.differences} == {"all", "light:day", "light:night", "tag:rain"}
    metrics = {"recall", "precision", "f1", "track_recall", "false_alarms_per_minute"}
    assert {item.metric for item in compared.differences} == metrics
    for item in compared.differences:
        one, other = (run.slices[item.slice].estimates[item.metric] for run in (old, new))
        expected = difference_of(item.metric, item.slice, one, other)
        assert (item.before, item.after, item.n) == (one.value, other.value, expected.n)
        assert (item.low, item.high) == tuple(pytest.approx(bound) for bound in expected.bounds(0.975))
        assert item.units == "recordings"


def test_who_is_newly_missed(before, after):
    compared = compare((before, after), SLICES, RunSettings(), [])
    missed = [{(t.recording, t.track_id) for t in run.tracks if t.latency_ms is None} for run in (before, after)]
    assert {(one.recording, one.track_id) for one in compared.newly_missed} == missed[1] - missed[0] != set()
    assert compared.newly_found == []
    back = compare((after, before), SLICES, RunSettings(), [])
    assert back.newly_found == compared.newly_missed


def test_margins(before, after):
    margins = [MarginBody(metric="recall", margin=0.0), MarginBody(metric="precision", margin=0.9)]
    assert compare((before, before), SLICES, RunSettings(), margins).verdict != Verdict.FAIL
    compared = compare((before, after), SLICES, RunSettings(), margins)
    assert [item.metric for item in compared.margins] == ["recall", "precision"]
    assert compared.margins[0].verdict != Verdict.PASS
    with pytest.raises(VruError, match="'ap50' in slice 'all' cannot be compared"):
        compare((before, after), SLICES, RunSettings(), [MarginBody(metric="ap50", margin=0.1)])


def test_a_recording_that_failed_in_one_is_left_out_of_both(before):
    clip = SetAsideClip(number=7, recording=3, first_frame=0, last_frame=59, first_s=0.0, last_s=5.9, reason="gone.")
    broken = measured(RECORDINGS, [clip])
    row = broken.recordings[0]
    assert (row.name, row.failed, row.frames) == ("r2", "gone.", 0)
    compared = compare((before, broken), SLICES, RunSettings(), [])
    assert (compared.recordings, compared.left_out) == (11, ["r2"])
    assert {item.difference for item in compared.differences} == {0.0}
    assert compared.newly_missed == compared.newly_found == []
