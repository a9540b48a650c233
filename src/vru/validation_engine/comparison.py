"""Two runs over the same version of a data set: what changed, recording by recording and paired, from what they stored.

The counts of each recording are all that is needed, so that a comparison takes moments however many boxes there were.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vru.domain import Verdict, VruError
from vru.domain.slices import ALL
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.core.tables import Floats
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.study.comparison import Difference, Judged, Margin, difference_of, judge_comparison
from vru.evaluation.video.metrics import ClipCounts, count_metrics
from vru.service.schemas import DataSetRunMetrics, RunSettings
from vru.service.schemas.comparisons import (
    ComparisonBody,
    DifferenceBody,
    MarginBody,
    MarginResultBody,
    NamedTrack,
)

_UNITS = "recordings"
_LEVEL = 0.95


def compare(
    runs: tuple[DataSetRunMetrics, DataSetRunMetrics],
    slices_of: Mapping[str, Sequence[str]],
    settings: RunSettings,
    margins: Sequence[MarginBody],
) -> ComparisonBody:
    """The second run against the first. ``slices_of`` has the slices of attributes and tags of each recording, by name.

    Raises:
        VruError: no recording was measured in both, or a margin is about a figure that cannot be compared.
    """
    before, after = ({row.name: row for row in run.recordings} for run in runs)
    # In the order of the data set: both are drawn again by the same weights.
    names = [row.name for row in sorted(before.values(), key=lambda row: row.number)]
    measured = [name for name in names if all(rows[name].frames and not rows[name].failed for rows in (before, after))]
    if not measured:
        raise VruError("No recording was measured in both runs.", "Retry them.")
    groups = {ALL: measured}
    for name in sorted({group for recording in measured for group in slices_of.get(recording, ())}):
        groups[name] = [recording for recording in measured if name in slices_of[recording]]
    assumed = EvaluationSettings(seed=settings.seed)
    found: dict[tuple[str, str], Difference] = {}
    for group, recordings in groups.items():
        draws = Draws(len(recordings), assumed.resamples, assumed.seed)
        old, new = (
            count_metrics(_counts(rows, recordings), _column(rows, recordings, "frames"), draws, assumed.unseen)
            for rows in (before, after)
        )
        for metric in old:
            pair = (replace(estimates[metric], units=_UNITS) for estimates in (old, new))
            difference = difference_of(metric, group, *pair)
            if difference is not None:
                found[group, metric] = difference
    verdict: Verdict | None = None
    judged: tuple[Judged, ...] = ()
    if margins:
        asked = [Margin(item.metric, item.margin, item.slice, item.confidence_level) for item in margins]
        verdict, judged = judge_comparison(found, asked)
    missed = [
        {(track.recording, track.track_id, str(track.road_user)) for track in run.tracks if track.latency_ms is None}
        for run in runs
    ]
    there = set(measured)
    newly_missed, newly_found = (
        [NamedTrack(recording=name, track_id=track, road_user=kind) for name, track, kind in sorted(tracks)]
        for tracks in (
            {track for track in missed[1] - missed[0] if track[0] in there},
            {track for track in missed[0] - missed[1] if track[0] in there},
        )
    )
    return ComparisonBody(
        recordings=len(measured),
        left_out=[name for name in names if name not in there],
        differences=[_difference(item) for item in found.values()],
        newly_missed=newly_missed,
        newly_found=newly_found,
        verdict=verdict,
        margins=[_judged(item) for item in judged],
    )


def _column(rows: Mapping[str, Any], names: Sequence[str], column: str) -> Floats:
    return np.array([getattr(rows[name], column) for name in names], dtype=np.float64)


def _counts(rows: Mapping[str, Any], names: Sequence[str]) -> ClipCounts:
    found, misses = _column(rows, names, "true_positives"), _column(rows, names, "false_negatives")
    tracks = _column(rows, names, "tracks")
    return ClipCounts(
        true_positives=found,
        false_positives=_column(rows, names, "false_positives"),
        boxes=found + misses,
        detected=tracks - _column(rows, names, "tracks_missed"),
        tracks=tracks,
        alarms=_column(rows, names, "false_alarms"),
        minutes=_column(rows, names, "minutes"),
    )


def _difference(item: Difference) -> DifferenceBody:
    low, high = item.bounds((1 + _LEVEL) / 2)
    better, worse = item.gain_bounds((1 + _LEVEL) / 2)
    return DifferenceBody(
        metric=item.metric,
        slice=item.slice,
        before=item.before,
        after=item.after,
        difference=item.value,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        n=item.n,
        units=item.units,
        mark="better" if better > 0 else "worse" if worse < 0 else "",
    )


def _judged(item: Judged) -> MarginResultBody:
    margin = item.margin
    return MarginResultBody(
        metric=margin.metric,
        margin=margin.margin,
        slice=margin.slice,
        confidence_level=margin.confidence_level,
        verdict=item.verdict,
        reason=item.reason,
        more_needed=item.more_needed,
    )
