"""The boxes of road users that count, each with whether it was found: what the figures of tracks are made of."""

from typing import NamedTuple

import numpy as np

from vru.domain import GroundTruth
from vru.evaluation.core.frames import Frames
from vru.evaluation.detection.outcomes import TRUE_POSITIVE
from vru.evaluation.video.matching import Matches


class VisibleBox(NamedTuple):
    """One truth box that counts (not ``ignore``), at ``time_s`` media seconds, ``height`` pixels high.

    ``before`` is the position of the last evaluated frame at or before the box's (-1: none), ``evaluated`` whether that
    is the box's own, ``stretch`` the same number for all frames between two excluded parts, ``hit`` whether a detection
    at or above the score threshold found the box.
    """

    time_s: float
    height: float
    before: int
    evaluated: bool
    stretch: int
    hit: bool


def visible_boxes(
    truth: GroundTruth, matches: Matches, frames: Frames, score_threshold: float
) -> list[list[VisibleBox]]:
    """Those of each of the truth's tracks, in frame order; ``matches`` are the truth's."""
    hit = (matches.outcome == TRUE_POSITIVE) & (matches.score >= score_threshold)
    true_positives = set(zip(matches.track[hit].tolist(), matches.frame[hit].tolist(), strict=True))
    found = []
    for number, track in enumerate(truth.tracks):
        counted = [box for box in track.boxes if not box.ignore]
        indices = np.array([box.frame_index for box in counted], dtype=np.int64)
        befores, evaluated = frames.before(indices).tolist(), (frames.positions(indices) >= 0).tolist()
        found.append(
            [
                VisibleBox(box.time_s, box.box.height, before, own, stretch, own and (number, before) in true_positives)
                for box, before, own, stretch in zip(
                    counted, befores, evaluated, frames.stretch(indices).tolist(), strict=True
                )
            ]
        )
    return found
