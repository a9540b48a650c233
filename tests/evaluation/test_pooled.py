"""Several recordings together: against each by itself, and against the pooled figures of ``vru evaluate``."""

from dataclasses import replace

import numpy as np
import pytest

from vru.domain import Box, Criterion, Detection, GroundTruth, Track, TruthBox, Verdict, VruClass
from vru.domain.criteria import Comparator
from vru.evaluation import EvaluationSettings, Frames, Roster, evaluate, judge
from vru.evaluation.video.latency import detection_curve
from vru.evaluation.video.metrics import METRICS
from vru.evaluation.video.pooled import PooledEvaluator

SETTINGS = EvaluationSettings(resamples=200, slices=("class:pedestrian", "class:cyclist", "size:small"))
KINDS = (VruClass.PEDESTRIAN, VruClass.CYCLIST)


def recording(seed, frames=60):
    """A ground truth and detections with misses, flicker, false alarms and tracks until the end."""
    rng = np.random.default_rng(seed)
    times = [frame / 10 for frame in range(frames)]
    tracks, found = [], []
    for number in range(int(rng.integers(2, 6))):
        first = int(rng.integers(0, frames - 10))
        last = frames - 1 if rng.random() < 0.4 else int(rng.integers(first + 3, frames))
        kind, size = KINDS[number % 2], float(rng.integers(10, 60))
        sure, boxes = rng.random() < 0.8, []
        for frame in range(first, last + 1):
            box = Box(40.0 + 80 * number + frame, 20.0, size, size)
            boxes.append(TruthBox(frame, times[frame], box, occluded=bool(rng.random() < 0.2)))
            if sure and rng.random() < 0.7:
                found.append(Detection(frame, times[frame], kind, float(rng.random()), box))
        tracks.append(Track(number + 1, kind, tuple(boxes)))
    alarms = np.flatnonzero(rng.random(frames) < 0.1).tolist()
    found += [
        Detection(frame, times[frame], KINDS[0], float(rng.random()), Box(700.0, 5.0, 9.0, 9.0)) for frame in alarms
    ]
    found.sort(key=lambda detection: detection.frame_index)
    return GroundTruth(800, 200, frames, tuple(tracks), approved_by="somebody"), found, times


def pool(recordings, groups, settings=SETTINGS, pieces=2, excluded=()):
    pooled = PooledEvaluator(settings, groups)
    for place, (truth, found, times) in enumerate(recordings):
        pooled.begin(place, Roster.of(truth), Frames.every(1, times).without(excluded if place == 0 else ()))
        step = len(times) // pieces
        for first in range(0, len(times), step):
            within = range(first, first + step)
            tracks = [
                replace(track, boxes=kept)
                for track in truth.tracks
                if (kept := tuple(box for box in track.boxes if box.frame_index in within))
            ]
            pooled.add(replace(truth, tracks=tuple(tracks)), [one for one in found if one.frame_index in within])
    return pooled.result()


RECORDINGS = [recording(seed) for seed in range(12)]
GROUPS = [{"light:night", "tag:rain"} if seed % 3 == 0 else {"light:day"} for seed in range(12)]


@pytest.fixture(scope="module")
def pooled():
    return pool(RECORDINGS, GROUPS)


@pytest.fixture(scope="module")
def parts():
    return [evaluate(truth, found, dict(enumerate(times)), SETTINGS) for truth, found, times in RECORDINGS]


def same(one, other):
    assert (one.value, one.n, one.units) == (other.value, other.n, other.units)
    for confidence in (0.9, 0.95, 0.975):
        assert one.bounds(confidence) == other.bounds(confidence)


def test_sums_are_those_of_the_recordings(pooled, parts):
    evaluation = pooled.evaluation
    for name in ("all", "class:pedestrian", "class:cyclist", "size:small"):
        mine, theirs = evaluation.slices[name], [part.slices[name] for part in parts]
        assert mine.true_positives == sum(part.true_positives for part in theirs)
        assert mine.false_positives == sum(part.false_positives for part in theirs)
        assert mine.false_negatives == sum(part.false_negatives for part in theirs)
        boxes = mine.true_positives + mine.false_negatives
        assert mine.estimates["recall"].value == mine.true_positives / boxes
        assert mine.estimates["recall"].units == "recordings"
    assert evaluation.minutes == pytest.approx(sum(part.minutes for part in parts))
    assert [int(value) for value in pooled.counts.true_positives] == [part.overall.true_positives for part in parts]
    assert [int(value) for value in pooled.counts.alarms] == [len(part.overall.alarms) for part in parts]
    tracks = [(pooled.owner[track.track_id], track.latency_ms) for track in evaluation.overall.tracks]
    assert tracks == [
        ((place, track.track_id), track.latency_ms) for place, part in enumerate(parts) for track in part.overall.tracks
    ]


def test_figures_of_time_are_those_of_all_tracks_together(pooled, parts):
    estimates = pooled.evaluation.overall.estimates
    tracks = [track for part in parts for track in part.overall.tracks]
    detected = sum(track.latency_ms is not None for track in tracks)
    assert estimates["track_recall"].value == pytest.approx(detected / len(tracks))
    alarms, minutes = (sum(len(part.overall.alarms) for part in parts), sum(part.minutes for part in parts))
    assert estimates["false_alarms_per_minute"].value == pytest.approx(alarms / minutes)
    curve = detection_curve(tracks)
    assert estimates["latency_median_ms"].value == curve.quantile(0.5)
    assert estimates["latency_p95_ms"].value == curve.quantile(0.95)


def test_a_slice_of_recordings_is_as_if_there_were_no_others(pooled):
    for group in ("light:night", "light:day"):
        mine = [place for place, groups in enumerate(GROUPS) if group in groups]
        alone = pool([RECORDINGS[place] for place in mine], [set()] * len(mine)).evaluation.overall
        part = pooled.evaluation.slices[group]
        assert (part.true_positives, part.false_positives) == (alone.true_positives, alone.false_positives)
        for metric in METRICS:
            same(part.estimates[metric], alone.estimates[metric])
    rain, night = (pooled.evaluation.slices[name] for name in ("tag:rain", "light:night"))
    same(rain.estimates["ap50"], night.estimates["ap50"])


def test_pieces_do_not_matter(pooled):
    whole = pool(RECORDINGS, GROUPS, pieces=1).evaluation
    for name, part in pooled.evaluation.slices.items():
        for metric in METRICS:
            same(part.estimates[metric], whole.slices[name].estimates[metric])


def test_one_recording_is_evaluated_as_by_itself():
    truth, found, times = RECORDINGS[0]
    alone = evaluate(truth, found, dict(enumerate(times)), SETTINGS)
    result = pool(RECORDINGS[:1], [{"light:night"}])
    for metric in METRICS:
        for name in ("all", "class:cyclist"):
            same(result.evaluation.slices[name].estimates[metric], alone.slices[name].estimates[metric])
        same(result.evaluation.slices["light:night"].estimates[metric], alone.overall.estimates[metric])
    assert result.evaluation.overall.estimates["recall"].units == "clips"
    assert result.counts.true_positives.tolist() == [alone.overall.true_positives]
    assert [result.owner[track.track_id] for track in result.evaluation.overall.tracks] == [
        (0, track.track_id) for track in alone.overall.tracks
    ]


def test_a_recording_that_nobody_looked_at_is_no_unit():
    result = pool(RECORDINGS[:4], GROUPS[:4], excluded=[(0, 59)])
    assert result.places == (1, 2, 3)
    assert result.evaluation.overall.estimates["false_alarms_per_minute"].n == 3
    assert {place for place, _ in result.owner} == {1, 2, 3}


def test_the_same_recording_many_times_proves_what_units_prove():
    # 59 flawless recordings prove a recall of 0.95 with 95 % confidence for units as large as those seen, not fewer.
    truth, _, times = RECORDINGS[0]
    perfect = [Detection(box.frame_index, box.time_s, track.road_user, 0.9, box.box) for track, box in truth.boxes()]
    perfect.sort(key=lambda one: one.frame_index)
    criterion = Criterion("recall", Comparator.AT_LEAST, 0.95)
    verdicts = []
    for count in (20, 130):
        result = pool([(truth, perfect, times)] * count, [set()] * count, replace(SETTINGS, resamples=400, slices=()))
        verdicts.append(judge(result.evaluation, [criterion]).verdict)
    assert verdicts == [Verdict.INCONCLUSIVE, Verdict.PASS]


def test_criteria_on_conditions(pooled):
    criteria = [Criterion("recall", Comparator.AT_LEAST, 0.999, slice=name) for name in ("light:night", "light:day")]
    report = judge(pooled.evaluation, criteria)
    # Four recordings at night are too few for a slice.
    assert "fewer than the 10 that a slice must have" in report.results[0].reason
    with pytest.raises(Exception, match="There is no slice 'light:dusk'"):
        judge(pooled.evaluation, [replace(criteria[0], slice="light:dusk")])
