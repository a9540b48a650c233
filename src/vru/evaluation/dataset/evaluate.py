"""All figures that a protocol asks for, with their intervals, per slice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vru.domain import VruError
from vru.domain.slices import ALL
from vru.evaluation.core.settings import SMALLEST_N, EvaluationSettings, UnseenUnit
from vru.evaluation.core.tables import DataSet, Ints
from vru.evaluation.dataset.at_confidence import calibration_metrics, point_metrics
from vru.evaluation.dataset.average_precision import coco_metrics
from vru.evaluation.dataset.benchmarks import kitti_metrics, miss_rate_metrics, setup_metrics
from vru.evaluation.dataset.collector import EstimateCollector
from vru.evaluation.dataset.conditions import Conditions
from vru.evaluation.dataset.prepare import prepared
from vru.evaluation.dataset.protocol import Protocol
from vru.evaluation.dataset.slice_metrics import slice_metrics
from vru.evaluation.dataset.slice_views import slice_views
from vru.evaluation.detection.coco import match_coco
from vru.evaluation.detection.outcomes import Outcomes, View, match_all
from vru.evaluation.detection.tide import Tide, tide
from vru.evaluation.statistics.estimates import Estimate, Unbounded
from vru.evaluation.statistics.resampling import Units, units_of
from vru.evaluation.video.curves import Curve, data_set_curves, detected_in_time
from vru.evaluation.video.latency import TrackOutcome


@dataclass(frozen=True, slots=True)
class DatasetEvaluation:
    """What was measured: estimates by slice and metric, the units behind them, and what limits them.

    ``counted`` are the truth boxes that the headline view counts, ``missed`` those of them that nothing found, as
    places in ``data``'s truth; ``false_alarms`` are places among its detections. Slices that fewer than ``smallest_n``
    units show decide nothing. ``assumption`` says on what it rests that the units are independent, where the files do
    not say it. ``unseen`` is what the bounds assume of units that were not seen.
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
    unseen: UnseenUnit = field(default_factory=UnseenUnit)


def evaluate_dataset(  # noqa: C901 - one branch a kind of figure that a protocol may ask for
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
    curves: bool = True,
    pixels: bool = True,
    slices: Sequence[str] = (),
    conditions: Conditions | None = None,
) -> DatasetEvaluation:
    """Everything that the protocol asks for, on "all", on each class and setup, and on the ``slices``: kinds such as
    ``size`` or ``light`` (see ``slice_views``), with the ``conditions`` that say which picture is what.

    ``times`` are the media seconds of the pictures of videos. ``resamples`` is how many rows of weights are drawn;
    without it as many as fit into about ``seconds``, and ``least`` in any case, fewer where nothing ``decides`` by
    them. ``errors`` adds TIDE's analysis, ``curves`` what charts show. ``pixels`` is whether boxes are in pixels:
    otherwise figures of sizes are not determined.

    Raises:
        VruError: the data do not fit the protocol.
    """
    # Tracks are not cut into clips.
    units = units_of(data, None if protocol.task == "tracking" else times)
    conditions = conditions or Conditions()
    collector = EstimateCollector(data, protocol, units, resamples, seed, seconds, least, decides)
    collector.slices[ALL] = {}
    if not data.pictures:
        raise VruError("The truth has no picture.", "Is it the right file?")
    if protocol.task == "tracking":
        # Imported only where it is needed: scipy takes as long as measuring a data set.
        from vru.evaluation.dataset.tracking_metrics import tracking_metrics

        tracking_metrics(collector, slices, conditions)
        seen, ignored = prepared(data, protocol)
        view = View(ALL, ~ignored, np.ones(len(seen.found), dtype=bool))
        outcomes = match_all(seen, (protocol.overlap,), (view,), regions=seen.truth.crowd, max_detections=None)
        # A tracker has made its own choice: all its boxes count.
        return _finished(collector, outcomes, (0, 0), -np.inf)
    if protocol.task == "kitti":
        if slices:
            raise VruError("KITTI's figures have slices of their own: easy, moderate, hard.", "Use another protocol.")
        kitti_metrics(collector)
        return DatasetEvaluation(
            collector.slices, collector.units, 0, tuple(collector.notes), smallest_n=protocol.smallest_n
        )
    seen, ignored = prepared(data, protocol)
    if "coco" in protocol.figures:
        outcomes = match_coco(seen, ignored=ignored)
        coco_metrics(collector, outcomes)
        headline = outcomes.view(ALL), int(np.argmin(np.abs(np.array(outcomes.overlaps) - protocol.overlap)))
        point_metrics(collector, outcomes, *headline, ALL, by_class=True)
        if "miss_rate" in protocol.figures:
            miss_rate_metrics(collector, outcomes, *headline, ALL)
    else:
        outcomes = setup_metrics(collector, seen, ignored)
        headline = 0, 0
    if slices:
        slice_metrics(
            collector,
            outcomes,
            headline[0],
            *slice_views(seen, outcomes.views[headline[0]], slices, conditions, pixels=pixels),
        )
    if "calibration" in protocol.figures:
        calibration_metrics(collector, outcomes, *headline)
    if "video" in protocol.figures:
        _videos(collector, seen, times)
    _note_unknown(collector, seen)
    if not pixels:
        _forget_sizes(collector)
    analysis = tide(seen, ignored, foreground=protocol.overlap) if errors else None
    lines: tuple[Curve, ...] = ()
    if curves:
        in_time = detected_in_time(collector.tracks)
        lines = data_set_curves(outcomes, *headline, miss_rates="miss_rate" in protocol.figures)
        lines += (in_time,) if in_time else ()
    return _finished(collector, outcomes, headline, protocol.score_threshold, analysis, lines)


def _finished(
    collector: EstimateCollector,
    outcomes: Outcomes,
    headline: tuple[int, int],
    score: float,
    errors: Tide | None = None,
    curves: tuple[Curve, ...] = (),
) -> DatasetEvaluation:
    return DatasetEvaluation(
        collector.slices,
        collector.units,
        collector.used,
        tuple(
            dict.fromkeys(
                (*collector.notes, *([collector.unseen.sentence(collector.units.name)] if collector.used else ()))
            )
        ),
        tide=errors,
        missed=outcomes.missed(*headline, score),
        false_alarms=outcomes.false_alarms(*headline, score),
        data=outcomes.data,
        counted=np.flatnonzero(outcomes.counted_truth(headline[0])),
        tracks=collector.tracks,
        curves=curves,
        smallest_n=collector.protocol.smallest_n,
        unseen=collector.unseen,
    )


def _videos(collector: EstimateCollector, seen: DataSet, times: Sequence[float] | None) -> None:
    """What a validation run measures, where the data set is of videos of road users: it takes the place of the like
    figures, because its clips know tracks.
    """
    if times is None:
        collector.notes.append(
            "The pictures have no times: there are no figures of time, such as latency and false alarms."
        )
        return
    from vru.evaluation.dataset.videos import evaluate_videos

    settings = EvaluationSettings(
        score_threshold=collector.protocol.score_threshold,
        iou_threshold=collector.protocol.overlap,
        resamples=max(1000 if collector.resamples is None else collector.resamples, 100),
        seed=collector.seed,
        reasonable_height=collector.protocol.reasonable_height,
        unseen=collector.unseen,
    )
    found = evaluate_videos(seen, times, settings)
    collector.slices[ALL] = {**found.estimates, **collector.slices[ALL]} | dict(found.estimates)
    collector.notes += found.notes
    collector.tracks = found.tracks


def _forget_sizes(collector: EstimateCollector) -> None:
    """Boxes are shares of pictures of unknown size: nobody knows which are small."""
    for estimates in collector.slices.values():
        for metric in [name for name in estimates if name.endswith(("_small", "_medium", "_large"))]:
            estimates[metric] = Unbounded(None, collector.units.count, collector.units.name)
    collector.notes.append("The size of the pictures is not known, so there are no figures by size; --size gives it.")


def _note_unknown(collector: EstimateCollector, seen: DataSet) -> None:
    """Say what the truth leaves open."""
    asks = any(setup.occlusion is not None for setup in collector.protocol.setups.values())
    # A box that is said not to be occluded has a share hidden of 0, also where no file says the share.
    unknown = int((np.isnan(seen.truth.occlusion) & (seen.truth.occlusion_level != 0)).sum())
    told = any("how much of them is hidden" in note for note in collector.notes)
    if asks and unknown and not told:
        collector.notes.append(
            f"{unknown} truth boxes do not say how much of them is hidden: they count as not hidden."
        )
    if "ignore" not in collector.protocol.ignore_marks and collector.data.truth.ignore.any():
        marked = int(collector.data.truth.ignore.sum())
        collector.notes.append(
            f"{marked} truth boxes are marked ignore; the protocol {collector.protocol.name} counts them like any "
            "other."
        )
