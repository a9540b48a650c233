"""Who is on the road of a scenario, and when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vru.domain import Box, GroundTruth, Track, TruthBox, VruClass, VruError
from vru.rig.scenario import RoadSettings, Scenario

_WIDTH, _HEIGHT = 640, 360
_FIRST_S = 0.5
# Somewhere in the picture, of a reasonable height: a device's signals say when, not where.
_BOX = Box(300.0, 100.0, 40.0, 100.0)


@dataclass(frozen=True, slots=True)
class RoadUser:
    """Visible from ``first_s`` to ``last_s`` in boxes that count, ``shown_s`` to ``gone_s`` in any (media time)."""

    track_id: int
    road_user: VruClass
    first_s: float
    last_s: float
    shown_s: float
    gone_s: float


@dataclass(frozen=True, slots=True)
class Road:
    """Ground truth, the media time of each frame, and the road users who count. ``end_s`` ends the last frame."""

    truth: GroundTruth
    times: tuple[float, ...]
    users: tuple[RoadUser, ...]
    end_s: float


def road_of(scenario: Scenario) -> Road:
    """Who is on the road of ``scenario``.

    Raises:
        VruError: the scene or the file is not there, or the file has no tracks or times.
    """
    road = scenario.road
    if road.scene is not None:
        return _of_scene(road)
    if road.file is not None:
        return _of_file(road.file)
    if road.traffic is not None:
        traffic = road.traffic
        # Nobody is there at first: a signal may come before anybody.
        starts = [_FIRST_S + number * traffic.every_s for number in range(traffic.count)]
        spans = [
            (traffic.classes[number % len(traffic.classes)], start, start + traffic.visible_s)
            for number, start in enumerate(starts)
        ]
        return _of_spans(spans, road.duration_s or spans[-1][2] + _FIRST_S, road.fps)
    spans = [(one.road_user, one.first_s, one.last_s) for one in road.road_users or ()]
    return _of_spans(spans, road.duration_s or 0.0, road.fps)


def road_of_users(users: Sequence[RoadUser], counted: Sequence[bool], end_s: float) -> Road:
    """The road of road users of whom only the times are known, those of a platform's ground truth for example.

    Who is not ``counted`` is visible and asks for no signal. Frames stand at the times that matter alone.
    """
    moments = {time for user in users for time in (user.shown_s, user.first_s, user.last_s, user.gone_s)}
    times = tuple(sorted({0.0, end_s, *moments}))
    index = {time: position for position, time in enumerate(times)}
    tracks = []
    for user, counts in zip(users, counted, strict=True):
        seen = sorted({user.shown_s, user.first_s, user.last_s, user.gone_s})
        boxes = (
            TruthBox(index[time], time, _BOX, ignore=not (counts and user.first_s <= time <= user.last_s))
            for time in seen
        )
        tracks.append(Track(user.track_id, user.road_user, tuple(boxes)))
    truth = GroundTruth(_WIDTH, _HEIGHT, len(times), tuple(tracks), source="synthetic")
    return Road(truth, times, tuple(user for user, counts in zip(users, counted, strict=True) if counts), end_s)


def _of_spans(spans: list[tuple[VruClass, float, float]], duration_s: float, fps: float) -> Road:
    times = tuple(round(index / fps, 9) for index in range(max(2, round(duration_s * fps))))
    tracks = []
    for number, (road_user, first, last) in enumerate(spans, start=1):
        if last > times[-1] + 1 / fps + 1e-9:
            raise VruError(
                f"Road user {number} is visible until {last:g} s, and the video ends after {duration_s:g} s.",
                "Make duration_s longer.",
            )
        boxes = tuple(TruthBox(i, t, _BOX) for i, t in enumerate(times) if first - 1e-9 <= t <= last + 1e-9)
        if not boxes:
            raise VruError(f"Road user {number} is visible in no frame.", "Make it visible longer than a frame.")
        tracks.append(Track(number, road_user, boxes))
    return _road(GroundTruth(_WIDTH, _HEIGHT, len(times), tuple(tracks), source="synthetic"), times)


def _of_scene(road: RoadSettings) -> Road:
    from vru.scenes import ground_truth, scene  # OpenCV takes 0.2 s

    chosen = scene(road.scene or "", duration_s=road.duration_s or 10.0, fps=road.fps)
    return _road(ground_truth(chosen), tuple(chosen.times))


def _of_file(path: Path) -> Road:
    from vru.evaluation.camera.files import truth_of_video  # numpy and scipy
    from vru.formats import read_truth

    truth, times = truth_of_video(read_truth(path))
    return _road(truth, tuple(sorted(times)))


def _road(truth: GroundTruth, times: tuple[float, ...]) -> Road:
    return Road(truth, times, tuple(_users(truth.tracks)), times[-1] + (times[-1] - times[0]) / (len(times) - 1))


def _users(tracks: Iterable[Track]) -> Iterable[RoadUser]:
    for track in tracks:
        counted = [box.time_s for box in track.boxes if not box.ignore]
        if counted:
            yield RoadUser(
                track.track_id, track.road_user, counted[0], counted[-1], track.first_visible_s, track.last_visible_s
            )
