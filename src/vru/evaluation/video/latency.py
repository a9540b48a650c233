"""How soon a road user is detected after becoming visible, with misses censored and never left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vru.domain import Track, VruClass
from vru.evaluation.core.frames import Frames
from vru.evaluation.statistics.survival import SurvivalCurve, with_misses
from vru.evaluation.video.visible_boxes import VisibleBox


class Outcome(StrEnum):
    """What became of a track."""

    DETECTED = "detected"
    # It left the picture undetected: it can never be detected any more.
    MISSED = "missed"
    # It was still visible, and undetected, in the last evaluated frame: what would have come is not known.
    CUT_SHORT = "cut_short"


@dataclass(frozen=True, slots=True)
class TrackOutcome:
    """One ground-truth track after the evaluation. Times are media seconds; ``latency_ms`` is None for a miss.

    ``first_visible_s`` and ``last_visible_s`` are those of the boxes that count (not ``ignore``). ``observed_ms`` is
    the latency, or for a miss the time for which the track was visible without being detected. ``recording``
    names its recording, where there are several.
    """

    track_id: int
    road_user: VruClass
    first_visible_s: float
    last_visible_s: float
    first_detected_s: float | None
    latency_ms: float | None
    observed_ms: float
    outcome: Outcome
    boxes: int
    true_positives: int
    recording: str = ""


@dataclass(slots=True)
class _Track:
    """What is known so far of one track: media seconds, and the position of the first frame in which it was found."""

    track_id: int
    road_user: VruClass
    start_s: float
    end_s: float
    first_hit: int | None = None
    boxes: int = 0
    true_positives: int = 0


class TrackLog:
    """What becomes of each track, piece by piece of the video. It holds a few numbers a track.

    The clock starts at the track's first box that counts, whether or not that frame was evaluated, and stops at the
    first evaluated frame in which the track is matched. So the latency is never too short; it is too long by at most
    the time between two evaluated frames. Tracks that consist of ignored boxes alone are left out altogether.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._tracks: dict[int, _Track] = {}

    def add(self, number: int, track: Track, seen: Sequence[VisibleBox]) -> None:
        """More of the track with this ``number``: a ``track`` cut to a piece that follows those before."""
        if not seen:
            return
        known = self._tracks.setdefault(number, _Track(track.track_id, track.road_user, seen[0].time_s, seen[0].time_s))
        known.end_s = seen[-1].time_s
        for sighting in seen:
            known.boxes += sighting.evaluated
            known.true_positives += sighting.hit
            if sighting.hit and known.first_hit is None:
                known.first_hit = sighting.before

    def outcomes(self) -> tuple[dict[int, TrackOutcome], dict[int, int]]:
        """What became of each track, and the ids of the tracks that no evaluated frame shows; by number, rising."""
        known = sorted(self._tracks.items())
        unseen = {number: track.track_id for number, track in known if not track.boxes}
        return {number: self._outcome(track) for number, track in known if track.boxes}, unseen

    def _outcome(self, track: _Track) -> TrackOutcome:
        last = float(self._frames.times[-1])
        detected = None if track.first_hit is None else float(self._frames.times[track.first_hit])
        if detected is not None:
            outcome, observed = Outcome.DETECTED, detected - track.start_s
        else:
            outcome = Outcome.CUT_SHORT if track.end_s >= last else Outcome.MISSED
            observed = min(track.end_s, last) - track.start_s
        return TrackOutcome(
            track_id=track.track_id,
            road_user=track.road_user,
            first_visible_s=track.start_s,
            last_visible_s=track.end_s,
            first_detected_s=detected,
            latency_ms=None if detected is None else observed * 1000,
            observed_ms=observed * 1000,
            outcome=outcome,
            boxes=track.boxes,
            true_positives=track.true_positives,
        )


def detection_curve(tracks: Sequence[TrackOutcome]) -> SurvivalCurve:
    """The share of tracks still undetected after so much time.

    A track cut short by the end of the video is censored at that time; one that left the picture undetected stays
    among the undetected for good (see ``with_misses``). Without tracks cut short, 1 minus the curve is the share of all
    tracks that were detected within that time.
    """
    return with_misses(
        [track.observed_ms for track in tracks],
        [track.outcome == Outcome.DETECTED for track in tracks],
        [track.outcome == Outcome.MISSED for track in tracks],
    )


def latency_quantile(tracks: Sequence[TrackOutcome], quantile: float) -> float | None:
    """Time in ms by which the share ``quantile`` of all tracks is detected; None if it never is."""
    return detection_curve(tracks).quantile(quantile)
