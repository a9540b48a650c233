"""Memory and time of the analysis of a data set: ``python -m benchmarks.validation.data_set CLIPS BOXES_A_CLIP``.

Synthetic clips of 300 frames with ten road users each; the detections are their boxes, and false ones. It prints how
many boxes there were, the processor's seconds of the analysis alone, and the most memory that the process ever had.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
from tests.peak import peak_bytes

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass
from vru.evaluation import Roster
from vru.service.schemas import CriterionBody, RunSettings
from vru.validation_engine.data_set_analysis import DataSetAnalysing, Measured

FRAMES, PEOPLE, PIECE = 300, 10, 150
SETTINGS = RunSettings()
CRITERIA = [
    CriterionBody(metric="recall", comparator=">=", threshold=0.9, slice=name) for name in ("all", "light:night")
]


def clip(seed: int) -> tuple[Roster, list[float], tuple[Track, ...]]:
    """Ten people who walk through 300 frames at 30 a second."""
    rng = np.random.default_rng(seed)
    times = [frame / 30 for frame in range(FRAMES)]
    tracks = []
    for number in range(PEOPLE):
        left, size = rng.uniform(0, 1500), rng.uniform(20, 120)
        boxes = tuple(
            TruthBox(frame, times[frame], Box(left + frame, 100.0 * (number % 9), size, 2 * size))
            for frame in range(FRAMES)
        )
        tracks.append(Track(number + 1, VruClass.PEDESTRIAN, boxes))
    return (
        Roster(tuple((track.track_id, track.road_user) for track in tracks), "manual", "somebody"),
        times,
        tuple(tracks),
    )


def pieces(
    tracks: tuple[Track, ...], times: list[float], boxes: int, seed: int
) -> Iterator[tuple[GroundTruth, list[Detection]]]:
    """The clip in pieces, with so many ``boxes`` of detections in all."""
    rng = np.random.default_rng(seed)
    a_frame = max(1, boxes // FRAMES)
    for first in range(0, FRAMES, PIECE):
        own = tuple(Track(track.track_id, track.road_user, track.boxes[first : first + PIECE]) for track in tracks)
        found = []
        for frame in range(first, first + PIECE):
            scores, places = rng.random(a_frame).tolist(), rng.uniform(0, 1800, a_frame).tolist()
            for number in range(a_frame):
                box = tracks[number].boxes[frame].box if number < PEOPLE else Box(places[number], 1000.0, 30.0, 60.0)
                found.append(Detection(frame, times[frame], VruClass.PEDESTRIAN, scores[number], box))
        yield GroundTruth(1920, 1080, FRAMES, own, approved_by="somebody"), found


def main() -> None:
    """Measure once."""
    clips, boxes = int(sys.argv[1]), int(sys.argv[2])
    groups = [["light:night"] if number % 2 else ["light:day"] for number in range(clips)]
    recordings = [Measured(number + 1, f"clip {number + 1}", groups[number]) for number in range(clips)]
    analysing = DataSetAnalysing(recordings, [VruClass.PEDESTRIAN], SETTINGS, CRITERIA, "net")
    took, count = 0.0, 0
    for number in range(clips):
        roster, times, tracks = clip(number)
        began = time.process_time()
        analysing.begin(number + 1, roster, times)
        took += time.process_time() - began
        for truth, found in pieces(tracks, times, boxes, number):
            count += len(found)
            began = time.process_time()
            analysing.add(truth, found)
            took += time.process_time() - began
    began = time.process_time()
    outcome = analysing.result()
    finishing = time.process_time() - began
    figures = len(outcome.metrics["measurements"])
    print(f"{clips} clips, {count:,} boxes: {outcome.verdict} from {figures} figures")
    print(f"{took:.1f} s to add, {finishing:.1f} s to finish; {peak_bytes() / 1e6:.0f} MB at most")


if __name__ == "__main__":
    main()
