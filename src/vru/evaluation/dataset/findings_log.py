"""What went wrong in a run, piece by piece of its videos: the lists and matrices of ``findings``, in bounded memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

import numpy as np

from vru.domain import Detection, GroundTruth
from vru.domain.slices import ALL
from vru.evaluation.core.frames import Frames
from vru.evaluation.core.tables import CLASSES, DataSet, Ints
from vru.evaluation.dataset.conditions import Conditions
from vru.evaluation.dataset.findings import (
    Findings,
    attributes_shown,
    confusion_counts,
    rows_of_alarms,
    rows_of_misses,
    worst_recordings,
)
from vru.evaluation.detection.outcomes import View, match_all
from vru.evaluation.video.matching import tables
from vru.formats.annotations import Annotations, Boxes, Picture

# Rows of each list.
MOST = 500
_Row = dict[str, Any]
# By which the rows of a list are ordered, the worst first. No two are equal, so pieces of any length give the same.
_Key = tuple[Any, ...]


@dataclass(slots=True)
class _Recording:
    """A recording, its evaluated frames, and what was counted in it."""

    name: str
    frames: Frames
    attributes: Mapping[str, str]
    truth: int = 0
    missed: int = 0
    false_alarms: int = 0


@dataclass(slots=True)
class _Stretch:
    """A track that is missed without a break, from one evaluated frame (its position) to another. ``largest`` are the
    largest boxes in it: falling area and position, and the row.
    """

    first: int
    last: int = -1
    largest: list[tuple[tuple[float, int], _Row]] = field(default_factory=list)


class FindingsLog:
    """Collects the misses and false alarms of a run at its operating point, recording by recording.

    The sums are those of the run's recall and precision: the same matching in the same frames. Lists have at most
    ``most`` rows; they are the worst of all, in the order of ``vru evaluate``, however the videos are cut.
    """

    def __init__(self, iou_threshold: float, score_threshold: float, most: int = MOST) -> None:
        self._overlap, self._score, self._most = iou_threshold, score_threshold, most
        self._recordings: list[_Recording] = []
        self._confusion = np.zeros((len(CLASSES) + 1, len(CLASSES) + 1), dtype=np.int64)
        self._misses: list[tuple[_Key, _Row]] = []
        self._alarms: list[tuple[_Key, _Row]] = []
        self._stretches: list[tuple[_Key, _Row]] = []
        self._stretch_count = 0
        # By track id and class.
        self._open: dict[tuple[int, int], _Stretch] = {}

    def begin(self, name: str, frames: Frames, attributes: Mapping[str, str] | None = None) -> None:
        """The recording of this name comes next, with its evaluated frames and ``attributes`` (``light: night``)."""
        self._end()
        self._recordings.append(_Recording(name, frames, attributes or {}))

    def add(self, truth: GroundTruth, detections: Sequence[Detection]) -> None:
        """The next piece of the recording: all truth and detections in a range of frames, in the order of the video."""
        recording = self._recordings[-1]
        if not len(recording.frames):
            return
        found = self._findings(recording, truth, detections)
        recording.truth += len(found.counted)
        recording.missed += len(found.misses)
        recording.false_alarms += len(found.false_alarms)
        if len(found.misses) or len(found.counted) or len(found.false_alarms):
            self._confusion += confusion_counts(found)
        self._add_alarms(found)
        self._add_misses(found)

    def document(self) -> dict[str, Any]:
        """All of it as ``findings_document`` gives it; nothing can be added after it."""
        self._end()
        shown = [recording for recording in self._recordings if len(recording.frames)]
        occurring = np.flatnonzero((self._confusion.sum(axis=0) + self._confusion.sum(axis=1))[:-1])
        kept = np.append(occurring, len(CLASSES))
        rows = [
            {
                "recording": recording.name,
                "images": len(recording.frames),
                "truth": recording.truth,
                "missed": recording.missed,
                "false_alarms": recording.false_alarms,
            }
            for recording in shown
        ]
        return {
            "overlap": self._overlap,
            "misses": {"count": sum(one.missed for one in shown), "worst": _rows(self._misses)},
            "false_alarms": {"count": sum(one.false_alarms for one in shown), "worst": _rows(self._alarms)},
            "missed_stretches": _rows(self._stretches),
            "stretch_count": self._stretch_count,
            "confusion": {
                "classes": [*(str(CLASSES[place]) for place in occurring.tolist()), "background"],
                "counts": self._confusion[np.ix_(kept, kept)].tolist(),
            },
            "recordings": worst_recordings(rows),
            "scenarios": _scenarios(shown),
        }

    def _end(self) -> None:
        """The recording is over, and so are the stretches in it."""
        self._close(list(self._open))
        self._misses, self._stretches = _worst(self._misses, self._most), _worst(self._stretches, self._most)

    def _findings(self, recording: _Recording, truth: GroundTruth, detections: Sequence[Detection]) -> Findings:
        # In the order of evidence, so that equal boxes are told apart alike when it is computed again.
        truth = replace(truth, tracks=tuple(sorted(truth.tracks, key=lambda track: (track.track_id, track.road_user))))
        data, ignored = tables(truth, detections, recording.frames)
        ids = np.array([track.track_id for track in truth.tracks], dtype=np.int64)
        data = replace(data, truth=replace(data.truth, track=ids[data.truth.track]))
        view = View(ALL, ~ignored, np.ones(len(data.found), dtype=np.bool_))
        outcomes = match_all(data, (self._overlap,), (view,), regions=ignored, max_detections=None)
        return Findings(
            _annotations(recording, data),
            data,
            np.flatnonzero(outcomes.counted_truth(0)),
            outcomes.missed(0, 0, self._score),
            outcomes.false_alarms(0, 0, self._score),
            Conditions(),
            self._overlap,
        )

    def _add_alarms(self, found: Findings) -> None:
        """The surest first."""
        data, alarms = found.data.found, found.false_alarms
        alarms = alarms[np.argsort(-data.score[alarms], kind="stable")]
        if len(self._alarms) == self._most:
            alarms = alarms[-data.score[alarms] <= self._alarms[-1][0][0]]
        # Equal scores may still change places by frame.
        if len(alarms) > self._most:
            alarms = alarms[data.score[alarms] >= data.score[alarms[self._most - 1]]]
        number = len(self._recordings)
        self._alarms += [
            ((-row["score"], number, row["frame"], row["class"], *row["box"]), row)
            for row in map(_of_frame, rows_of_alarms(found, alarms))
        ]
        self._alarms = _worst(self._alarms, self._most)

    def _add_misses(self, found: Findings) -> None:
        """Of each stretch the largest first, then the second largest of each."""
        truth, position = found.data.truth, found.data.frame[found.data.truth.picture]
        full = len(self._misses) == self._most
        # So many boxes of one stretch can still be among the worst.
        allowed = self._misses[-1][0][0] + 1 if full else self._most
        runs = list(_runs(found, position))
        largest = [
            sorted((-float(truth.area[box]), int(position[box]), box) for box in boxes)[:allowed] for _, boxes in runs
        ]
        chosen = [box for boxes in largest for _, _, box in boxes]
        rows = dict(zip(chosen, rows_of_misses(found, np.array(chosen, dtype=np.int64)), strict=True))
        for (key, boxes), worst in zip(runs, largest, strict=True):
            first, last = int(position[boxes[0]]), int(position[boxes[-1]])
            stretch = self._open.get(key)
            if stretch is None or stretch.last + 1 != first:
                self._close([key] if stretch else [])
                stretch = self._open[key] = _Stretch(first)
            stretch.last = last
            stretch.largest += [((area, at), _of_frame(rows[box])) for area, at, box in worst]
            stretch.largest = sorted(stretch.largest, key=itemgetter(0))[:allowed]
        newest = int(found.data.frame.max(initial=-1))
        self._close([key for key, stretch in self._open.items() if stretch.last < newest])
        self._misses, self._stretches = _worst(self._misses, self._most), _worst(self._stretches, self._most)

    def _close(self, keys: Iterable[tuple[int, int]]) -> None:
        """These stretches are over."""
        number = len(self._recordings)
        for track, label in keys:
            recording = self._recordings[-1]
            stretch = self._open.pop((track, label))
            self._stretch_count += 1
            self._misses += [
                ((turn, *place, number, track, label), row) for turn, (place, row) in enumerate(stretch.largest)
            ]
            length = stretch.last - stretch.first + 1
            row = {
                "recording": recording.name,
                "track_id": track,
                "class": str(CLASSES[label]),
                "from": _moment(recording.frames, stretch.first),
                "to": _moment(recording.frames, stretch.last),
                "frames": length,
            }
            self._stretches.append(((-length, number, stretch.first, track, label), row))


def _runs(found: Findings, position: Ints) -> Iterable[tuple[tuple[int, int], list[int]]]:
    """The misses of a piece by stretch: track id and class, and the truth boxes in the order of time."""
    truth, misses = found.data.truth, found.misses
    if not len(misses):
        return
    boxes = misses[np.lexsort((position[misses], truth.label[misses], truth.track[misses]))]
    key = np.column_stack([truth.track[boxes], truth.label[boxes]])
    breaks = np.any(key[1:] != key[:-1], axis=1) | (np.diff(position[boxes]) != 1)
    for run in np.split(boxes, np.flatnonzero(breaks) + 1):
        yield (int(truth.track[run[0]]), int(truth.label[run[0]])), run.tolist()


def _annotations(recording: _Recording, data: DataSet) -> Annotations:
    """The frames of a piece as pictures: those that show or that are said to show somebody."""
    pictures = [
        Picture(index, f"frame {index}", 0, index, time_s)
        for index, time_s in zip(
            recording.frames.indices[data.frame].tolist(), recording.frames.times[data.frame].tolist(), strict=True
        )
    ]
    return Annotations("", list(data.labels), {}, pictures, [recording.name], Boxes(lambda _, place: str(place)))


def _of_frame(row: _Row) -> _Row:
    """A row whose picture is known by its frame, for pictures are those of a piece."""
    return row | {"picture": row["frame"]}


def _moment(frames: Frames, position: int) -> _Row:
    index = int(frames.indices[position])
    return {"image": f"frame {index}", "frame": index, "time_s": float(frames.times[position])}


def _worst(rows: list[tuple[_Key, _Row]], most: int) -> list[tuple[_Key, _Row]]:
    return sorted(rows, key=itemgetter(0))[:most]


def _rows(ranked: Sequence[tuple[_Key, _Row]]) -> list[_Row]:
    return [row for _, row in ranked]


def _scenarios(recordings: Sequence[_Recording]) -> dict[str, Any] | None:
    """Recall by what the recordings have as attributes; None where they have none."""
    names = attributes_shown(
        {name: [one.attributes.get(name) for one in recordings] for one in recordings for name in one.attributes}
    )
    if not names:
        return None
    sums: dict[tuple[str, ...], list[int]] = {}
    for one in recordings:
        key = tuple(one.attributes.get(name, "not stated") for name in names)
        mine = (len(one.frames), one.truth, one.missed, one.false_alarms)
        sums[key] = [known + more for known, more in zip(sums.get(key, [0] * 4), mine, strict=True)]
    return {
        "attributes": names,
        "distances": [],
        "rows": [
            {"values": list(key), "images": images, "false_alarms": false, "truth": [truth], "missed": [missed]}
            for key, (images, truth, missed, false) in sorted(sums.items())
        ],
    }
