"""All figures that a protocol asks for, with their intervals, per slice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vru.domain import VruError
from vru.domain.slices import ALL
from vru.evaluation.core.settings import SMALLEST_N, EvaluationSettings
from vru.evaluation.core.tables import Bools, DataSet, Floats, Ints
from vru.evaluation.dataset.conditions import Conditions
from vru.evaluation.dataset.job import Job
from vru.evaluation.dataset.prepare import evaluated_labels, prepared, setup_view
from vru.evaluation.dataset.protocol import Protocol
from vru.evaluation.dataset.slice_views import Cut, cuts
from vru.evaluation.detection.calibration import calibration_of, error_replicates
from vru.evaluation.detection.coco import MOST, OVERLAPS, CocoFigures, match_coco, measure, measure_after
from vru.evaluation.detection.kitti import kitti
from vru.evaluation.detection.lead import Lead
from vru.evaluation.detection.miss_rate import miss_rate
from vru.evaluation.detection.operating_point import PointCounts, contributing, counts_at, rates, unseen_counts
from vru.evaluation.detection.outcomes import Outcomes, View, match_all
from vru.evaluation.detection.tide import Tide, tide
from vru.evaluation.statistics.estimates import Estimate, Replicates, Resampled, Unbounded
from vru.evaluation.statistics.resampling import Drawn, Units, redrawn, resampled, units_of
from vru.evaluation.video.curves import Curve, data_set_curves, detected_in_time
from vru.evaluation.video.latency import TrackOutcome

# Beyond so many classes, intervals for each of them would cost more than they say.
_MOST_CLASSES = 10


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured: estimates by slice and metric, the units behind them, and what limits them.

    ``counted`` are the truth boxes that the headline view counts, ``missed`` those of them that nothing found, as
    places in ``data``'s truth; ``false_alarms`` are places among its detections. Slices that fewer than ``smallest_n``
    units show decide nothing. ``assumption`` says on what it rests that the units are independent, where the files do
    not say it.
    """

    slices: Mapping[str, Mapping[str, Estimate]]
    units: Units
    resamples: int
    notes: tuple[str, ...]
    tide: Tide | None = None
    missed: Ints | None = None
    false_alarms: Ints | None = None
    data: DataSet | None = None
    counted: Ints | None = None
    tracks: tuple[TrackOutcome, ...] = ()
    curves: tuple[Curve, ...] = ()
    smallest_n: int = SMALLEST_N
    assumption: str = ""


def measure_all(
    data: DataSet,
    protocol: Protocol,
    *,
    times: Sequence[float] | None = None,
    resamples: int | None = None,
    seed: int = 0,
    seconds: float = 3.0,
    least: int = 0,
    decides: bool = True,
    errors: bool = False,
    pixels: bool = True,
    slices: Sequence[str] = (),
    conditions: Conditions | None = None,
) -> Figures:
    """Everything that the protocol asks for, on "all", on each class and setup, and on the ``slices``: kinds such as
    ``size`` or ``light`` (see ``cuts.cuts``), with the ``conditions`` that say which picture is what.

    ``times`` are the media seconds of the pictures of videos. ``resamples`` is how many rows of weights are drawn;
    without it as many as fit into about ``seconds``, and ``least`` in any case, fewer where nothing ``decides`` by
    them. ``errors`` adds TIDE's analysis. ``pixels`` is whether boxes are in pixels: otherwise figures of sizes are not
    determined.

    Raises:
        VruError: the data do not fit the protocol.
    """
    # Tracks are not cut into clips.
    units = units_of(data, None if protocol.task == "tracking" else times)
    conditions = conditions or Conditions()
    job = Job(data, protocol, units, resamples, seed, seconds, least, decides)
    job.slices[ALL] = {}
    if not data.pictures:
        raise VruError("The truth has no picture.", "Is it the right file?")
    if protocol.task == "tracking":
        # Imported only where it is needed: scipy takes as long as measuring a data set.
        from vru.evaluation.dataset.tracking_metrics import tracking_figures

        tracking_figures(job, slices, conditions)
        seen, ignored = prepared(data, protocol)
        view = View(ALL, ~ignored, np.ones(len(seen.found), dtype=bool))
        outcomes = match_all(seen, (protocol.overlap,), (view,), regions=seen.truth.crowd, most=None)
        # A tracker has made its own choice: all its boxes count.
        return _finished(job, outcomes, (0, 0), -np.inf)
    if protocol.task == "kitti":
        if slices:
            raise VruError("KITTI's figures have slices of their own: easy, moderate, hard.", "Use another protocol.")
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
    if slices:
        _cuts(job, outcomes, headline[0], *cuts(seen, outcomes.views[headline[0]], slices, conditions, pixels=pixels))
    if "calibration" in protocol.figures:
        _calibration(job, outcomes, *headline)
    if "video" in protocol.figures:
        _videos(job, seen, times)
    _note_unknown(job, seen)
    if not pixels:
        _forget_sizes(job)
    analysis = tide(seen, ignored, foreground=protocol.overlap) if errors else None
    curves = data_set_curves(outcomes, *headline, miss_rates="miss_rate" in protocol.figures)
    in_time = detected_in_time(job.tracks)
    curves += (in_time,) if in_time else ()
    return _finished(job, outcomes, headline, protocol.score_threshold, analysis, curves)


def _finished(
    job: Job,
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
        tuple(dict.fromkeys((*job.notes, *([job.unseen.sentence(job.units.name)] if job.used else ())))),
        tide=errors,
        missed=outcomes.missed(*headline, score),
        false_alarms=outcomes.false_alarms(*headline, score),
        data=outcomes.data,
        counted=np.flatnonzero(outcomes.counted_truth(headline[0])),
        tracks=job.tracks,
        curves=curves,
        smallest_n=job.protocol.smallest_n,
    )


def _coco(job: Job, outcomes: Outcomes) -> None:
    figures = measure(outcomes)
    labels = list(figures.labels) if len(figures.labels) > 1 else []
    with_intervals = labels if len(labels) <= _MOST_CLASSES else []

    def summaries(of: CocoFigures) -> dict[str, dict[str, float | None]]:
        return {ALL: of.summary()} | {f"class:{label}": of.summary(label) for label in with_intervals}

    leads = _leads(job, outcomes) if job.resamples != 0 else ()

    def of_row(seen: Floats, unseen: float) -> list[dict[str, float | None]]:
        weighted = seen[job.units.of_picture]
        parts = measure_after(outcomes, weighted, (None, *(lead * unseen for lead in leads)))
        return [_flat(summaries(part)) for part in parts]

    count = job.affordable(lambda: of_row(np.ones(job.units.count), 1.0), outcomes.outcome.size)
    if not count and job.resamples is None:
        job.notes.append(
            "The data set is too large for intervals of average precision in the time; --resamples has them."
        )
    drawn = redrawn(job.draws(count), of_row)
    job.put_all(ALL, outcomes, figures, drawn, None)
    for number, label in enumerate(labels):
        job.put_all(f"class:{label}", outcomes, figures, drawn, number)


def _flat(summaries: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    return {f"{name}/{metric}": value for name, summary in summaries.items() for metric, value in summary.items()}


def _leads(job: Job, outcomes: Outcomes) -> tuple[Lead, Lead]:
    """The worst unit that may not have been seen (all missed, and false boxes before all others), and the best."""
    views, labels = len(outcomes.views), len(outcomes.data.labels)
    truths = np.array(
        [[job.unseen.truths(job.truths(outcomes, view, label)) for label in range(labels)] for view in range(views)]
    ).reshape(views, labels)
    nothing = np.zeros((views, labels))
    found = counts_at(outcomes, 0, 0, job.protocol.score_threshold).wrong
    frames = job.frames()
    wrong = np.full((views, labels), job.unseen.wrong(job.units.sums(found[:, None])[:, 0], frames))
    pictures = float(frames.max())
    return Lead(nothing, wrong, truths, pictures), Lead(truths, nothing, truths, pictures)


def _point(job: Job, outcomes: Outcomes, view: int, overlap: int, slice_: str, *, by_class: bool) -> None:
    labels: list[tuple[str, int | None]] = [(slice_, None)]
    if by_class and len(outcomes.data.labels) > 1:
        labels += [(f"class:{label}", number) for number, label in enumerate(outcomes.data.labels)]
    counts = {name: counts_at(outcomes, view, overlap, job.protocol.score_threshold, label) for name, label in labels}
    few = len(counts) <= _MOST_CLASSES + 1
    _put_counts(job, counts if few else {slice_: counts.pop(slice_)}, job.sums())
    if not few:
        _put_counts(job, counts, 0)


def _put_counts(job: Job, counts: Mapping[str, PointCounts], resamples: int) -> None:
    """The figures of several slices at once: they share their resamples."""
    tables = [job.units.sums(of.table()) for of in counts.values()]
    unseen = [unseen_counts(table, job.unseen) for table in tables]
    found = resampled(job.draws(resamples), np.hstack(tables), _rates_of(list(counts)), np.hstack(unseen))
    figures = _per_slice(found)
    for name, table in zip(counts, tables, strict=True):
        resting = contributing(table)
        for metric, figure in figures[name].items():
            job.put(name, metric, figure, resting[metric])


def _cuts(job: Job, outcomes: Outcomes, base: int, chosen: Sequence[Cut], notes: Sequence[str]) -> None:
    """The figures of each cut of what the view ``base`` counts; those that count false positives only where one can
    tell which belong to it.
    """
    job.notes += notes
    protocol, averaged = job.protocol, "coco" in job.protocol.figures
    overlaps = OVERLAPS if averaged else (protocol.overlap,)
    views = [cut.view for cut in chosen]
    most = MOST[-1] if averaged else protocol.most
    matched = match_all(outcomes.data, overlaps, views, regions=outcomes.regions, most=most)
    overlap = int(np.argmin(np.abs(np.array(overlaps) - protocol.overlap)))
    if averaged:
        _precision_of_cuts(job, matched)
    counts = {
        cut.view.name: counts_at(matched, view, overlap, protocol.score_threshold, pictures=cut.pictures)
        for view, cut in enumerate(chosen)
    }
    _put_counts(job, counts, job.sums())
    for view, cut in enumerate(chosen):
        if "miss_rate" in protocol.figures:
            _miss_rate(job, matched, view, overlap, cut.view.name, cut.pictures)
        mine = job.slices[cut.view.name]
        for metric in () if cut.false_positives else [name for name in mine if name != "recall"]:
            mine[metric] = Unbounded(None, mine[metric].n, job.units.name)


def _precision_of_cuts(job: Job, matched: Outcomes) -> None:
    names = [view.name for view in matched.views]

    def figures(of: CocoFigures) -> dict[str, float | None]:
        return {
            f"{name}/{metric}": of.average_precision(name, overlap=overlap)
            for name in names
            for metric, overlap in (("ap", None), ("ap50", 0.5))
        }

    leads = _leads(job, matched)

    def of_row(seen: Floats, unseen: float) -> list[dict[str, float | None]]:
        parts = measure_after(matched, seen[job.units.of_picture], (None, *(lead * unseen for lead in leads)))
        return [figures(part) for part in parts]

    count = job.affordable(lambda: of_row(np.ones(job.units.count), 1.0), matched.outcome.size)
    drawn = redrawn(job.draws(count), of_row)
    for key, value in figures(measure(matched)).items():
        name, _, metric = key.rpartition("/")
        replicates = drawn.get(key, Replicates())
        job.put(name, metric, Drawn(value, replicates), job.shown(matched, matched.view(name)))


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


def _miss_rate(
    job: Job, outcomes: Outcomes, view: int, overlap: int, slice_: str, pictures: Floats | None = None
) -> None:
    """The mean over the classes that have truth. ``pictures`` are those of the slice; all if it is None."""
    belonging = np.ones(job.data.pictures) if pictures is None else pictures
    leads = _leads(job, outcomes)

    def mean(weights: Floats, lead: Lead | None = None) -> float:
        points = job.protocol.fppi_points
        rates = [
            miss_rate(outcomes, view, overlap, label, points, weights * belonging, lead).log_average
            for label in range(len(outcomes.data.labels))
        ]
        known = [rate for rate in rates if rate is not None]
        return float(np.mean(known)) if known else np.nan

    def of_row(seen: Floats, unseen: float) -> list[dict[str, float | None]]:
        weights = seen[job.units.of_picture]
        return [{"lamr": mean(weights, lead)} for lead in (None, *(lead * unseen for lead in leads))]

    value = mean(np.ones(job.data.pictures))
    count = job.affordable(lambda: of_row(np.ones(job.units.count), 1.0), outcomes.outcome[view].size)
    drawn = redrawn(job.draws(count), of_row)
    figure = Drawn(None if np.isnan(value) else value, drawn.get("lamr", Replicates()))
    job.put(slice_, "lamr", figure, job.shown(outcomes, view))


def _setups(job: Job, seen: DataSet, ignored: Bools) -> Outcomes:
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


def _videos(job: Job, seen: DataSet, times: Sequence[float] | None) -> None:
    """What a validation run measures, where the data set is of videos of road users: it takes the place of the like
    figures, because its clips know tracks.
    """
    if times is None:
        job.notes.append("The pictures have no times: there are no figures of time, such as latency and false alarms.")
        return
    from vru.evaluation.dataset.videos import evaluate_videos

    settings = EvaluationSettings(
        score_threshold=job.protocol.score_threshold,
        iou_threshold=job.protocol.overlap,
        resamples=max(1000 if job.resamples is None else job.resamples, 100),
        seed=job.seed,
        reasonable_height=job.protocol.reasonable_height,
        unseen=job.unseen,
    )
    found = evaluate_videos(seen, times, settings)
    job.slices[ALL] = {**found.estimates, **job.slices[ALL]} | dict(found.estimates)
    job.notes += found.notes
    job.tracks = found.tracks


def _calibration(job: Job, outcomes: Outcomes, view: int, overlap: int) -> None:
    score = outcomes.data.found.score
    if len(score) and not (score.min() >= 0 and score.max() <= 1):
        job.notes.append(
            "The confidences are not from 0 to 1: there is no calibration error, and precision and recall count "
            f"detections from {job.protocol.score_threshold:g} on (--score)."
        )
        return
    draws = job.draws(job.sums())
    found = outcomes.data.found
    counted = outcomes.kept[outcomes.outcome[view, overlap] >= 0]
    unit = job.units.of_picture[found.picture[counted]]
    wrong = job.unseen.wrong(np.bincount(unit, minlength=job.units.count).astype(np.float64), job.frames())
    for name, adaptive in (("ece", False), ("ece_adaptive", True)):
        of = calibration_of(outcomes, view, overlap, bins=job.protocol.bins, adaptive=adaptive)
        replicates = error_replicates(of, unit, draws, wrong)
        job.slices[ALL][name] = Resampled(of.error, len(np.unique(unit)), replicates, job.units.name)


def _kitti(job: Job) -> None:
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
                estimate = Unbounded(value, shown, job.units.name)
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
    own = {metric: Unbounded(value, job.units.count, job.units.name) for metric, value in averages.items()}
    job.slices[ALL] = {**dict(reversed(own.items())), **job.slices[ALL]}
    job.notes.append("KITTI's average precision depends on where all confidences lie; it has no interval here.")


def _forget_sizes(job: Job) -> None:
    """Boxes are shares of pictures of unknown size: nobody knows which are small."""
    for estimates in job.slices.values():
        for metric in [name for name in estimates if name.endswith(("_small", "_medium", "_large"))]:
            estimates[metric] = Unbounded(None, job.units.count, job.units.name)
    job.notes.append("The size of the pictures is not known, so there are no figures by size; --size gives it.")


def _note_unknown(job: Job, seen: DataSet) -> None:
    """Say what the truth leaves open."""
    asks = any(setup.occlusion is not None for setup in job.protocol.setups.values())
    # A box that is said not to be occluded has a share hidden of 0, also where no file says the share.
    unknown = int((np.isnan(seen.truth.occlusion) & (seen.truth.occlusion_level != 0)).sum())
    told = any("how much of them is hidden" in note for note in job.notes)
    if asks and unknown and not told:
        job.notes.append(f"{unknown} truth boxes do not say how much of them is hidden: they count as not hidden.")
    if "ignore" not in job.protocol.ignore_marks and job.data.truth.ignore.any():
        marked = int(job.data.truth.ignore.sum())
        job.notes.append(
            f"{marked} truth boxes are marked ignore; the protocol {job.protocol.name} counts them like any other."
        )
