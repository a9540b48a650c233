"""Metrics of videos in time: from a data set's tables to ``vru.evaluation.video``, pooled over recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass, VruError, parse_class
from vru.evaluation.core.settings import FEWEST_RESAMPLES, EvaluationSettings, UnseenUnit
from vru.evaluation.core.tables import DataSet, Floats, ratio
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Estimate, Fixed, Quantile, Resampled
from vru.evaluation.statistics.resampling import resampled
from vru.evaluation.video.evaluate import Evaluation, evaluate
from vru.evaluation.video.latency import Outcome, TrackOutcome, latency_quantile
from vru.evaluation.video.visibility import TrackTiming, timing_metrics


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
    # What is pooled is resampled over the recordings; within each of them the fewest resamples that there can be.
    within = settings if len(data.sequences) == 1 else replace(settings, resamples=FEWEST_RESAMPLES)
    parts = []
    for number in range(len(data.sequences)):
        own = _recording(data, number)
        own_times = [times[int(picture)] for picture in np.flatnonzero(data.sequence == number)]
        parts.append(_evaluate_one(own, own_times, within, identified=identified))
    if len(parts) == 1:
        found = dict(parts[0].overall.estimates)
        tracks = parts[0].overall.tracks
    else:
        found, tracks = _pooled(parts, data.sequences, settings)
    if not identified:
        notes.append("The truth has no track ids: there is no latency, and no share of road users found.")
        found = {"false_alarms_per_minute": found["false_alarms_per_minute"]}
        tracks = ()
    if len(parts) == 1:
        notes += [note for note in parts[0].notes if note not in notes]
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


def _evaluate_one(
    data: DataSet, times: Sequence[float], settings: EvaluationSettings, *, identified: bool
) -> Evaluation:
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
    frames = dict(sorted(zip(frame, time_of, strict=True)))
    if not identified:
        # Each box is a road user of its own: false alarms do not ask who was missed.
        own = np.arange(len(data.truth), dtype=np.int64)
        data = replace(data, truth=replace(data.truth, track=own))
    return evaluate(ground_truth_of(data, times), detections, frames, settings)


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


def _pooled(
    parts: Sequence[Evaluation], names: Sequence[str], settings: EvaluationSettings
) -> tuple[dict[str, Estimate], tuple[TrackOutcome, ...]]:
    """The figures of several recordings, which are the units: what happens in one of them is of a piece."""
    draws, assumed = Draws(len(parts), settings.resamples, settings.seed), settings.unseen
    tracks = [
        replace(track, recording=name) for name, part in zip(names, parts, strict=True) for track in part.overall.tracks
    ]
    unit = np.repeat(np.arange(len(parts)), [len(part.overall.tracks) for part in parts]).astype(np.int64)
    minutes = np.array([part.minutes for part in parts])
    frames = np.array([part.frames for part in parts], dtype=np.float64)
    alarms = np.array([len(part.overall.alarms) for part in parts], dtype=np.float64)
    count = np.bincount(unit, minlength=len(parts)).astype(np.float64)
    detected = np.bincount(unit, [t.outcome == Outcome.DETECTED for t in tracks], len(parts)).astype(np.float64)
    result = _rates(draws, assumed, detected, count, alarms, minutes, frames)
    earliest = np.array([np.inf if track.outcome == Outcome.MISSED else track.observed_ms for track in tracks])
    latest = np.array([track.observed_ms if track.outcome == Outcome.DETECTED else np.inf for track in tracks])
    for label, share in (("median", 0.5), ("p95", 0.95)):
        value, unseen = latency_quantile(tracks, share), assumed.truths(count)
        result[f"latency_{label}_ms"] = Quantile(value, share, earliest, latest, unit, draws, unseen, "sequences")
    timings = [(timing, number) for number, part in enumerate(parts) for timing in part.overall.timings]
    # Track ids are those of a recording: numbered through, they are different road users.
    renamed: list[TrackTiming] = [replace(timing, track_id=place) for place, (timing, _) in enumerate(timings)]
    owner = dict(enumerate(number for _, number in timings))
    for name, estimate in timing_metrics(renamed, owner, draws, assumed).items():
        result[name] = replace(estimate, units="sequences") if isinstance(estimate, Quantile) else estimate
    known = [part.overall.estimates["latency_resolution_ms"].value for part in parts]
    steps = [value for value in known if value is not None]
    result["latency_resolution_ms"] = Fixed(max(steps) if steps else None, int(frames.sum()))
    unseen_tracks = sum(len(part.overall.not_evaluated) for part in parts)
    result["tracks_not_evaluated"] = Fixed(float(unseen_tracks), len(tracks) + unseen_tracks, "tracks")
    return result, tuple(tracks)


def _rates(
    draws: Draws,
    assumed: UnseenUnit,
    detected: Floats,
    tracks: Floats,
    alarms: Floats,
    minutes: Floats,
    frames: Floats,
) -> dict[str, Estimate]:
    most, longest = assumed.truths(tracks), float(minutes.max())
    unseen = np.array([[0.0, most, assumed.false_positives(alarms, frames), longest], [most, most, 0.0, longest]])

    def rates(sums: Floats) -> dict[str, Floats]:
        return {
            "track_recall": ratio(sums[:, 0], sums[:, 1]),
            "false_alarms_per_minute": ratio(sums[:, 2], sums[:, 3]),
        }

    found = resampled(draws, np.column_stack([detected, tracks, alarms, minutes]), rates, unseen)
    resting = {"track_recall": int(np.count_nonzero(tracks)), "false_alarms_per_minute": len(minutes)}
    return {
        name: Resampled(figure.value, resting[name], figure.replicates, "sequences") for name, figure in found.items()
    }
