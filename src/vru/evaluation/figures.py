"""All figures that a protocol asks for, with their intervals, per slice."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vru.domain import VruError
from vru.evaluation.calibration import calibration_of
from vru.evaluation.coco import AREAS, CocoFigures, match_coco, measure
from vru.evaluation.curves import Curve, data_set_curves, detected_in_time
from vru.evaluation.data_sets import evaluated_labels, prepared, setup_view
from vru.evaluation.estimates import Estimate, Rate
from vru.evaluation.kitti import kitti
from vru.evaluation.latency import TrackOutcome
from vru.evaluation.miss_rate import miss_rate
from vru.evaluation.operating_point import contributing, counts_at, rates
from vru.evaluation.outcomes import Outcomes, View, match_all
from vru.evaluation.protocol import Protocol
from vru.evaluation.resampling import Counted, Drawn, Spread, Units, affordable, redrawn, resampled, share, units_of
from vru.evaluation.settings import SMALLEST_N, EvaluationSettings
from vru.evaluation.tables import Bools, DataSet, Floats, Ints
from vru.evaluation.tide import Tide, tide
from vru.evaluation.tracking import (
    ClearCounts,
    HotaCounts,
    IdentityCounts,
    TrackingRules,
    clear,
    clear_rates,
    hota,
    hota_rates,
    identity,
    identity_rates,
    sequences_of,
)
from vru.evaluation.videos import evaluate_video

ALL = "all"
# Beyond so many classes, intervals for each of them would cost more than they say.
_MOST_CLASSES = 10
# Efron and Tibshirani 1993 ask for 1,000 or more behind BCa's bounds.
_RESAMPLES = 2000
_UNBOUNDED = {"mota", "moda", "motal", "smota"}
_COUNTS = {"id_switches", "fragmentations"}
Estimates = dict[str, Estimate]
_Redrawn = Mapping[str, tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured: estimates by slice and metric, the units behind them, and what limits them.

    ``counted`` are the truth boxes that the headline view counts, ``missed`` those of them that nothing found, as
    places in ``data``'s truth. Slices that fewer than ``smallest_n`` units show decide nothing.
    """

    slices: Mapping[str, Mapping[str, Estimate]]
    units: Units
    resamples: int
    notes: tuple[str, ...]
    tide: Tide | None = None
    missed: Ints | None = None
    data: DataSet | None = None
    counted: Ints | None = None
    tracks: tuple[TrackOutcome, ...] = ()
    curves: tuple[Curve, ...] = ()
    smallest_n: int = SMALLEST_N


@dataclass(slots=True)
class _Job:
    """A data set under a protocol."""

    data: DataSet
    protocol: Protocol
    units: Units
    resamples: int | None
    seed: int
    seconds: float
    least: int = 0
    slices: dict[str, Estimates] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    used: int = 0
    tracks: tuple[TrackOutcome, ...] = ()

    def affordable(self, one: Callable[[], object]) -> int:
        """How many resamples to draw of what ``one`` computes."""
        count = affordable(one, self.resamples, self.seconds, time.process_time, self.least)
        self.used = max(self.used, count)
        return count

    def sums(self) -> int:
        """How many resamples to draw of what follows from sums."""
        count = _RESAMPLES if self.resamples is None else self.resamples
        self.used = max(self.used, count)
        return count

    def put(self, slice_: str, metric: str, figure: Drawn, count: int, rate: tuple[float, float] | None = None) -> None:
        """Take a figure that rests on ``count`` units: those that show the slice. ``rate`` are events and exposure,
        where it is a rate of events.
        """
        units, value = self.units.name, figure.value
        estimate: Estimate
        if metric in _COUNTS:
            estimate = Counted(value, count, units)
        elif metric in _UNBOUNDED:
            estimate = Spread(value, count, figure.replicates, units, figure.influences)
        elif rate is not None and len(figure.replicates) and count > 1:
            estimate = Rate(*rate, count, figure.replicates, units, figure.influences)
        elif rate is not None:
            estimate = Counted(value, count, units)
        else:
            estimate = share(figure, self.units, count)
        self.slices.setdefault(slice_, {})[metric] = estimate

    def put_all(self, slice_: str, outcomes: Outcomes, of: CocoFigures, drawn: _Redrawn, label: int | None) -> None:
        """Take COCO's figures of all classes, or of one; they were resampled picture by picture."""
        summary = of.summary(None if label is None else of.labels[label])
        for metric, value in summary.items():
            size = metric.rpartition("_")[2]
            shown = self.shown(outcomes, outcomes.view(size if size in AREAS else ALL), label)
            self.put(slice_, metric, Drawn(value, *drawn.get(f"{slice_}/{metric}", ())), shown)

    def shown(self, outcomes: Outcomes, view: int, label: int | None = None) -> int:
        """How many units have a truth box that counts in the view, of all classes or of one."""
        counted = outcomes.counted_truth(view)
        if label is not None:
            counted = counted & (outcomes.data.truth.label == label)
        return self.units.showing(outcomes.data.truth.picture[counted])


def measure_all(
    data: DataSet,
    protocol: Protocol,
    *,
    times: Sequence[float] | None = None,
    resamples: int | None = None,
    seed: int = 0,
    seconds: float = 3.0,
    least: int = 0,
    errors: bool = False,
    pixels: bool = True,
) -> Figures:
    """Everything that the protocol asks for, on "all" and on each class and setup.

    ``times`` are the media seconds of the pictures of a single video. ``resamples`` is the bootstrap's number of
    resamples; without it as many as fit into about ``seconds``, and ``least`` in any case. ``errors`` adds TIDE's
    analysis. ``pixels`` is whether boxes are in pixels: otherwise figures of sizes are not determined.

    Raises:
        VruError: the data do not fit the protocol.
    """
    # Tracks are not cut into clips.
    units = units_of(data, None if protocol.task == "tracking" else times)
    job = _Job(data, protocol, units, resamples, seed, seconds, least)
    job.slices[ALL] = {}
    if not data.pictures:
        raise VruError("The truth has no picture.", "Is it the right file?")
    if protocol.task == "tracking":
        _tracking(job)
        seen, ignored = prepared(data, protocol)
        view = View(ALL, ~ignored, np.ones(len(seen.found), dtype=bool))
        outcomes = match_all(seen, (protocol.overlap,), (view,), regions=seen.truth.crowd, most=None)
        # A tracker has made its own choice: all its boxes count.
        return _finished(job, outcomes, (0, 0), -np.inf)
    if protocol.task == "kitti":
        _kitti(job)
        return Figures(job.slices, job.units, 0, tuple(job.notes), smallest_n=protocol.smallest_n)
    seen, ignored = prepared(data, protocol)
    if "coco" in protocol.figures:
        outcomes = match_coco(seen, ignored=ignored)
        _coco(job, outcomes)
        headline = outcomes.view(ALL), int(np.argmin(np.abs(np.array(outcomes.overlaps) - protocol.overlap)))
        _point(job, outcomes, *headline, ALL, by_class=True)
        if "miss_rate" in protocol.figures:
            _miss_rate(job, outcomes, *headline, ALL)
    else:
        outcomes = _setups(job, seen, ignored)
        headline = 0, 0
    if "calibration" in protocol.figures:
        _calibration(job, outcomes, *headline)
    if "video" in protocol.figures and times is not None:
        _video(job, times)
    _note_unknown(job, seen)
    if not pixels:
        _forget_sizes(job)
    analysis = tide(seen, ignored, foreground=protocol.overlap) if errors else None
    curves = data_set_curves(outcomes, *headline, miss_rates="miss_rate" in protocol.figures)
    in_time = detected_in_time(job.tracks)
    curves += (in_time,) if in_time else ()
    return _finished(job, outcomes, headline, protocol.score_threshold, analysis, curves)


def _finished(
    job: _Job,
    outcomes: Outcomes,
    headline: tuple[int, int],
    score: float,
    errors: Tide | None = None,
    curves: tuple[Curve, ...] = (),
) -> Figures:
    return Figures(
        job.slices,
        job.units,
        job.used,
        tuple(job.notes),
        tide=errors,
        missed=outcomes.missed(*headline, score),
        data=outcomes.data,
        counted=np.flatnonzero(outcomes.counted_truth(headline[0])),
        tracks=job.tracks,
        curves=curves,
        smallest_n=job.protocol.smallest_n,
    )


def _coco(job: _Job, outcomes: Outcomes) -> None:
    figures = measure(outcomes)
    ones = np.ones(job.data.pictures)
    labels = list(figures.labels) if len(figures.labels) > 1 else []
    with_intervals = labels if len(labels) <= _MOST_CLASSES else []

    def summaries(of: CocoFigures) -> dict[str, dict[str, float | None]]:
        return {ALL: of.summary()} | {f"class:{label}": of.summary(label) for label in with_intervals}

    count = job.affordable(lambda: summaries(measure(outcomes, ones)))
    if not count and job.resamples is None:
        job.notes.append(
            "The data set is too large for intervals of average precision in the time; --resamples has them."
        )
    drawn = redrawn(
        job.units,
        lambda weights: {
            f"{name}/{metric}": value
            for name, summary in summaries(measure(outcomes, weights)).items()
            for metric, value in summary.items()
        },
        count,
        job.seed,
    )
    job.put_all(ALL, outcomes, figures, drawn, None)
    for number, label in enumerate(labels):
        job.put_all(f"class:{label}", outcomes, figures, drawn, number)


def _point(job: _Job, outcomes: Outcomes, view: int, overlap: int, slice_: str, *, by_class: bool) -> None:
    labels: list[tuple[str, int | None]] = [(slice_, None)]
    if by_class and len(outcomes.data.labels) > 1:
        labels += [(f"class:{label}", number) for number, label in enumerate(outcomes.data.labels)]
    counts = {name: counts_at(outcomes, view, overlap, job.protocol.score_threshold, label) for name, label in labels}
    resting = {name: contributing(job.units.sums(of.table())) for name, of in counts.items()}
    # All slices at once: they share their resamples.
    for names in (list(counts),) if len(counts) <= _MOST_CLASSES + 1 else ([slice_], list(counts)[1:]):
        table = job.units.sums(np.column_stack([counts[name].table() for name in names]))
        count = job.sums() if slice_ in names else 0
        for name, figures in _per_slice(resampled(job.units, table, _rates_of(names), count, job.seed)).items():
            for metric, figure in figures.items():
                wrong, pictures = float(counts[name].wrong.sum()), float(job.data.pictures)
                rate = (wrong, pictures) if metric == "fppi" else None
                job.put(name, metric, figure, resting[name][metric], rate)


def _rates_of(names: Sequence[str]) -> Callable[[Floats], dict[str, Floats]]:
    """The figures of several slices, whose four columns each stand side by side."""

    def of(sums: Floats) -> dict[str, Floats]:
        parts = zip(names, np.split(sums, len(names), axis=1), strict=True)
        return {f"{name}/{metric}": values for name, part in parts for metric, values in rates(part).items()}

    return of


def _per_slice(figures: Mapping[str, Drawn]) -> dict[str, dict[str, Drawn]]:
    result: dict[str, dict[str, Drawn]] = {}
    for key, figure in figures.items():
        slice_, _, metric = key.rpartition("/")
        result.setdefault(slice_, {})[metric] = figure
    return result


def _miss_rate(job: _Job, outcomes: Outcomes, view: int, overlap: int, slice_: str) -> None:
    """The mean over the classes that have truth."""

    def mean(weights: Floats | None) -> float:
        rates = [
            miss_rate(outcomes, view, overlap, label, job.protocol.fppi_points, weights).log_average
            for label in range(len(outcomes.data.labels))
        ]
        known = [rate for rate in rates if rate is not None]
        return float(np.mean(known)) if known else np.nan

    value = mean(None)
    count = job.affordable(lambda: mean(np.ones(job.data.pictures)))
    drawn = redrawn(job.units, lambda weights: {"lamr": mean(weights)}, count, job.seed)
    figure = Drawn(None if np.isnan(value) else value, *drawn.get("lamr", ()))
    job.put(slice_, "lamr", figure, job.shown(outcomes, view))


def _setups(job: _Job, seen: DataSet, ignored: Bools) -> Outcomes:
    """Each setup matched by itself; the headline's outcomes. Without setups there is one, of everything."""
    protocol = job.protocol
    views = [setup_view(seen, name, setup, ignored, protocol.expand) for name, setup in protocol.setups.items()]
    whole = not views
    if whole:
        views = [View(ALL, ~ignored, np.ones(len(seen.found), dtype=bool))]
    result = None
    for view in views:
        regions = seen.truth.crowd
        if protocol.ignored_truth == "regions":
            regions = regions | ~view.truth_counts
        outcomes = match_all(seen, (protocol.overlap,), (view,), regions=regions, most=protocol.most)
        # A setup may be called "all", too.
        slice_ = ALL if whole else f"setup:{view.name}"
        if "miss_rate" in protocol.figures:
            _miss_rate(job, outcomes, 0, 0, slice_)
            if not whole:
                job.slices[ALL][f"lamr_{view.name}"] = job.slices[slice_]["lamr"]
        if "point" in protocol.figures:
            _point(job, outcomes, 0, 0, slice_, by_class=whole)
        if whole or view.name == protocol.headline:
            result = outcomes
            job.slices[ALL] = {**job.slices[slice_], **job.slices[ALL]}
    assert result is not None  # noqa: S101 - the headline is one of the setups
    return result


def _video(job: _Job, times: Sequence[float]) -> None:
    """What a validation run measures, where the data set is one video of road users: it takes the place of the like
    figures, because its intervals know tracks.
    """
    settings = EvaluationSettings(
        score_threshold=job.protocol.score_threshold,
        iou_threshold=job.protocol.overlap,
        resamples=max(1000 if job.resamples is None else job.resamples, 100),
        seed=job.seed,
        reasonable_height=job.protocol.reasonable_height,
    )
    evaluation = evaluate_video(job.data, times, settings)
    if evaluation is not None:
        job.slices[ALL] = {**evaluation.overall.estimates, **job.slices[ALL]} | dict(evaluation.overall.estimates)
        job.notes += evaluation.notes
        job.tracks = evaluation.overall.tracks


def _calibration(job: _Job, outcomes: Outcomes, view: int, overlap: int) -> None:
    score = outcomes.data.found.score
    if len(score) and not (score.min() >= 0 and score.max() <= 1):
        job.notes.append("The confidences are not from 0 to 1: there is no calibration error.")
        return
    for name, adaptive in (("ece", False), ("ece_adaptive", True)):
        error = calibration_of(outcomes, view, overlap, bins=job.protocol.bins, adaptive=adaptive).error
        # A resample is always calibrated worse than the whole: its percentiles would be no interval.
        said = job.units.showing(outcomes.data.found.picture[outcomes.kept[outcomes.outcome[view, overlap] >= 0]])
        job.slices[ALL][name] = Counted(error, said, job.units.name)


def _kitti(job: _Job) -> None:
    protocol = job.protocol
    labels = evaluated_labels(job.data, protocol)
    region = next(iter(protocol.region_classes), "DontCare")
    means: dict[str, list[float]] = {}
    truth = job.data.truth
    for label in labels:
        shown = job.units.showing(truth.picture[truth.label == job.data.labels.index(label)])
        for name, difficulty in protocol.difficulties.items():
            figures = kitti(
                job.data,
                label,
                difficulty,
                overlap=protocol.overlap_of.get(label, protocol.overlap),
                neighbours=protocol.neighbours.get(label, frozenset()),
                regions=region,
            )
            for prefix, value in (("ap", figures.ap_40), ("ap11", figures.ap_11)):
                estimate = Counted(value, shown, job.units.name)
                job.slices[ALL][f"{prefix}_{label.lower()}_{name}"] = estimate
                job.slices.setdefault(f"class:{label}", {})[f"{prefix}_{name}"] = estimate
                if value is not None:
                    means.setdefault(f"{prefix}_{name}", []).append(value)
    averages = {
        f"{prefix}_{name}": float(np.mean(means[f"{prefix}_{name}"])) if f"{prefix}_{name}" in means else None
        for prefix in ("ap", "ap11")
        for name in protocol.difficulties
    }
    averages["ap"] = averages[f"ap_{protocol.headline}"]
    own = {metric: Counted(value, job.units.count, job.units.name) for metric, value in averages.items()}
    job.slices[ALL] = {**dict(reversed(own.items())), **job.slices[ALL]}
    job.notes.append("KITTI's average precision depends on where all confidences lie; it has no interval here.")


def _tracking(job: _Job) -> None:
    protocol = job.protocol
    rules = TrackingRules(protocol.distractors, protocol.overlap)
    labels = evaluated_labels(job.data, protocol)
    parts: dict[str, list[tuple[ClearCounts, IdentityCounts, HotaCounts]]] = {}
    for label in labels:
        parts[label] = [
            (clear(item, protocol.overlap)[0], identity(item, protocol.overlap), hota(item))
            for item in sequences_of(job.data, label, rules)
        ]
    _put_tracking(job, ALL, list(parts.values()))
    for label in labels if len(labels) > 1 else ():
        _put_tracking(job, f"class:{label}", [parts[label]])


def _put_tracking(job: _Job, slice_: str, classes: list[list[tuple[ClearCounts, IdentityCounts, HotaCounts]]]) -> None:
    """Counts of all classes added up, sequence by sequence; sequences are drawn again."""
    sequences = [list(of) for of in zip(*classes, strict=True)]
    totals = [ClearCounts.total(part[0] for part in parts) for parts in sequences]
    clears = np.array([total.row() for total in totals])
    identities = np.array([IdentityCounts.total(part[1] for part in parts).row() for parts in sequences])
    hotas = np.array([HotaCounts.total(part[2] for part in parts).row() for parts in sequences])
    of = {"clear": (clears, clear_rates), "identity": (identities, identity_rates), "hota": (hotas, hota_rates)}
    # One sequence says nothing about others.
    count = job.sums() if len(sequences) > 1 else 0
    units = Units("sequences", np.arange(len(sequences)), len(sequences))
    exposure = ClearCounts.total(totals)
    # Sums of each sequence: hits, false positives, truth boxes, frames.
    point = [[part.hits, part.wrong, part.hits + part.misses, part.frames] for part in totals]
    resting = contributing(np.array(point, dtype=np.float64))
    # A sequence without truth says nothing about how its road users are followed.
    shown = resting["recall"]
    for name in job.protocol.figures:
        for metric, figure in resampled(units, *of[name], count, job.seed).items():
            rate = (float(exposure.wrong), float(exposure.frames)) if metric == "fppi" else None
            job.put(slice_, metric, figure, resting.get(metric, shown), rate)


def _forget_sizes(job: _Job) -> None:
    """Boxes are shares of pictures of unknown size: nobody knows which are small."""
    for estimates in job.slices.values():
        for metric in [name for name in estimates if name.endswith(("_small", "_medium", "_large"))]:
            estimates[metric] = Counted(None, job.units.count, job.units.name)
    job.notes.append("The size of the pictures is not known, so there are no figures by size; --size gives it.")


def _note_unknown(job: _Job, seen: DataSet) -> None:
    """Say what the truth leaves open."""
    asks = any(setup.occlusion is not None for setup in job.protocol.setups.values())
    unknown = int(np.isnan(seen.truth.occlusion).sum())
    if asks and unknown:
        job.notes.append(f"{unknown} truth boxes do not say how much of them is hidden: they count as not hidden.")
    if "ignore" not in job.protocol.ignore_marks and job.data.truth.ignore.any():
        marked = int(job.data.truth.ignore.sum())
        job.notes.append(
            f"{marked} truth boxes are marked ignore; the protocol {job.protocol.name} counts them like any other."
        )
