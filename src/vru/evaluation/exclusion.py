"""Parts of a video that could not be looked at: they count nowhere, neither for the model nor against it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vru.domain import GroundTruth


def without(
    truth: GroundTruth, frames: Mapping[int, float], excluded: Sequence[tuple[int, int]]
) -> tuple[GroundTruth, dict[int, float]]:
    """The truth and the evaluated frames outside of the ``excluded`` parts (first and last frame, both included).

    A track that becomes visible within such a part begins for the evaluation at its first box after it, and a track
    that lies in one altogether is not there.
    """

    def outside(index: int) -> bool:
        return not any(first <= index <= last for first, last in excluded)

    tracks = []
    for track in truth.tracks:
        boxes = tuple(box for box in track.boxes if outside(box.frame_index))
        if boxes:
            tracks.append(replace(track, boxes=boxes))
    return replace(truth, tracks=tuple(tracks)), {index: time for index, time in frames.items() if outside(index)}


def before_gaps(frames: Mapping[int, float], excluded: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Positions of the evaluated frames that an excluded part parts from the next evaluated frame."""
    indices = np.fromiter(frames, dtype=np.int64, count=len(frames))
    starts = np.array([first for first, _ in excluded], dtype=np.int64)
    # The frame before a part is the last whose index lies below the part's beginning.
    positions = np.unique(np.searchsorted(indices, starts) - 1)
    return np.asarray(positions[(positions >= 0) & (positions < len(indices) - 1)], dtype=np.int64)
