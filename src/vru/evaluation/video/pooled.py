"""The figures of several recordings together, each of which is one independent unit.

What happens in one recording is of a piece: its clips share the scene, the light and the camera. So the recordings are
drawn again, never parts of them. A single recording is cut into clips, as it is where it is evaluated by itself.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vru.domain import GroundTruth, VruError
from vru.domain.boxes import Detection
from vru.domain.slices import ALL
from vru.evaluation.core.frames import Frames
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.core.slices import class_of
from vru.evaluation.core.tables import CLASSES, Bools, Floats, Ints
from vru.evaluation.video.curves import video_curves
from vru.evaluation.video.evaluate import Evaluation, Evaluator, SliceEvaluation
from vru.evaluation.video.latency import TrackOutcome
from vru.evaluation.video.metrics import ClipCounts, Clips, Sample
from vru.evaluation.video.ranked_detections import IGNORED_UNIT, RankedDetections
from vru.evaluation.video.slice_log import Collected, Roster
from vru.evaluation.video.visibility import TrackTiming


@dataclass(frozen=True, slots=True)
class PooledEvaluation:
    """``evaluation`` has the figures of all recordings together. Its tracks are numbered through: ``owner`` has the
    recording (its place) and the id there of each. ``counts`` are those of each recording; ``places`` says which
    recordings have evaluated frames, and so are among the units.
    """

    evaluation: Evaluation
    counts: ClipCounts
    owner: Sequence[tuple[int, int]]
    places: tuple[int, ...]


class PooledEvaluator:
    """Compares the detections of several recordings with their ground truth, one recording after the other.

    What is kept of a recording is what ``Evaluator`` keeps of a video.
    """

    def __init__(
        self, settings: EvaluationSettings, groups: Sequence[Collection[str]], units: str = "recordings"
    ) -> None:
        """``groups`` are the slices that each recording belongs to as a whole, such as ``light:night``; ``units`` is
        what the recordings are called.
        """
        self._settings, self._groups, self._units = settings, groups, units
        self._collected: dict[int, Collected] = {}
        self._now: tuple[int, Evaluator] | None = None

    def begin(self, place: int, roster: Roster, frames: Frames) -> None:
        """The recording at this place comes next. One without any evaluated frame is left out.

        Raises:
            VruError: as for ``Evaluator``.
        """
        self._finish()
        if len(frames):
            self._now = place, Evaluator(roster, frames, self._settings)

    def add(self, truth: GroundTruth, detections: Sequence[Detection]) -> None:
        """The next piece of the recording; see ``Evaluator.add``.

        Raises:
            VruError: truth and detections contradict each other.
        """
        if self._now is not None:
            self._now[1].add(truth, detections)

    def _finish(self) -> None:
        if self._now is not None:
            place, evaluator = self._now
            if len(self._groups) > 1:
                self._collected[place] = evaluator.collected()
                self._now = None

    def result(self) -> PooledEvaluation:
        """Everything that was measured; nothing can be added after it.

        Raises:
            VruError: no recording has an evaluated frame.
        """
        if len(self._groups) == 1 and self._now is not None:
            return _single(self._now[1], self._groups[0])
        self._finish()
        if not self._collected:
            raise VruError("No frame was evaluated.", "Evaluate at least one frame of a recording.")
        places = tuple(sorted(self._collected))
        parts = [self._collected.pop(place) for place in places]
        return _Pool(places, parts, self._groups, self._settings, self._units).result()


def _single(evaluator: Evaluator, groups: Collection[str]) -> PooledEvaluation:
    """One recording alone, with its clips as units; the slices that it belongs to are all of it."""
    roster = evaluator.roster
    found = evaluator.result()
    overall = found.overall
    slices = dict(found.slices) | {name: replace(overall, name=name, curves=()) for name in sorted(groups)}
    counts = ClipCounts(
        *(np.array([value], dtype=np.float64) for value in _totals(overall, found.minutes)),
    )
    owner = [(0, track_id) for track_id, _ in roster.tracks]
    renamed = {track_id: number for number, (track_id, _) in enumerate(roster.tracks)}
    slices = {name: _renumbered(part, renamed) for name, part in slices.items()}
    return PooledEvaluation(replace(found, slices=slices), counts, owner, (0,))


def _totals(part: SliceEvaluation, minutes: float) -> tuple[float, ...]:
    boxes = sum(track.boxes for track in part.tracks)
    detected = sum(track.latency_ms is not None for track in part.tracks)
    wrong = float(part.false_positives or 0)
    return (part.true_positives, wrong, boxes, detected, len(part.tracks), len(part.alarms), minutes)


def _renumbered(part: SliceEvaluation, number_of: Mapping[int, int]) -> SliceEvaluation:
    return replace(
        part,
        tracks=tuple(replace(track, track_id=number_of[track.track_id]) for track in part.tracks),
        timings=tuple(replace(timing, track_id=number_of[timing.track_id]) for timing in part.timings),
        not_evaluated=tuple(number_of[track] for track in part.not_evaluated),
    )


@dataclass(frozen=True, slots=True)
class _Logged:
    """What one slice has kept of all recordings. Tracks are numbered through; ``recording`` has the unit of each."""

    detections: RankedDetections
    outcomes: Mapping[int, TrackOutcome]
    not_evaluated: tuple[int, ...]
    timings: Mapping[int, TrackTiming]
    alarms: Floats
    recording: Ints
    clips: Clips
    steps: Floats
    known: bool

    def only(self, road_user: int, of: NDArray[np.int8]) -> "_Logged":
        """One class of it; ``of`` is the class of each track."""
        row = (np.arange(len(CLASSES)) == road_user)[:, None]
        return replace(
            self._of_tracks(of == road_user), detections=self.detections.only(road_user), alarms=row * self.alarms
        )

    def within(self, chosen: Bools) -> "_Logged":
        """The recordings that are ``chosen``, numbered anew."""
        number = np.cumsum(chosen) - 1
        unit = self.detections.unit
        hit, wrong = unit >= 0, (unit < 0) & (unit != IGNORED_UNIT)
        kept = np.zeros(len(unit), dtype=bool)
        kept[hit] = chosen[self.recording[unit[hit]]]
        kept[wrong] = chosen[-1 - unit[wrong]]
        left = unit[kept].copy()
        wrong = left < 0
        left[wrong] = -1 - number[-1 - left[wrong]]
        found = self.detections
        return replace(
            self._of_tracks(chosen[self.recording]),
            detections=RankedDetections(
                found.road_user[kept],
                left.astype(np.int32),
                found.false_positives_in[:, chosen],
                found.counted_in[:, chosen],
            ),
            alarms=self.alarms[:, chosen],
            recording=number[self.recording],
            clips=replace(self.clips, minutes=self.clips.minutes[chosen], frames=self.clips.frames[chosen]),
            steps=self.steps[chosen],
        )

    def _of_tracks(self, chosen: Bools) -> "_Logged":
        return replace(
            self,
            outcomes={number: track for number, track in self.outcomes.items() if chosen[number]},
            not_evaluated=tuple(number for number in self.not_evaluated if chosen[number]),
            timings={number: timing for number, timing in self.timings.items() if chosen[number]},
        )


class _Pool:
    """All recordings that have evaluated frames."""

    def __init__(
        self,
        places: tuple[int, ...],
        parts: list[Collected],
        groups: Sequence[Collection[str]],
        settings: EvaluationSettings,
        units: str,
    ) -> None:
        self._places, self._settings = places, settings
        self._groups = [groups[place] for place in places]
        self._rosters = [part.roster for part in parts]
        sizes = [len(roster.tracks) for roster in self._rosters]
        self._first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._recording = np.repeat(np.arange(len(parts)), sizes).astype(np.int64)
        kinds = [CLASSES.index(kind) for roster in self._rosters for _, kind in roster.tracks]
        self._kind = np.array(kinds, dtype=np.int8)
        self._clips = Clips(
            np.zeros(0, dtype=np.int32),
            np.array([part.minutes for part in parts]),
            np.array([part.frames for part in parts], dtype=np.float64),
            units,
        )
        self._steps = np.array([np.nan if part.longest_step_s is None else part.longest_step_s for part in parts])
        self._parts = parts

    def result(self) -> PooledEvaluation:
        order = np.argsort(np.concatenate([part.fall for part in self._parts]), kind="stable")
        classes = np.concatenate([part.road_user for part in self._parts])[order]
        names = tuple(dict.fromkeys((ALL, *self._settings.slices)))
        found: dict[str, SliceEvaluation] = {}
        counts: ClipCounts | None = None
        for name in [name for name in names if class_of(name) is None]:
            logged = self._logged(name, order, classes)
            found[name], own = self._measured(name, logged)
            if name != ALL:
                continue
            counts = own
            for part in names:
                if (road_user := class_of(part)) is not None:
                    found[part], _ = self._measured(part, logged.only(CLASSES.index(road_user), self._kind))
            for group in sorted({group for groups in self._groups for group in groups}):
                chosen = np.array([group in groups for groups in self._groups], dtype=bool)
                found[group], _ = self._measured(group, logged.within(chosen))
        if counts is None:
            raise TypeError("nothing was measured on all")
        overall = found[ALL]
        approved = all(roster.approved_by is not None for roster in self._rosters)
        evaluation = Evaluation(
            slices=found,
            settings=self._settings,
            approved=approved,
            frames=int(self._clips.frames.sum()),
            minutes=float(self._clips.minutes.sum()),
            notes=tuple(self._notes(overall, approved=approved)),
        )
        owner = [
            (place, track_id)
            for place, roster in zip(self._places, self._rosters, strict=True)
            for track_id, _ in roster.tracks
        ]
        return PooledEvaluation(evaluation, counts, owner, self._places)

    def _logged(self, name: str, order: Ints, classes: NDArray[np.int8]) -> _Logged:
        outcomes: dict[int, TrackOutcome] = {}
        timings: dict[int, TrackTiming] = {}
        not_evaluated: list[int] = []
        units = []
        parts = [part.slices[name] for part in self._parts]
        for number, part in enumerate(parts):
            first = int(self._first[number])
            # Clips of a recording become the recording; its tracks are numbered through.
            unit = np.where(
                part.unit >= 0, part.unit + first, np.where(part.unit == IGNORED_UNIT, part.unit, -1 - number)
            )
            units.append(unit.astype(np.int32))
            outcomes |= {first + own: replace(track, track_id=first + own) for own, track in part.outcomes.items()}
            timings |= {first + own: replace(timing, track_id=first + own) for own, timing in part.timings.items()}
            not_evaluated += [first + own for own in part.not_evaluated]
        false_positives, counted, alarms = (
            np.column_stack([getattr(part, column) for part in parts])
            for column in ("false_positives", "counted", "alarms")
        )
        return _Logged(
            RankedDetections(classes, np.concatenate(units)[order], false_positives, counted),
            outcomes,
            tuple(not_evaluated),
            timings,
            alarms,
            self._recording,
            self._clips,
            self._steps,
            parts[0].known,
        )

    def _measured(self, name: str, logged: _Logged) -> tuple[SliceEvaluation, ClipCounts]:
        tracks = tuple(logged.outcomes.values())
        recording = logged.recording[np.array(list(logged.outcomes), dtype=np.int64)]
        sample = Sample(logged.detections, logged.outcomes, recording, logged.clips, self._settings)
        counts = sample.counts(logged.alarms.sum(axis=0))
        known = logged.steps[~np.isnan(logged.steps)]
        estimates = sample.estimates(
            counts,
            tuple(logged.timings.values()),
            not_evaluated=len(logged.not_evaluated),
            resolution_ms=float(known.max()) * 1000 if len(known) else None,
            false_positives_known=logged.known,
        )
        true_positives = sum(track.true_positives for track in tracks)
        part = SliceEvaluation(
            name=name,
            estimates=estimates,
            tracks=tracks,
            timings=tuple(logged.timings.values()),
            not_evaluated=logged.not_evaluated,
            true_positives=true_positives,
            false_positives=int(logged.detections.false_positives_in.sum()) if logged.known else None,
            false_negatives=sum(track.boxes for track in tracks) - true_positives,
            alarms=(),
            curves=video_curves(logged.detections, tracks, int(logged.clips.frames.sum())) if name == ALL else (),
        )
        return part, counts

    def _notes(self, overall: SliceEvaluation, *, approved: bool) -> list[str]:
        notes = [f"The units are the {len(self._places)} {self._clips.name}: what happens within one is of a piece."]
        if not approved:
            notes.append("Not all ground truth is approved: no person has vouched for it.")
        resolution = overall.estimates["latency_resolution_ms"].value
        if resolution is not None:
            notes.append(
                f"Latencies are known to within {resolution:.1f} ms, the longest time between evaluated frames."
            )
        if overall.not_evaluated:
            notes.append(f"{len(overall.not_evaluated)} tracks are in no evaluated frame and count nowhere.")
        missed = sum(track.latency_ms is None for track in overall.tracks)
        if missed:
            notes.append(
                f"{missed} of {len(overall.tracks)} tracks were never detected; they are censored in the latencies."
            )
        return [*notes, self._settings.unseen.sentence(self._clips.name)]
