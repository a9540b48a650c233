"""Which signal is about which road user: by time and class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from vru.domain import GroundTruth, Signal, VruError
from vru.evaluation.camera.clocks import Clocks, Floats, Ints
from vru.evaluation.camera.pairing import ANY, pair
from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.core.tables import CLASSES

Bools = NDArray[np.bool_]


class SignalOutcome(IntEnum):
    """What became of a signal."""

    DETECTION = 0
    # It lies in the window of a road user whom it fits, and all those have a signal of their own.
    DUPLICATE = 1
    # It fits nobody, but somebody whom it would fit becomes visible soon after: a false positive, and no early success.
    EARLY = 2
    FALSE_ALARM = 3
    # It lies where an ignored road user is visible, or one that is not yet of reasonable size.
    SET_ASIDE = 4
    # It lies before or after the video.
    OUTSIDE = 5


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """Every number that a camera run's evaluation depends on, besides its inputs.

    ``tolerance_s``: how long after it was last visible a road user may still be signalled. ``early_s``: a false signal
    so long before somebody becomes visible is listed as early. ``hold_s``: a signal of the same class so soon after
    another goes on with it (a message that is sent again and again); 0: each is one. ``reasonable_height``: windows
    begin with the first box of so many pixels; None: with the first box. ``poll_s``: period in which the receiver looks
    for signals.
    """

    tolerance_s: float = 0.1
    early_s: float = 1.0
    hold_s: float = 0.0
    reasonable_height: float | None = None
    poll_s: float = 0.0
    clip_seconds: float = 10.0
    resamples: int = 1000
    seed: int = 0
    unseen: UnseenUnit = field(default_factory=UnseenUnit)

    def __post_init__(self) -> None:
        for name in ("tolerance_s", "early_s", "hold_s", "poll_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise VruError(f"{name} is {getattr(self, name)}, not a number of at least 0.", "Give it in seconds.")
        if not 0 < self.clip_seconds < math.inf or self.resamples < 100:
            raise VruError("A clip must last longer than 0 s, and 100 resamples are the fewest.", "10 s, 1000.")


@dataclass(frozen=True, slots=True)
class SignalTable:
    """Signals as columns: monotonic nanoseconds, and the class's position in ``CLASSES`` (``ANY`` without one)."""

    time_ns: Ints
    road_user: Ints

    @classmethod
    def of(cls, signals: Sequence[Signal]) -> "SignalTable":
        """The columns of signals."""
        numbers = [ANY if signal.road_user is None else CLASSES.index(signal.road_user) for signal in signals]
        times = [signal.time_ns for signal in signals]
        return cls(np.array(times, dtype=np.int64), np.array(numbers, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class RoadUsers:
    """Tracks as columns, media seconds: visible from ``first_s`` to ``last_s`` in boxes that count, NaN without such;
    from ``shown_s`` to ``gone_s`` in any box. ``road_user`` is the class's position in ``CLASSES``.
    """

    track_id: Ints
    road_user: Ints
    first_s: Floats
    last_s: Floats
    shown_s: Floats
    gone_s: Floats

    @classmethod
    def of(cls, truth: GroundTruth, reasonable_height: float | None = None) -> "RoadUsers":
        """The columns of a video's tracks; ``first_s`` is the first box's of reasonable height, if one is given."""
        rows = []
        for track in truth.tracks:
            counted = [box for box in track.boxes if not box.ignore]
            tall = [box for box in counted if reasonable_height is None or box.box.height >= reasonable_height]
            rows.append(
                (
                    tall[0].time_s if tall else math.nan,
                    counted[-1].time_s if tall else math.nan,
                    track.first_visible_s,
                    track.last_visible_s,
                )
            )
        columns = np.array(rows, dtype=np.float64).reshape(-1, 4).T
        ids = np.array([track.track_id for track in truth.tracks], dtype=np.int64)
        classes = np.array([CLASSES.index(track.road_user) for track in truth.tracks], dtype=np.int64)
        return cls(ids, classes, *columns)


@dataclass(frozen=True, slots=True)
class SignalMatches:
    """What became of signals and tracks. ``order`` sorts the signals by time; ``media_s``, ``outcome`` and ``track``
    (the detected track's position, -1) are in that order. ``signal`` is each track's, a position in that order, -1 for
    none; ``counted`` are the tracks that count. ``ambiguous`` detections lie in several windows that they fit.
    """

    order: Ints
    media_s: Floats
    road_user: Ints
    outcome: Ints
    track: Ints
    signal: Ints
    counted: Bools
    ambiguous: int


def without_repeats(signals: SignalTable, hold_s: float) -> SignalTable:
    """The signals without those that only go on with one before: of the same class, and within ``hold_s`` of the last.

    A device that sends its warning every 20 ms gives one warning, at the first message. While it goes on, a second road
    user of that class cannot be told.
    """
    hold = round(hold_s * 1e9)
    order = np.lexsort((signals.time_ns, signals.road_user))
    time, said = signals.time_ns[order], signals.road_user[order]
    begins = np.ones(len(time), dtype=np.bool_)
    begins[1:] = (np.diff(time) > hold) | (np.diff(said) != 0)
    kept = np.sort(order[begins])
    return SignalTable(signals.time_ns[kept], signals.road_user[kept])


def match_signals(
    signals: SignalTable,
    road_users: RoadUsers,
    clocks: Clocks,
    video_s: tuple[float, float],
    settings: CameraSettings,
    shifts_s: Sequence[float] = (0.0,),
) -> list[SignalMatches]:
    """Match signals with tracks: see ``pair``. ``video_s`` are the media seconds of the first frame and of the last
    one's end; each of ``shifts_s`` moves all signals, and gives matches of its own.
    """
    when = clocks.media_s(signals.time_ns)
    # Among equal times those with a class come first: they have less choice.
    order = np.lexsort((np.where(signals.road_user == ANY, len(CLASSES), signals.road_user), when))
    when, said = when[order], signals.road_user[order]
    return [_match(order, when + shift, said, road_users, video_s, settings) for shift in shifts_s]


def _match(
    order: Ints,
    when: Floats,
    said: Ints,
    road_users: RoadUsers,
    video_s: tuple[float, float],
    settings: CameraSettings,
) -> SignalMatches:
    counted = ~np.isnan(road_users.first_s)
    start, end = road_users.first_s[counted], road_users.last_s[counted] + settings.tolerance_s
    inside = (when >= video_s[0]) & (when <= video_s[1] + settings.tolerance_s)
    within = np.flatnonzero(inside)
    paired = pair(when[within], said[within], start, end, road_users.road_user[counted])
    signal = np.full(len(counted), -1, dtype=np.int64)
    signal[counted] = np.where(paired >= 0, np.append(within, -1)[paired], -1)
    track = np.full(len(when), -1, dtype=np.int64)
    found = np.flatnonzero(signal >= 0)
    track[signal[found]] = found

    classes = road_users.road_user
    open_now = _open(when, said, start, end, classes[counted])
    shown = _open(when, said, road_users.shown_s, road_users.gone_s + settings.tolerance_s, classes)
    wait = _until_next(when, said, road_users.shown_s, classes)
    outcome = np.select(
        [~inside, track >= 0, open_now > 0, shown > 0, wait <= settings.early_s],
        [
            SignalOutcome.OUTSIDE, SignalOutcome.DETECTION, SignalOutcome.DUPLICATE, SignalOutcome.SET_ASIDE,
            SignalOutcome.EARLY,
        ],
        SignalOutcome.FALSE_ALARM,
    )  # fmt: skip
    ambiguous = int(((track >= 0) & (open_now > 1)).sum())
    return SignalMatches(order, when, said, outcome.astype(np.int64), track, signal, counted, ambiguous)


def _fits(said: Ints, classes: Ints) -> list[tuple[Bools | slice, Bools | slice]]:
    """Which signals look at which tracks: those of each class at theirs, those without at all."""
    pairs: list[tuple[Bools | slice, Bools | slice]] = [
        (said == c, classes == c) for c in range(len(CLASSES)) if (said == c).any()
    ]
    return [*pairs, (said == ANY, slice(None))]


def _open(when: Floats, said: Ints, start: Floats, end: Floats, classes: Ints) -> Ints:
    """In how many windows that fit it each signal lies."""
    count = np.zeros(len(when), dtype=np.int64)
    for signals, tracks in _fits(said, classes):
        begun = np.searchsorted(np.sort(start[tracks]), when[signals], side="right")
        count[signals] = begun - np.searchsorted(np.sort(end[tracks]), when[signals], side="left")
    return count


def _until_next(when: Floats, said: Ints, start: Floats, classes: Ints) -> Floats:
    """Seconds until somebody whom it would fit becomes visible; inf if nobody does."""
    wait = np.full(len(when), np.inf)
    for signals, tracks in _fits(said, classes):
        starts = np.append(np.sort(start[tracks]), np.inf)
        wait[signals] = starts[np.searchsorted(starts, when[signals], side="right").clip(max=len(starts) - 1)]
        wait[signals] -= when[signals]
    return wait
