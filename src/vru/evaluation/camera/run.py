"""A camera run: a device's signals against the road users of a video, in time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vru.domain import VruError
from vru.evaluation.camera.clocks import Clocks, Floats, Ints, halved_slopes
from vru.evaluation.camera.estimates import Measured, Slope, Widened
from vru.evaluation.camera.pairing import ANY
from vru.evaluation.camera.signal_matching import (
    CameraSettings,
    RoadUsers,
    SignalMatches,
    SignalOutcome,
    SignalTable,
    match_signals,
    without_repeats,
)
from vru.evaluation.core.frames import clip_of
from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.core.tables import CLASSES, ratio
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Estimate, Fixed, Quantile, Resampled
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


@dataclass(frozen=True, slots=True)
class CameraEvaluation:
    """What was measured: estimates by slice, what became of each signal and track, and what limits the figures.

    ``latency_s`` is each track's (NaN without a detection), ``latency_u_s`` its standard uncertainty. ``frame_s`` is
    the frame period, ``reach_s`` the expanded uncertainty (95 %) of the join that widens every bound, ``unseen`` what
    bounds assume of clips that were not seen.
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
    unseen: UnseenUnit


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
    collector = _Run(road_users, float(times[-1]), video_s, clocks, settings, reach, frame_s)
    present = [int(c) for c in np.unique(road_users.road_user[matches.counted])]
    wanted: list[tuple[str, int | None]] = [("all", None)]
    wanted += [(f"class:{CLASSES[c]}", c) for c in present] if len(present) > 1 else []
    slices = {}
    for name, road_user in wanted:
        parts = [collector.metrics(part, road_user) for part in matched]
        slices[name] = {
            metric: Widened(parts[0][metric], tuple(part[metric] for part in parts[1:]), collector.margin(metric))
            if reach > 0 else parts[0][metric]
            for metric in parts[0]
        } | collector.fixed(matches, frame_s)  # fmt: skip
        slices[name] = {metric: slices[name][metric] for metric in CAMERA_METRICS}
    latency = collector.latencies(matches)
    return CameraEvaluation(
        slices,
        matches,
        latency,
        collector.uncertainty(matches, frame_s),
        clocks,
        frame_s,
        reach,
        collector.clips,
        settings.resamples,
        (*collector.notes(matches), *_repeats(sent, len(signals.time_ns), settings)),
        settings.unseen,
    )


class _Run:
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

    def metrics(self, matches: SignalMatches, road_user: int | None) -> dict[str, Estimate]:
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
        false_positives = np.isin(outcome, (SignalOutcome.EARLY, SignalOutcome.FALSE_ALARM))
        result |= self._shares(mine, found, self._per_clip(matches.media_s[false_positives]), known=known)
        for metric, what in (
            ("false_alarm_signals", SignalOutcome.FALSE_ALARM),
            ("early_signals", SignalOutcome.EARLY),
            ("duplicate_signals", SignalOutcome.DUPLICATE),
        ):
            result[metric] = Fixed(float((outcome == what).sum()) if known else None, int(here.sum()), "signals")
        return result

    def _shares(self, mine: Bools, found: Bools, false_positives: Floats, *, known: bool) -> dict[str, Estimate]:
        """What follows from sums over clips, each with the tracks that begin in it and its false signals."""
        true_positives = self._per_clip(self.road_users.first_s[found])
        tracks = self._per_clip(self.road_users.first_s[mine])
        assumed, minutes = self.settings.unseen, float(self.minutes.max())
        most = assumed.truths(tracks)
        unseen = np.array(
            [[0.0, assumed.false_positives(false_positives, self.frames), most, minutes], [most, 0.0, most, minutes]]
        )
        table = np.column_stack([true_positives, false_positives, tracks, self.minutes])
        resting = {
            "track_recall": int(np.count_nonzero(tracks)),
            "precision": int(np.count_nonzero(true_positives + false_positives)),
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
            "latency_uncertainty_ms": Fixed(largest, int(found.sum()), "tracks"),
            "ambiguous_detections": Fixed(float(matches.ambiguous), int(found.sum()), "tracks"),
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
        return clip_of(when, self.video_s[0], self.settings.clip_seconds).clip(0, self.clips - 1)

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
    true_positives, false_positives, tracks, minutes = sums.T
    return {
        "track_recall": ratio(true_positives, tracks),
        "precision": ratio(true_positives, true_positives + false_positives),
        "false_alarms_per_minute": ratio(false_positives, minutes),
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
