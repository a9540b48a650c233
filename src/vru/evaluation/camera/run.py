"""A camera run: a device's signals against the road users of a video, in time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from vru.domain import GroundTruth, Signal, VruError
from vru.evaluation.camera.clocks import Clocks, Floats, Ints, halved_slopes
from vru.evaluation.camera.estimates import Measured, Slope, Widened
from vru.evaluation.camera.pairing import ANY, pair
from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.core.tables import CLASSES, ratio
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Estimate, Known, Quantile, Resampled
from vru.evaluation.statistics.resampling import resampled
from vru.evaluation.statistics.survival import with_misses
from vru.evaluation.video.metrics import CAMERA_UNITS

Bools = NDArray[np.bool_]

# Every metric of a camera run, in the order of reports.
CAMERA_METRICS: tuple[str, ...] = (
    *("track_recall", "latency_median_ms", "latency_p95_ms", "precision", "false_alarms_per_minute"),
    *CAMERA_UNITS,
)
_FEWEST = 10
# Buses repeat a message every 10 to 100 ms while a warning lasts.
_CYCLE_S = 0.2


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


@dataclass(frozen=True, slots=True)
class CameraEvaluation:
    """What was measured: estimates by slice, what became of each signal and track, and what limits the figures.

    ``latency_s`` is each track's (NaN without a detection), ``latency_u_s`` its standard uncertainty. ``frame_s`` is
    the frame period, ``reach_s`` the expanded uncertainty (95 %) of the join that widens every bound.
    """

    slices: Mapping[str, Mapping[str, Estimate]]
    matches: SignalMatches
    latency_s: Floats
    latency_u_s: Floats
    clocks: Clocks
    frame_s: float
    reach_s: float
    clips: int
    resamples: int
    notes: tuple[str, ...]


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


def evaluate_camera(
    signals: SignalTable,
    road_users: RoadUsers,
    frame_times: Sequence[float] | Floats,
    clocks: Clocks,
    settings: CameraSettings | None = None,
) -> CameraEvaluation:
    """Compare a device's signals with the road users of a video whose frames are at ``frame_times`` (media seconds).

    Raises:
        VruError: the frames' times do not rise, two tracks share an id, or no signal lies in the video.
    """
    settings = settings or CameraSettings()
    sent = signals
    if settings.hold_s:
        signals = without_repeats(signals, settings.hold_s)
    times = np.asarray(frame_times, dtype=np.float64)
    if len(times) < 2 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise VruError("The times of the video's frames do not rise, or there are fewer than two.", "Use media time.")
    if len(np.unique(road_users.track_id)) < len(road_users.track_id):
        raise VruError("Two tracks of the ground truth have the same id.", "Give each track its own.")
    frame_s = float(np.median(np.diff(times)))
    video_s = float(times[0]), float(times[-1]) + frame_s
    reach = clocks.coverage() * float(clocks.uncertainty_s(np.array(video_s)).max())
    shifts = (0.0, -reach, reach) if reach > 0 else (0.0,)
    matched = match_signals(signals, road_users, clocks, video_s, settings, shifts)
    matches = matched[0]
    if len(signals.time_ns) and (matches.outcome == SignalOutcome.OUTSIDE).all():
        raise VruError(
            f"None of the {len(matches.outcome)} signals lies in the video's {video_s[1] - video_s[0]:.1f} s.",
            "Is the offset right, and is it a recording of this video?",
        )
    job = _Job(road_users, float(times[-1]), video_s, clocks, settings, reach, frame_s)
    present = [int(c) for c in np.unique(road_users.road_user[matches.counted])]
    wanted: list[tuple[str, int | None]] = [("all", None)]
    wanted += [(f"class:{CLASSES[c]}", c) for c in present] if len(present) > 1 else []
    slices = {}
    for name, road_user in wanted:
        parts = [job.figures(part, road_user) for part in matched]
        slices[name] = {
            metric: Widened(parts[0][metric], tuple(part[metric] for part in parts[1:]), job.margin(metric))
            if reach > 0 else parts[0][metric]
            for metric in parts[0]
        } | job.fixed(matches, frame_s)  # fmt: skip
        slices[name] = {metric: slices[name][metric] for metric in CAMERA_METRICS}
    latency = job.latencies(matches)
    return CameraEvaluation(
        slices,
        matches,
        latency,
        job.uncertainty(matches, frame_s),
        clocks,
        frame_s,
        reach,
        job.clips,
        settings.resamples,
        (*job.notes(matches), *_repeats(sent, len(signals.time_ns), settings)),
    )


class _Job:
    """What all slices share: the clips and their resamples."""

    def __init__(
        self,
        road_users: RoadUsers,
        last_frame_s: float,
        video_s: tuple[float, float],
        clocks: Clocks,
        settings: CameraSettings,
        reach_s: float,
        frame_s: float,
    ) -> None:
        self.road_users, self.last_frame_s, self.video_s = road_users, last_frame_s, video_s
        self.clocks, self.settings, self.reach_s = clocks, settings, reach_s
        length = video_s[1] - video_s[0]
        self.clips = max(1, math.ceil(length / settings.clip_seconds - 1e-6))
        edges = np.minimum(np.arange(self.clips + 1) * settings.clip_seconds, length)
        self.minutes = np.diff(edges) / 60
        self.frames = np.diff(edges) / frame_s
        self.draws = Draws(self.clips, settings.resamples, settings.seed)

    def latencies(self, matches: SignalMatches) -> Floats:
        """Seconds from the window's start to the first signal; NaN without one."""
        when = np.append(matches.media_s, np.nan)[matches.signal]
        return np.asarray(when - self.road_users.first_s, dtype=np.float64)

    def uncertainty(self, matches: SignalMatches, frame_s: float) -> Floats:
        """Combined standard uncertainty of each latency, seconds (GUM 5.1.2): the join of the clocks at that time, the
        jitter of a single event, and the quantisation by frames and by polling, each rectangular: period / √12 (4.3.7).
        """
        when = np.append(matches.media_s, np.nan)[matches.signal]
        quantised = (frame_s**2 + self.settings.poll_s**2) / 12
        return np.asarray(np.sqrt(self.clocks.uncertainty_s(when) ** 2 + self.clocks.jitter_s**2 + quantised))

    def margin(self, metric: str) -> float:
        """What the clocks leave open of a figure, in its unit."""
        if metric in ("latency_median_ms", "latency_p95_ms"):
            return self.reach_s * 1000
        return self.clocks.coverage() * self.clocks.drift_u_ppm if metric == "latency_drift_ppm" else 0.0

    def figures(self, matches: SignalMatches, road_user: int | None) -> dict[str, Estimate]:
        """The figures of one slice that depend on which signal fell into which window."""
        mine = matches.counted.copy()
        here = np.ones(len(matches.outcome), dtype=np.bool_)
        known = True
        if road_user is not None:
            mine &= self.road_users.road_user == road_user
            here = matches.road_user == road_user
            # A signal without a class cannot be told to be a false one of this class.
            known = not (matches.road_user == ANY).any()
        latency = self.latencies(matches)
        found = mine & (matches.signal >= 0)
        cut = mine & ~found & (self.road_users.last_s >= self.last_frame_s)
        result: dict[str, Estimate] = dict(self._latency_quantiles(mine, found, cut, latency))
        result |= _drift_and_jitter(self.road_users.first_s[found], latency[found])
        outcome = np.where(here, matches.outcome, -1)
        wrong = np.isin(outcome, (SignalOutcome.EARLY, SignalOutcome.FALSE_ALARM))
        result |= self._shares(mine, found, self._per_clip(matches.media_s[wrong]), known=known)
        for metric, what in (
            ("false_alarm_signals", SignalOutcome.FALSE_ALARM),
            ("early_signals", SignalOutcome.EARLY),
            ("duplicate_signals", SignalOutcome.DUPLICATE),
        ):
            result[metric] = Known(float((outcome == what).sum()) if known else None, int(here.sum()), "signals")
        return result

    def _shares(self, mine: Bools, found: Bools, wrong: Floats, *, known: bool) -> dict[str, Estimate]:
        """What follows from sums over clips, each with the tracks that begin in it and its false signals."""
        hits = self._per_clip(self.road_users.first_s[found])
        tracks = self._per_clip(self.road_users.first_s[mine])
        assumed, minutes = self.settings.unseen, float(self.minutes.max())
        most = assumed.truths(tracks)
        unseen = np.array([[0.0, assumed.wrong(wrong, self.frames), most, minutes], [most, 0.0, most, minutes]])
        table = np.column_stack([hits, wrong, tracks, self.minutes])
        resting = {
            "track_recall": int(np.count_nonzero(tracks)),
            "precision": int(np.count_nonzero(hits + wrong)),
            "false_alarms_per_minute": self.clips,
        }
        return {
            name: Resampled(figure.value if known or name == "track_recall" else None, resting[name], figure.replicates)
            for name, figure in resampled(self.draws, table, _rates, unseen).items()
        }

    def fixed(self, matches: SignalMatches, frame_s: float) -> dict[str, Estimate]:
        """The figures of the timing itself, the same in each slice."""
        clocks, units = self.clocks, "markers" if self.clocks.markers else "offsets"
        count, estimated = max(clocks.markers, 1), clocks.markers > 0
        found = matches.signal >= 0
        largest = float(self.uncertainty(matches, frame_s)[found].max()) * 1000 if found.any() else None
        return {
            "latency_uncertainty_ms": Known(largest, int(found.sum()), "tracks"),
            "ambiguous_detections": Known(float(matches.ambiguous), int(found.sum()), "tracks"),
            "offset_ms": Measured(clocks.offset_ms, clocks.offset_u_ms, count, units, clocks.freedom),
            "offset_drift_ppm": Measured(
                clocks.drift_ppm if estimated else None, clocks.drift_u_ppm, count, units, clocks.freedom
            ),
            "offset_jitter_ms": Measured(
                clocks.jitter_s * 1000 if estimated else None,
                clocks.jitter_s * 1000 / math.sqrt(2 * clocks.freedom),
                count,
                units,
            ),
        }

    def _latency_quantiles(self, mine: Bools, found: Bools, cut: Bools, latency: Floats) -> dict[str, Estimate]:
        """Read from the Kaplan-Meier curve; for the bounds what is not known is set to its extremes."""
        watched = np.minimum(self.road_users.last_s, self.last_frame_s) - self.road_users.first_s
        observed = np.where(found, latency, watched)[mine] * 1000
        missed = ~(found | cut)[mine]
        curve = with_misses(observed, found[mine], missed)
        earliest = np.where(missed, np.inf, observed)
        latest = np.where(found[mine], observed, np.inf)
        clips = self._clip(self.road_users.first_s[mine])
        unseen = self.settings.unseen.truths(np.bincount(clips).astype(np.float64))
        return {
            f"latency_{label}_ms": Quantile(curve.quantile(share), share, earliest, latest, clips, self.draws, unseen)
            for label, share in (("median", 0.5), ("p95", 0.95))
        }

    def _clip(self, when: Floats) -> Ints:
        clip = np.floor((when - self.video_s[0]) / self.settings.clip_seconds + 1e-7).astype(np.int64)
        return np.asarray(clip.clip(0, self.clips - 1))

    def _per_clip(self, when: Floats) -> Floats:
        return np.bincount(self._clip(when), minlength=self.clips).astype(np.float64)

    def notes(self, matches: SignalMatches) -> list[str]:
        """What limits the figures, in sentences."""
        found = int((matches.signal >= 0).sum())
        notes = [
            self.settings.unseen.sentence("clips").replace("false boxes", "false signals"),
            f"The clocks are joined to within {self.reach_s * 1000:.2f} ms (95 %), which widens every bound.",
        ]
        if self.clocks.outliers:
            notes.append(f"Markers that did not fit the others and were left out: {self.clocks.outliers}.")
        if matches.ambiguous:
            notes.append(
                f"{matches.ambiguous} of {found} detections came while several road users were visible whom they fit: "
                "time alone cannot tell them apart, and the pairing is the kindest to the device."
            )
        for what, text in (
            (SignalOutcome.OUTSIDE, "before or after the video, which count nowhere"),
            (SignalOutcome.SET_ASIDE, "where a road user is visible who does not count (yet), set aside"),
        ):
            count = int((matches.outcome == what).sum())
            notes += [f"Signals {text}: {count}."] if count else []
        missed = int(matches.counted.sum()) - found
        if missed:
            notes.append(f"Tracks never signalled, which are censored in the latencies: {missed} of {found + missed}.")
        return notes


def _repeats(signals: SignalTable, begun: int, settings: CameraSettings) -> list[str]:
    """What to say about messages that are sent again and again."""
    sent = len(signals.time_ns)
    if settings.hold_s:
        return [
            f"{sent} signals are {begun}, since one within {settings.hold_s * 1000:g} ms of another goes on with it."
        ]
    close = sent - len(without_repeats(signals, _CYCLE_S).time_ns)
    if 2 * close > sent:
        cycle = f"{_CYCLE_S * 1000:g}"
        return [
            f"{close} of {sent} signals came within {cycle} ms after one of the same class, and each counts alone: if "
            f"the device repeats its message while a warning lasts, --hold-ms {cycle} takes it as one."
        ]
    return []


def _rates(sums: Floats) -> dict[str, Floats]:
    """The figures of each row of sums over clips (m x 4): signalled tracks, false signals, tracks, minutes."""
    hits, wrong, tracks, minutes = sums.T
    return {
        "track_recall": ratio(hits, tracks),
        "precision": ratio(hits, hits + wrong),
        "false_alarms_per_minute": ratio(wrong, minutes),
    }


def _drift_and_jitter(start_s: Floats, latency_s: Floats) -> dict[str, Estimate]:
    """How latency changes over the run, and how it scatters once that is taken away.

    Drift: median of Theil's incomplete slopes (1950), in ppm: microseconds of latency a second. Jitter: standard
    deviation about the line of that slope; its standard uncertainty is √((m₄ - s⁴) / n) / 2s, for any distribution.
    """
    order = np.argsort(start_s, kind="stable")
    x, y = start_s[order], latency_s[order]
    slopes = np.sort(halved_slopes(x, y)) * 1e6
    count = len(x)
    drift = Slope(slopes, count)
    if count < 3 or x[0] == x[-1]:
        return {"latency_drift_ppm": drift, "latency_jitter_ms": Measured(None, 0.0, count, "tracks", fewest=_FEWEST)}
    rest = y - (drift.value or 0.0) * 1e-6 * x
    rest = (rest - rest.mean()) * 1000
    variance = float((rest**2).sum()) / (count - 2)
    spread = math.sqrt(variance)
    fourth = max(float((rest**4).mean()) - variance**2, 0.0)
    error = math.sqrt(fourth / count) / (2 * spread) if spread else 0.0
    return {
        "latency_drift_ppm": drift,
        "latency_jitter_ms": Measured(spread, error, count, "tracks", fewest=_FEWEST),
    }
