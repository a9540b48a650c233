"""Metrics of videos in time: from a data set's tables to ``vru.evaluation.video``, pooled over recordings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass, VruError, parse_class
from vru.evaluation.core.frames import Frames
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.core.tables import DataSet
from vru.evaluation.statistics.estimates import Estimate
from vru.evaluation.video.latency import TrackOutcome
from vru.evaluation.video.pooled import PooledEvaluator
from vru.evaluation.video.slice_log import Roster

# What is counted in boxes: of several recordings these are the data set's own figures, over the same units.
_OF_BOXES = ("recall", "precision", "f1", "ap50")


@dataclass(frozen=True, slots=True)
class VideoMetrics:
    """The figures of time of one or more videos, what became of their tracks, and what limits the figures."""

    estimates: Mapping[str, Estimate]
    tracks: tuple[TrackOutcome, ...]
    notes: tuple[str, ...]


def evaluate_videos(data: DataSet, times: Sequence[float], settings: EvaluationSettings) -> VideoMetrics:
    """The figures of time of a data set of videos of road users: of one, with its clips as units; of several, pooled,
    with the recordings as units.

    ``times`` are the media seconds of its pictures. Crowds count as ignored boxes. Classes that are no road users are
    set aside, and named. Without track ids there are false alarms, and nothing about tracks.

    Raises:
        VruError: a track has two classes, or times do not rise.
    """
    data, notes = road_users_of(data)
    if not data.labels:
        return VideoMetrics({}, (), (*notes, "There is no class of road users: there are no figures of time."))
    known = ~(data.truth.crowd | data.truth.ignore)
    identified = bool((data.truth.track[known] >= 0).all())
    pooled = PooledEvaluator(settings, [()] * len(data.sequences), "sequences")
    for number in range(len(data.sequences)):
        own_times = [times[int(picture)] for picture in np.flatnonzero(data.sequence == number)]
        _add(pooled, number, _recording(data, number), own_times, identified=identified)
    result = pooled.result()
    overall = result.evaluation.overall
    found, tracks = dict(overall.estimates), tuple(_named(overall.tracks, result.owner, data.sequences))
    if len(data.sequences) > 1:
        found = {name: estimate for name, estimate in found.items() if name not in _OF_BOXES}
    if not identified:
        notes.append("The truth has no track ids: there is no latency, and no share of road users found.")
        found = {"false_alarms_per_minute": found["false_alarms_per_minute"]}
        tracks = ()
    if len(data.sequences) == 1:
        notes += [note for note in result.evaluation.notes if note not in notes]
    return VideoMetrics(found, tracks, tuple(notes))


def road_users_of(data: DataSet) -> tuple[DataSet, list[str]]:
    """The data set without the classes that are no road users, and what to say about these."""
    kept, others = [], []
    for label in data.labels:
        try:
            parse_class(label)
        except VruError:
            others.append(label)
        else:
            kept.append(label)
    there = {data.labels[number] for number in np.unique(np.concatenate([data.truth.label, data.found.label])).tolist()}
    named = [label for label in others if label in there]
    notes = [f"Figures of time leave out what is no road user: {', '.join(named)}."] if named else []
    number = np.array([kept.index(label) if label in kept else -1 for label in data.labels], dtype=np.int64)
    truth = data.truth.take(number[data.truth.label] >= 0)
    found = data.found.take(number[data.found.label] >= 0)
    return (
        replace(
            data,
            labels=tuple(kept),
            truth=replace(truth, label=number[truth.label]),
            found=replace(found, label=number[found.label]),
        ),
        notes,
    )


def _recording(data: DataSet, number: int) -> DataSet:
    """One of the recordings by itself."""
    pictures = np.flatnonzero(data.sequence == number)
    place = np.full(data.pictures, -1, dtype=np.int64)
    place[pictures] = np.arange(len(pictures))
    truth, found = data.truth.take(place[data.truth.picture] >= 0), data.found.take(place[data.found.picture] >= 0)
    return replace(
        data,
        sequences=(data.sequences[number],),
        sequence=np.zeros(len(pictures), dtype=np.int64),
        frame=data.frame[pictures],
        truth=replace(truth, picture=place[truth.picture]),
        found=replace(found, picture=place[found.picture]),
    )


def _add(pooled: PooledEvaluator, place: int, data: DataSet, times: Sequence[float], *, identified: bool) -> None:
    """One recording to the others."""
    classes = [parse_class(label) for label in data.labels]
    frame, time_of = data.frame.tolist(), list(times)
    detections = [
        Detection(frame[picture], time_of[picture], classes[label], score, Box(*box))
        for picture, label, score, box in zip(
            data.found.picture.tolist(),
            data.found.label.tolist(),
            data.found.score.tolist(),
            data.found.boxes.tolist(),
            strict=True,
        )
        if box[2] > 0 and box[3] > 0
    ]
    if not identified:
        # Each box is a road user of its own: false alarms do not ask who was missed.
        own = np.arange(len(data.truth), dtype=np.int64)
        data = replace(data, truth=replace(data.truth, track=own))
    truth = ground_truth_of(data, times)
    pooled.begin(place, Roster.of(truth), Frames.of(dict(sorted(zip(frame, time_of, strict=True)))))
    pooled.add(truth, detections)


def _named(
    tracks: Sequence[TrackOutcome], owner: Sequence[tuple[int, int]], names: Sequence[str]
) -> Iterator[TrackOutcome]:
    """The tracks with the ids of their recordings, and the recording of each where there are several."""
    for track in tracks:
        place, track_id = owner[track.track_id]
        recording = names[place] if len(names) > 1 else track.recording
        yield replace(track, track_id=track_id, recording=recording)


def ground_truth_of(data: DataSet, times: Sequence[float]) -> GroundTruth:
    """The tracks of a data set that is one video; ``times`` are the media seconds of its pictures.

    Raises:
        VruError: a label is no class of road user, or a track has two.
    """
    classes = [parse_class(label) for label in data.labels]
    frames = int(data.frame.max()) + 1 if data.pictures else 0
    return GroundTruth(0, 0, frames, _tracks(data, classes, times), approved_by="the command line")


def _tracks(data: DataSet, classes: Sequence[VruClass], times: Sequence[float]) -> tuple[Track, ...]:
    truth = data.truth
    # Regions without an id are not one road user: each is a track of its own, which does not count.
    nameless = np.flatnonzero(truth.track < 0)
    number_of = truth.track.copy()
    number_of[nameless] = int(truth.track.max(initial=-1)) + 1 + np.arange(len(nameless))
    order = np.lexsort((data.frame[truth.picture], number_of))
    starts = np.flatnonzero(np.diff(number_of[order], prepend=-1))
    tracks = []
    for mine in np.split(order, starts[1:]) if len(order) else ():
        number = int(number_of[mine[0]])
        labels = {classes[label] for label in truth.label[mine].tolist()}
        if len(labels) > 1:
            raise VruError(f"Track {number} has several classes: {', '.join(sorted(labels))}.")
        boxes = tuple(
            TruthBox(
                int(data.frame[truth.picture[box]]),
                times[int(truth.picture[box])],
                Box(*truth.boxes[box].tolist()),
                occluded=bool(truth.occlusion[box] > 0 or truth.occlusion_level[box] > 0),
                ignore=bool(truth.ignore[box] or truth.crowd[box]),
            )
            for box in mine.tolist()
        )
        tracks.append(Track(number, labels.pop(), boxes))
    return tuple(tracks)
