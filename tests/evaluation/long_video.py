"""A made-up video of any length, evaluated piece by piece: ``python -m tests.evaluation.long_video MINUTES``.

30 frames a second, five road users of two classes in each, each visible for ten seconds; nine of ten boxes are found,
and one detection a frame is wrong. It prints the process's largest resident memory in bytes.
"""

import sys
from collections.abc import Iterator

from tests.peak import peak_bytes

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass
from vru.evaluation import Evaluation, EvaluationSettings, Evaluator, Frames, Roster

RATE, USERS, VISIBLE, PIECE = 30, 5, 300, 500
CLASSES = (VruClass.PEDESTRIAN, VruClass.CYCLIST)


def pieces(count: int) -> Iterator[tuple[GroundTruth, list[Detection]]]:
    """Truth and detections of so many frames, each piece made when it is asked for."""
    for first in range(0, count, PIECE):
        boxes: dict[int, list[TruthBox]] = {}
        found = []
        for frame in range(first, min(first + PIECE, count)):
            time_s = frame / RATE
            for user in range(USERS):
                track = frame // VISIBLE * USERS + user
                box = Box(float(frame * 3 % 400 + user), 100.0 * user, 40.0, 90.0)
                boxes.setdefault(track, []).append(TruthBox(frame, time_s, box, occluded=user == 0))
                if (frame + track) % 10:
                    score = (frame * 7919 + user * 104729) % 10007 / 10007
                    found.append(Detection(frame, time_s, CLASSES[track % 2], score, box))
            found.append(Detection(frame, time_s, CLASSES[0], frame % 101 / 100, Box(600, 100, 40, 90)))
        tracks = tuple(Track(track, CLASSES[track % 2], tuple(shown)) for track, shown in boxes.items())
        yield GroundTruth(640, 480, count, tracks, approved_by="nobody"), found


def measured(minutes: float) -> Evaluation:
    """The evaluation of so many minutes."""
    count = int(minutes * 60 * RATE)
    tracks = tuple((track, CLASSES[track % 2]) for track in range(-(-count // VISIBLE) * USERS))
    slices = (*(f"class:{road_user}" for road_user in CLASSES), "occlusion:none")
    frames = Frames.every(1, [frame / RATE for frame in range(count)])
    evaluator = Evaluator(Roster(tracks, "manual", "nobody"), frames, EvaluationSettings(slices=slices))
    for truth, found in pieces(count):
        evaluator.add(truth, found)
    return evaluator.result()


def main() -> None:
    evaluation = measured(float(sys.argv[1]))
    # Half of nine tenths have a score above the threshold.
    if abs((evaluation.overall.estimates["recall"].value or 0) - 0.45) > 0.01:
        sys.exit("the video is not the one that was meant")
    print(peak_bytes())


if __name__ == "__main__":
    main()
