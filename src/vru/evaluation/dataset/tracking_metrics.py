"""The figures of tracking, of all sequences and of slices of them."""

from collections.abc import Sequence

import numpy as np

from vru.domain.slices import ALL
from vru.evaluation.dataset.collector import EstimateCollector
from vru.evaluation.dataset.conditions import Conditions
from vru.evaluation.dataset.prepare import evaluated_labels
from vru.evaluation.dataset.slice_views import sequence_groups
from vru.evaluation.detection.operating_point import contributing, unseen_counts
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.resampling import resampled
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
    unseen_clear,
    unseen_hota,
)


def tracking_metrics(collector: EstimateCollector, slices: Sequence[str], conditions: Conditions) -> None:
    """CLEAR, IDF1 and HOTA of all classes, of each class, and of the sequences of each value of the ``slices``.

    Raises:
        VruError: a slice cannot be made of whole sequences.
    """
    protocol = collector.protocol
    rules = TrackingRules(protocol.distractors, protocol.overlap)
    labels = evaluated_labels(collector.data, protocol)
    parts: dict[str, list[tuple[ClearCounts, IdentityCounts, HotaCounts]]] = {}
    for label in labels:
        parts[label] = [
            (clear(item, protocol.overlap)[0], identity(item, protocol.overlap), hota(item))
            for item in sequences_of(collector.data, label, rules)
        ]
    _put_tracking(collector, ALL, list(parts.values()))
    for label in labels if len(labels) > 1 else ():
        _put_tracking(collector, f"class:{label}", [parts[label]])
    for kind in slices:
        for value, chosen in sequence_groups(collector.data, kind, conditions).items():
            mine = [[of for of, taken in zip(part, chosen, strict=True) if taken] for part in parts.values()]
            _put_tracking(collector, f"{kind}:{value}", mine)


def _put_tracking(
    collector: EstimateCollector, slice_: str, classes: list[list[tuple[ClearCounts, IdentityCounts, HotaCounts]]]
) -> None:
    """Counts of all classes added up, sequence by sequence; sequences are drawn again."""
    sequences = [list(of) for of in zip(*classes, strict=True)]
    totals = [ClearCounts.total(part[0] for part in parts) for parts in sequences]
    clears = np.array([total.row() for total in totals])
    identities = np.array([IdentityCounts.total(part[1] for part in parts).row() for parts in sequences])
    hotas = np.array([HotaCounts.total(part[2] for part in parts).row() for parts in sequences])
    # Sums of each sequence: hits, false positives, truth boxes, frames.
    point = np.array(
        [
            [part.true_positives, part.false_positives, part.true_positives + part.misses, part.frames]
            for part in totals
        ],
        dtype=np.float64,
    )
    worst, best = unseen_counts(point, collector.unseen)
    tracks = collector.unseen.truths(clears[:, 5:8].sum(axis=1))
    unseen = {
        "clear": unseen_clear(worst[2], worst[1], best[3], tracks),
        "identity": np.array([[0.0, worst[2], worst[1]], [best[2], 0.0, 0.0]]),
        "hota": unseen_hota(worst[2], worst[1]),
    }
    of = {"clear": (clears, clear_rates), "identity": (identities, identity_rates), "hota": (hotas, hota_rates)}
    # One sequence says nothing about others.
    draws = Draws(len(sequences), collector.sums() if len(sequences) > 1 else 0, collector.seed)
    resting = contributing(point)
    # A sequence without truth says nothing about how its road users are followed.
    shown = resting["recall"]
    for name in collector.protocol.figures:
        for metric, figure in resampled(draws, *of[name], unseen[name]).items():
            collector.put(slice_, metric, figure, resting.get(metric, shown))
