"""Precision, recall, F1 and false positives per image at a confidence."""

from dataclasses import dataclass

import numpy as np

from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.core.tables import Floats, or_none, ratio
from vru.evaluation.detection.outcomes import FALSE_POSITIVE, TRUE_POSITIVE, Outcomes


@dataclass(frozen=True, slots=True)
class PointCounts:
    """Hits, false positives and truth boxes of each picture, at one confidence, overlap and view. ``pictures`` is 1 for
    each picture that belongs to the view, else 0.
    """

    hits: Floats
    wrong: Floats
    truths: Floats
    pictures: Floats

    def figures(self) -> dict[str, float | None]:
        """Of all pictures together. None where there is nothing to divide by."""
        return or_none(rates(self.table().sum(axis=0, keepdims=True)))

    def table(self) -> Floats:
        """Pictures x 4: hits, false positives, truth boxes, and whether it belongs to the view."""
        return np.column_stack([self.hits, self.wrong, self.truths, self.pictures])


def unseen_counts(sums: Floats, assumed: UnseenUnit) -> Floats:
    """The worst and the best unit that may not have been seen, from those seen (units x 4, see ``PointCounts.table``):
    all of its road users missed, and false boxes; all found, and none.
    """
    _, wrong, truths, pictures = sums.T
    most, frames = assumed.truths(truths), float(pictures.max(initial=0.0))
    return np.array([[0.0, assumed.wrong(wrong, pictures), most, frames], [most, 0.0, most, frames]])


def contributing(sums: Floats) -> dict[str, int]:
    """How many of the units with these sums (units x 4, see ``PointCounts.table``) each figure rests on.

    A unit that shows nobody says nothing about recall, however many of them there are; so for precision one without a
    detection. F1 rests on the units with truth, because false positives elsewhere prove no hits; where there is no
    truth at all, on those with detections. False positives per image rest on all units that have images.
    """
    hits, wrong, truths, pictures = (column for column in sums.T)
    shown, said = int(np.count_nonzero(truths)), int(np.count_nonzero(hits + wrong))
    return {"precision": said, "recall": shown, "f1": shown or said, "fppi": int(np.count_nonzero(pictures))}


def rates(sums: Floats) -> dict[str, Floats]:
    """The figures of each row of sums over pictures (m x 4, see ``PointCounts.table``); NaN where nothing divides."""
    hits, wrong, truths, pictures = sums.T
    return {
        "precision": ratio(hits, hits + wrong),
        "recall": ratio(hits, truths),
        "f1": ratio(2 * hits, hits + wrong + truths),
        "fppi": ratio(wrong, pictures),
    }


def counts_at(
    outcomes: Outcomes,
    view: int,
    overlap: int,
    score_threshold: float,
    label: int | None = None,
    pictures: Floats | None = None,
) -> PointCounts:
    """Count the detections at or above ``score_threshold``, of all classes or of one. There are no true negatives:
    empty pictures do not come in countable pieces. ``pictures`` are those of the view; all if it is None.
    """
    data = outcomes.data
    outcome, kept = outcomes.outcome(view, overlap, label), outcomes.kept[outcomes.of_label(label)]
    chosen = data.found.score[kept] >= score_threshold
    counted = outcomes.counted_truth(view)
    if label is not None:
        counted &= data.truth.label == label

    def per_picture(kind: np.int8) -> Floats:
        pictures = data.found.picture[kept[chosen & (outcome == kind)]]
        return np.bincount(pictures, minlength=data.pictures).astype(np.float64)

    truths = np.bincount(data.truth.picture[counted], minlength=data.pictures).astype(np.float64)
    belonging = np.ones(data.pictures) if pictures is None else pictures
    return PointCounts(per_picture(TRUE_POSITIVE), per_picture(FALSE_POSITIVE), truths, belonging)
