"""How soon a road user is detected after becoming visible, with misses censored and never left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from vru.domain import GroundTruth, VruClass
from vru.evaluation.matching import TRUE_POSITIVE, Matches
from vru.evaluation.survival import SurvivalCurve, with_misses


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
    the latency, or for a miss the time for which the track was visible without being detected.
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
    hits: int


def track_outcomes(
    truth: GroundTruth, matches: Matches, frames: Mapping[int, float], score_threshold: float
) -> tuple[list[TrackOutcome], list[int]]:
    """What became of each track, and the ids of the tracks that no evaluated frame shows.

    The clock starts at the track's first box that counts, whether or not that frame was evaluated, and stops at the
    first evaluated frame in which the track is matched. So the latency is never too short; it is too long by at most
    the time between two evaluated frames. Tracks that consist of ignored boxes alone are left out altogether.
    """
    times = list(frames.values())
    hit = (matches.outcome == TRUE_POSITIVE) & (matches.score >= score_threshold)
    hits_per_track = np.bincount(matches.track[hit], minlength=len(truth.tracks))
    boxes_per_track = np.bincount(matches.truth_track, minlength=len(truth.tracks))
    first_hit: dict[int, int] = {}
    for track_number, frame in zip(matches.track[hit].tolist(), matches.frame[hit].tolist(), strict=True):
        first_hit[track_number] = min(first_hit.get(track_number, frame), frame)

    outcomes, unseen = [], []
    for number, track in enumerate(truth.tracks):
        counted = [box for box in track.boxes if not box.ignore]
        if not counted:
            continue
        if not boxes_per_track[number]:
            unseen.append(track.track_id)
            continue
        start, end = counted[0].time_s, counted[-1].time_s
        detected = times[first_hit[number]] if number in first_hit else None
        if detected is not None:
            outcome, observed = Outcome.DETECTED, detected - start
        else:
            outcome = Outcome.CUT_SHORT if end >= times[-1] else Outcome.MISSED
            observed = min(end, times[-1]) - start
        outcomes.append(
            TrackOutcome(
                track_id=track.track_id,
                road_user=track.road_user,
                first_visible_s=start,
                last_visible_s=end,
                first_detected_s=detected,
                latency_ms=None if detected is None else observed * 1000,
                observed_ms=observed * 1000,
                outcome=outcome,
                boxes=int(boxes_per_track[number]),
                hits=int(hits_per_track[number]),
            )
        )
    return outcomes, unseen


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
