"""The frames that were evaluated, and the parts of a video that could not be looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vru.domain import GroundTruth


def clip_of(times: NDArray[np.float64], first: float, clip_seconds: float) -> NDArray[np.int64]:
    """The clip that each media time lies in, from 0: the first begins at ``first``, and each lasts ``clip_seconds``."""
    # A rounding error must not open a new clip one frame late: times are exact to far less than a microsecond.
    return np.floor((times - first + 1e-6) / clip_seconds).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Frames:
    """The evaluated frames in rising order, 16 bytes each: ``indices`` in the video, and ``times``, media seconds.

    ``excluded`` are first and last frame, both included, of the parts that could not be looked at; no evaluated frame
    lies in them. They count nowhere, neither for the model nor against it.
    """

    indices: NDArray[np.int64]
    times: NDArray[np.float64]
    excluded: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, evaluated: Mapping[int, float], excluded: Sequence[tuple[int, int]] = ()) -> "Frames":
        """From frame index to media seconds, in any order."""
        indices = np.fromiter(evaluated, dtype=np.int64, count=len(evaluated))
        times = np.fromiter(evaluated.values(), dtype=np.float64, count=len(evaluated))
        order = np.argsort(indices)
        return cls(indices[order], times[order]).without(excluded)

    @classmethod
    def every(cls, stride: int, times: Sequence[float]) -> "Frames":
        """Every ``stride``-th frame of a video, the first included, whose frames are at ``times``."""
        indices = np.arange(0, len(times), stride, dtype=np.int64)
        return cls(indices, np.asarray(times, dtype=np.float64)[::stride])

    def without(self, excluded: Sequence[tuple[int, int]]) -> "Frames":
        """Those outside of these parts."""
        kept = np.ones(len(self), dtype=bool)
        for first, last in excluded:
            kept[np.searchsorted(self.indices, first) : np.searchsorted(self.indices, last, side="right")] = False
        return Frames(self.indices[kept], self.times[kept], (*self.excluded, *excluded))

    def __len__(self) -> int:
        return len(self.indices)

    def before(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the last evaluated frames at or before these frames of the video; -1 where there is none."""
        return np.asarray(np.searchsorted(self.indices, indices, side="right") - 1, dtype=np.int64)

    def positions(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of these frames of the video among the evaluated ones; -1 for one that was not evaluated."""
        found = self.before(indices)
        if not len(self):
            return found
        return np.where((found >= 0) & (self.indices[found] == indices), found, -1)

    def stretch(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many excluded parts begin at or before these frames: it is the same where none lies between two."""
        starts = np.sort(np.array([first for first, _ in self.excluded], dtype=np.int64))
        return np.asarray(np.searchsorted(starts, indices, side="right"), dtype=np.int64)

    @property
    def gaps(self) -> NDArray[np.int64]:
        """Positions of the evaluated frames that an excluded part parts from the next evaluated frame."""
        return np.flatnonzero(np.diff(self.stretch(self.indices)))

    @property
    def longest_step_s(self) -> float | None:
        """The longest time between two evaluated frames that no excluded part lies between; None without two."""
        steps = np.delete(np.diff(self.times), self.gaps)
        return float(steps.max()) if len(steps) else None

    def outside(self, truth: GroundTruth) -> GroundTruth:
        """The truth outside of the excluded parts.

        A track that becomes visible within such a part begins for the evaluation at its first box after it, and a track
        that lies in one altogether is not there.
        """
        if not self.excluded:
            return truth

        def looked_at(index: int) -> bool:
            return not any(first <= index <= last for first, last in self.excluded)

        tracks = []
        for track in truth.tracks:
            boxes = tuple(box for box in track.boxes if looked_at(box.frame_index))
            if boxes:
                tracks.append(replace(track, boxes=boxes))
        return replace(truth, tracks=tuple(tracks))
