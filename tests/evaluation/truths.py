"""Small ground truths and detections for tests."""

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass

FPS = 10.0


def frames(count: int, stride: int = 1) -> dict[int, float]:
    return {index: index / FPS for index in range(0, count, stride)}


def box(x: float = 10, y: float = 10, width: float = 20, height: float = 40) -> Box:
    return Box(x, y, width, height)


def track(
    track_id: int,
    first: int,
    last: int,
    *,
    x: float = 10,
    road_user: VruClass = VruClass.PEDESTRIAN,
    ignore: frozenset[int] = frozenset(),
    occluded: frozenset[int] = frozenset(),
    size: tuple[float, float] = (20, 40),
) -> Track:
    return Track(
        track_id,
        road_user,
        tuple(
            TruthBox(index, index / FPS, Box(x, 10, *size), ignore=index in ignore, occluded=index in occluded)
            for index in range(first, last + 1)
        ),
    )


def truth(*tracks: Track, count: int = 100, approved: bool = True, source: str = "manual") -> GroundTruth:
    return GroundTruth(640, 480, count, tracks, source, "someone@example.org" if approved else None)


def detection(
    frame: int, where: Box | None = None, score: float = 0.9, road_user: VruClass = VruClass.PEDESTRIAN
) -> Detection:
    return Detection(frame, frame / FPS, road_user, score, where or box())


def perfect(ground_truth: GroundTruth, evaluated: dict[int, float], score: float = 0.9) -> list[Detection]:
    return [
        Detection(truth_box.frame_index, truth_box.time_s, owner.road_user, score, truth_box.box)
        for owner, truth_box in ground_truth.boxes()
        if truth_box.frame_index in evaluated and not truth_box.ignore
    ]
