import dataclasses
import math

import pytest
from hypothesis import given, settings
from tests.evaluation.strategies import Case, cases
from tests.evaluation.truths import box, detection, frames, track, truth

from vru.domain import Detection, GroundTruth
from vru.evaluation import EvaluationSettings, evaluate
from vru.evaluation.core.frames import Frames
from vru.evaluation.detection.outcomes import TRUE_POSITIVE
from vru.evaluation.video.latency import Outcome
from vru.evaluation.video.matching import match
from vru.evaluation.video.visibility import TrackTiming, Undetected

D, M, C = Outcome.DETECTED, Outcome.MISSED, Outcome.CUT_SHORT


def run(
    ground_truth: GroundTruth,
    found: list[int],
    *,
    stride: int = 1,
    height: float = 30,
    excluded: tuple[tuple[int, int], ...] = (),
) -> TrackTiming:
    return timed(ground_truth, [detection(frame) for frame in found], frames(100, stride), height, excluded)


def timed(
    ground_truth: GroundTruth,
    found: list[Detection],
    evaluated: dict[int, float],
    height: float,
    excluded: tuple[tuple[int, int], ...] = (),
) -> TrackTiming:
    given = EvaluationSettings(resamples=100, reasonable_height=height, excluded=excluded)
    (only,) = evaluate(ground_truth, found, evaluated, given).overall.timings
    return only


def told(*times: Undetected | None) -> list[tuple[float, float, Outcome]]:
    return [(time.start_s, round(time.observed_ms, 6), time.outcome) for time in times if time]


def test_gaps_and_reacquisition_by_hand() -> None:
    # Visible 10 to 30. Found at 13 and 14, lost from 15 to 17, found at 18 and 19, lost to the end.
    timing = run(truth(track(1, 10, 30)), [13, 14, 18, 19])
    assert timing.reacquisitions == 2
    assert told(timing.slowest_reacquisition) == [(2.0, 1000, M)]
    assert told(timing.longest_gap) == [(2.0, 1000, D)]


def test_found_in_every_frame_leaves_no_gap() -> None:
    timing = run(truth(track(1, 10, 30)), list(range(10, 31)))
    assert timing.reacquisitions == 0 and timing.slowest_reacquisition is None
    assert timing.longest_gap.observed_ms == 0


def test_coming_back_after_being_hidden_starts_the_clock_again() -> None:
    hidden = truth(track(1, 10, 40, ignore=frozenset(range(20, 30))))
    timing = run(hidden, [*range(10, 18), *range(32, 41)])
    # Lost at 18 and gone at 20; back at 30, found at 32.
    assert timing.reacquisitions == 2
    assert told(timing.slowest_reacquisition) == [(1.8, pytest.approx(100), M)]
    timing = run(hidden, [*range(10, 20), *range(30, 41)])
    assert (timing.reacquisitions, told(timing.slowest_reacquisition)) == (1, [(3.0, 0, D)])


def test_never_detected_is_a_miss_and_has_no_reacquisition() -> None:
    timing = run(truth(track(1, 10, 30)), [])
    assert told(timing.longest_gap) == [(1.0, 2000, M)]
    assert timing.reacquisitions == 0


def test_the_video_s_end_cuts_a_gap_short() -> None:
    timing = run(truth(track(1, 90, 99)), [91])
    assert told(timing.slowest_reacquisition) == [(9.2, 700, C)]
    assert timing.longest_gap.outcome == C


def test_an_excluded_part_cuts_a_gap_and_is_no_undetected_time() -> None:
    # Found at 10 to 15, lost from 16 on; nobody looked from 30 to 39; still lost at 40 to 44, then found.
    timing = run(truth(track(1, 10, 60)), [*range(10, 16), *range(45, 61)], excluded=((30, 39),))
    assert timing.reacquisitions == 2
    assert told(timing.longest_gap, timing.slowest_reacquisition) == [(1.6, 1300, C), (1.6, 1300, C)]
    # Lost when nobody looked any more, and found when somebody looked again: the end of the gap is not known.
    timing = run(truth(track(1, 10, 60)), [*range(10, 27), *range(40, 61)], excluded=((30, 39),))
    assert (timing.reacquisitions, told(timing.slowest_reacquisition)) == (1, [(2.7, pytest.approx(200), C)])
    # Found before and after: there is no gap at all.
    timing = run(truth(track(1, 10, 60)), [*range(10, 30), *range(40, 61)], excluded=((30, 39),))
    assert (timing.reacquisitions, told(timing.longest_gap)) == (0, [(1.0, 0, D)])
    # Lost after it only: the gap begins where somebody looked again.
    timing = run(truth(track(1, 10, 60)), [*range(10, 30), *range(45, 61)], excluded=((30, 39),))
    assert told(timing.longest_gap) == [(4.0, 500, D)]


def test_who_leaves_or_comes_back_in_an_excluded_part_is_cut_short_too() -> None:
    timing = run(truth(track(1, 10, 35)), [*range(10, 20)], excluded=((30, 39),))
    assert told(timing.longest_gap, timing.slowest_reacquisition) == [(2.0, 900, C), (2.0, 900, C)]
    # Hidden from 25 on, back when somebody looked again, and found at once: for how long it was back is not known.
    back = truth(track(1, 10, 60, ignore=frozenset(range(25, 35))))
    timing = run(back, [*range(10, 25), *range(40, 61)], excluded=((30, 39),))
    assert (timing.reacquisitions, told(timing.longest_gap)) == (0, [(1.0, 0, D)])
    # It left, undetected, before the part began: that gap is over.
    timing = run(truth(track(1, 10, 25)), [*range(10, 20)], excluded=((30, 39),))
    assert told(timing.slowest_reacquisition) == [(2.0, 500, M)]


def test_boxes_beyond_an_excluded_part_do_not_lengthen_the_spell_before_it() -> None:
    # Frames 0, 5, 10, ... are evaluated; 20 to 32 are excluded, so that the boxes of 33 and 34 lie after it.
    timing = run(truth(track(1, 10, 34)), [10], stride=5, excluded=((20, 32),))
    assert told(timing.slowest_reacquisition) == [(1.5, pytest.approx(400), C)]
    timing = run(truth(track(1, 10, 60)), [10, 15, 45, 50, 55, 60], stride=5, excluded=((20, 32),))
    assert told(timing.slowest_reacquisition) == [(3.3, pytest.approx(1200), D)]


def test_the_clock_of_the_reasonable_size_starts_with_the_size() -> None:
    grows = track(1, 10, 30)
    boxes = tuple(
        dataclasses.replace(b, box=box(height=20 if b.frame_index < 20 else 40)) for b in grows.boxes
    )  # fmt: skip
    tall = truth(dataclasses.replace(grows, boxes=boxes))
    evaluated = frames(100)
    found = [detection(12, box(height=20)), detection(24)]
    timing = timed(tall, found, evaluated, 30)
    assert timing.reasonable == Undetected(2.0, pytest.approx(400), D)
    timing = timed(tall, found, evaluated, 10)
    assert timing.reasonable == Undetected(1.0, pytest.approx(200), D)
    timing = timed(tall, found, evaluated, 50)
    assert timing.reasonable is None


def test_between_evaluated_frames_times_are_rounded_up() -> None:
    timing = run(truth(track(1, 11, 33)), [20, 30], stride=5)
    # Frames 15, 20, 25, 30 are evaluated; the clock starts at 11.
    assert timing.reasonable == Undetected(1.1, pytest.approx(900), D)
    assert told(timing.slowest_reacquisition) == [(2.5, 500, D)]


def test_the_metrics_have_their_names_and_rest_on_clips() -> None:
    tracks = truth(*(track(number, number * 10, number * 10 + 8, size=(20, 60)) for number in range(9)))
    found = [detection(number * 10 + 2, box(height=60)) for number in range(9)]
    settings = EvaluationSettings(resamples=100, clip_seconds=1)
    part = evaluate(tracks, found, frames(100), settings).overall
    assert part.estimates["latency_reasonable_median_ms"].value == pytest.approx(200)
    assert part.estimates["longest_gap_p95_ms"].value == pytest.approx(500)
    # Nobody was found again before leaving.
    assert part.estimates["reacquisition_median_ms"].value is None
    assert part.estimates["reacquisition_median_ms"].n == 9
    assert part.survival().quantile(0.95) == part.estimates["latency_p95_ms"].value


def slow(case: Case, number: int, threshold: float) -> tuple[list[float], list[float]]:
    """Longest gap and reacquisitions of one track straight from the definition, walking frame by frame. A gap that
    nothing ended is infinite.
    """
    matches = match(case.truth, case.detections, Frames.of(case.frames), 0.5)
    hit = (matches.outcome == TRUE_POSITIVE) & (matches.score >= threshold) & (matches.track == number)
    hits = set(matches.frame[hit].tolist())
    counted = {b.frame_index: b.time_s for b in case.truth.tracks[number].boxes if not b.ignore}
    gaps, again, seen, since, hidden_at = [], [], False, None, -1.0
    for position, (frame, time) in enumerate(case.frames.items()):
        if frame not in counted:
            if since is not None:
                again += [math.inf] if seen else []
                last = max(t for t in counted.values() if t < time)
                gaps.append(last - since)
            since, hidden_at = None, time
            continue
        new_spell = position == 0 or list(case.frames)[position - 1] not in counted
        if new_spell:
            earlier = [t for t in counted.values() if (t > hidden_at or not gaps) and t <= time]
            since = min(earlier)
        if position in hits:
            if since is not None:
                gaps.append(time - since)
                again += [time - since] if seen else []
            since, seen = None, True
        elif since is None:
            since = time
    if since is not None:
        again += [math.inf] if seen else []
        gaps.append(min(max(counted.values()), list(case.frames.values())[-1]) - since)
    return gaps, again


@given(case=cases())
@settings(max_examples=200, deadline=None)
def test_equal_to_a_walk_frame_by_frame(case: Case) -> None:
    found = evaluate(case.truth, case.detections, case.frames, EvaluationSettings(resamples=100)).overall.timings
    numbers = {t.track_id: number for number, t in enumerate(case.truth.tracks)}
    for timing in found:
        gaps, again = slow(case, numbers[timing.track_id], 0.5)
        assert timing.longest_gap.observed_ms / 1000 == pytest.approx(max(gaps), abs=1e-9)
        assert timing.reacquisitions == len(again)
        slowest = timing.slowest_reacquisition
        ours = slowest and (slowest.observed_ms / 1000 if slowest.outcome == D else math.inf)
        assert ours == pytest.approx(max(again), abs=1e-9) if again else ours is None
