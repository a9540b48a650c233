"""What went wrong in recordings, piece by piece: the same lists and matrices as of all of them at once."""

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.test_pooled import RECORDINGS, recording

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass
from vru.evaluation import EvaluationSettings, Frames, evaluate
from vru.evaluation.core.tables import CLASSES, DataSet, found_table, truth_table
from vru.evaluation.dataset.conditions import Conditions
from vru.evaluation.dataset.evaluate import evaluate_dataset
from vru.evaluation.dataset.findings import findings_document, findings_of
from vru.evaluation.dataset.findings_log import FindingsLog
from vru.evaluation.dataset.protocol import load_protocol
from vru.formats.annotations import Annotations, Boxes, Picture

LABELS = tuple(map(str, CLASSES))


def at_once(recordings, attributes):
    """The findings of ``vru evaluate``, from all frames as one data set."""
    pictures, names, frame, truths, founds = [], [], [], [], []
    for number, (truth, found, times) in enumerate(recordings):
        first = len(pictures)
        names.append(f"recording {number}")
        pictures += [Picture(at, f"frame {at}", number, at, time_s) for at, time_s in enumerate(times)]
        frame += range(len(times))
        truths += [
            (first + box.frame_index, LABELS.index(track.road_user), track.track_id, box.box.as_tuple())
            for track, box in truth.boxes()
        ]
        founds += [
            (first + one.frame_index, LABELS.index(one.road_user), one.score, one.box.as_tuple()) for one in found
        ]
    picture, label, track, boxes = zip(*sorted(truths), strict=True)
    seen_in, seen_as, score, seen = zip(*founds, strict=True)
    sequence = np.array([one.sequence for one in pictures])
    data = DataSet(
        LABELS, tuple(names), sequence, np.array(frame), truth_table(picture, label, boxes, track=track),
        found_table(seen_in, seen_as, seen, score),
    )  # fmt: skip
    protocol = replace(load_protocol("default"), score_threshold=0.5)
    metrics = evaluate_dataset(data, protocol, resamples=0)
    annotations = Annotations("", list(LABELS), {}, pictures, names, Boxes(lambda _, place: str(place)))
    of_picture = {
        name: tuple(attributes[one.sequence].get(name) for one in pictures)
        for name in {n for a in attributes for n in a}
    }
    found = findings_of(metrics, annotations, Conditions(of_picture), 0.5)
    assert found is not None
    return findings_document(found)


def logged(recordings, attributes, most, piece):
    log = FindingsLog(0.5, 0.5, most)
    for number, (truth, found, times) in enumerate(recordings):
        log.begin(f"recording {number}", Frames.every(1, times), attributes[number])
        for first in range(0, len(times), piece):
            log.add(*cut(truth, found, range(first, first + piece)))
    return log.document()


def cut(truth, found, within):
    tracks = [
        replace(track, boxes=kept)
        for track in truth.tracks
        if (kept := tuple(box for box in track.boxes if box.frame_index in within))
    ]
    return replace(truth, tracks=tuple(tracks)), [one for one in found if one.frame_index in within]


def without_picture(rows):
    return [{name: value for name, value in row.items() if name != "picture"} for row in rows]


ATTRIBUTES = [{"light": "night" if number % 3 == 0 else "day"} for number in range(len(RECORDINGS))]


@pytest.fixture(scope="module")
def theirs():
    return at_once(RECORDINGS, ATTRIBUTES)


@pytest.mark.parametrize("most", [1, 7, 60, 10_000])
def test_lists_and_matrices_are_those_of_all_frames_at_once(theirs, most):
    mine = logged(RECORDINGS, ATTRIBUTES, most, 13)
    assert mine["misses"]["count"] == theirs["misses"]["count"] > 100
    assert mine["false_alarms"]["count"] == theirs["false_alarms"]["count"] > 20
    assert without_picture(mine["false_alarms"]["worst"]) == without_picture(theirs["false_alarms"]["worst"][:most])
    # Boxes of a track have one size here: which of them is the largest of a stretch is the first.
    mine_worst, their_worst = (without_picture(one["misses"]["worst"][:most]) for one in (mine, theirs))
    assert len(mine_worst) == len(their_worst)
    assert [row["box"][2:] for row in mine_worst] == [row["box"][2:] for row in their_worst]
    if most == 10_000:
        assert sorted(map(str, mine_worst)) == sorted(map(str, their_worst))
    assert mine["stretch_count"] == len(theirs["missed_stretches"])
    lengths = [row["frames"] for row in theirs["missed_stretches"]]
    assert [row["frames"] for row in mine["missed_stretches"]] == lengths[:most]
    if most == 10_000:
        assert sorted(map(str, mine["missed_stretches"])) == sorted(map(str, theirs["missed_stretches"]))
    assert mine["recordings"] == theirs["recordings"]
    assert mine["scenarios"] == theirs["scenarios"]
    places = [theirs["confusion"]["classes"].index(name) for name in mine["confusion"]["classes"]]
    whole = np.array(theirs["confusion"]["counts"])
    assert mine["confusion"]["counts"] == whole[np.ix_(places, places)].tolist()
    assert whole.sum() == np.sum(mine["confusion"]["counts"])


@pytest.mark.parametrize("most", [3, 500])
def test_pieces_do_not_matter(most):
    whole = logged(RECORDINGS, ATTRIBUTES, most, 60)
    assert [logged(RECORDINGS, ATTRIBUTES, most, piece) for piece in (1, 7, 59)] == [whole] * 3


def test_sums_are_those_of_the_figures_with_a_stride_and_parts_left_out():
    truth, found, times = recording(5)
    ignored = Track(
        99, VruClass.PEDESTRIAN, tuple(TruthBox(at, times[at], Box(700, 5, 9, 9), ignore=True) for at in range(30))
    )
    truth = replace(truth, tracks=(*truth.tracks, ignored))
    frames = Frames.every(3, times)
    excluded = ((12, 20),)
    looked_at = frames.without(excluded)
    found = [one for one in found if one.frame_index in looked_at.indices]
    evaluated = dict(zip(frames.indices.tolist(), frames.times.tolist(), strict=True))
    overall = evaluate(truth, found, evaluated, EvaluationSettings(resamples=100, excluded=excluded)).overall
    log = FindingsLog(0.5, 0.5)
    log.begin("drive", looked_at)
    log.add(truth, found)
    document = log.document()
    assert document["misses"]["count"] == overall.false_negatives > 0
    assert document["false_alarms"]["count"] == overall.false_positives
    assert np.trace(np.array(document["confusion"]["counts"])) == overall.true_positives > 0
    assert document["recordings"][0]["images"] == len(looked_at)
    # Two evaluated frames are next to each other although the file has others between them.
    assert max(row["frames"] for row in document["missed_stretches"]) > 1
    shown = {row["frame"] for row in document["misses"]["worst"]}
    assert shown and all(at % 3 == 0 and not 12 <= at <= 20 for at in shown)


def test_a_stretch_shows_its_largest_box_and_a_miss_the_detection_next_to_it():
    boxes = [TruthBox(at, at / 10, Box(10.0, 10.0, 20.0, size)) for at, size in enumerate((30.0, 50.0, 40.0, 45.0))]
    truth = GroundTruth(100, 100, 4, (Track(7, VruClass.CYCLIST, tuple(boxes)),))
    # Too unsure in frame 1, of another class in frame 2; found in frame 3.
    found = [
        Detection(1, 0.1, VruClass.CYCLIST, 0.4, boxes[1].box),
        Detection(2, 0.2, VruClass.PEDESTRIAN, 0.9, boxes[2].box),
        Detection(3, 0.3, VruClass.CYCLIST, 0.8, boxes[3].box),
    ]
    log = FindingsLog(0.5, 0.5)
    log.begin("drive", Frames.every(1, [0.0, 0.1, 0.2, 0.3]))
    for at in range(4):
        log.add(*cut(truth, found, range(at, at + 1)))
    document = log.document()
    assert [row["frame"] for row in document["misses"]["worst"]] == [1, 2, 0]
    assert document["misses"]["worst"][0]["nearest"] == {"class": "cyclist", "score": 0.4, "overlap": 1.0}
    (stretch,) = document["missed_stretches"]
    assert (stretch["track_id"], stretch["from"]["frame"], stretch["to"]["time_s"], stretch["frames"]) == (7, 0, 0.2, 3)
    (alarm,) = document["false_alarms"]["worst"]
    assert (alarm["frame"], alarm["time_s"], alarm["class"], alarm["score"]) == (2, 0.2, "pedestrian", 0.9)
    assert alarm["nearest"]["track_id"] == 7
    assert document["confusion"]["classes"] == ["pedestrian", "cyclist", "background"]
    assert document["confusion"]["counts"] == [[0, 0, 0], [1, 1, 2], [0, 0, 0]]


def test_nobody_and_nothing():
    log = FindingsLog(0.5, 0.5)
    log.begin("dark", Frames.every(1, []))
    log.add(GroundTruth(10, 10, 0, ()), [])
    log.begin("empty", Frames.every(1, [0.0, 0.1]))
    log.add(GroundTruth(10, 10, 2, ()), [])
    document = log.document()
    assert document["misses"] == document["false_alarms"] == {"count": 0, "worst": []}
    assert [row["recording"] for row in document["recordings"]] == ["empty"]
    assert document["confusion"] == {"classes": ["background"], "counts": [[0]]}
