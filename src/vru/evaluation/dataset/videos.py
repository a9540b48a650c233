"""The figures of a single video with time: from a data set's tables to ``vru.evaluation.video.evaluate``."""

from collections.abc import Sequence

import numpy as np

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass, VruError, parse_class
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.core.tables import DataSet
from vru.evaluation.video.evaluate import Evaluation, evaluate


def evaluate_video(data: DataSet, times: Sequence[float], settings: EvaluationSettings) -> Evaluation | None:
    """Evaluate a data set that is one video of road users with tracks; None if it is not.

    ``times`` are the media seconds of its pictures. Crowds count as ignored boxes.

    Raises:
        VruError: a track has two classes, or times do not rise.
    """
    if len(data.sequences) != 1 or not len(data.truth) or (data.truth.track < 0).any():
        return None
    try:
        classes = [parse_class(label) for label in data.labels]
    except VruError:
        return None
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
    frames = dict(zip(frame, time_of, strict=True))
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
    tracks = []
    for number in np.unique(truth.track).tolist():
        mine = np.flatnonzero(truth.track == number)
        mine = mine[np.argsort(data.frame[truth.picture[mine]], kind="stable")]
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
