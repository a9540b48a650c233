from tests.evaluation.truths import box, detection, frames, truth

from vru.domain import Detection, VruClass
from vru.evaluation import EvaluationSettings, evaluate
from vru.evaluation.video.alarms import FalseAlarm


def alarms(detections: list[Detection], stride: int = 1) -> list[FalseAlarm]:
    return list(evaluate(truth(), detections, frames(60, stride), EvaluationSettings(resamples=100)).overall.alarms)


def test_false_positives_that_follow_each_other_are_one_alarm() -> None:
    assert alarms([detection(index, box(10 + index)) for index in range(5, 25)]) == [FalseAlarm(5, 24, 0)]


def test_a_gap_of_one_evaluated_frame_makes_two_alarms() -> None:
    assert len(alarms([detection(3), detection(4), detection(6)])) == 2


def test_frames_that_follow_each_other_are_those_that_were_evaluated() -> None:
    assert alarms([detection(4), detection(6), detection(8)], stride=2) == [FalseAlarm(2, 4, 0)]


def test_two_places_or_two_classes_are_two_alarms() -> None:
    assert len(alarms([detection(3), detection(3, box(200)), detection(4), detection(4, box(200))])) == 2
    assert len(alarms([detection(3), detection(4, road_user=VruClass.CYCLIST)])) == 2


def test_an_alarm_goes_on_in_one_box_only() -> None:
    assert len(alarms([detection(3), detection(4), detection(4, box(14))])) == 2


def test_detections_below_the_score_threshold_raise_no_alarm() -> None:
    assert alarms([detection(3, score=0.4)]) == []
