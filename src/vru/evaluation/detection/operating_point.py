"""Precision, recall, F1 and false positives per image at a confidence."""

from dataclasses import dataclass

import numpy as np

from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.core.tables import Floats, or_none, ratio
from vru.evaluation.detection.outcomes import FALSE_POSITIVE, TRUE_POSITIVE, Outcomes


@dataclass(frozen=True, slots=True)
class Counts:
    """Hits, false positives and truth boxes of each picture, at one confidence, overlap and view. ``pictures`` is 1 for
    each picture that belongs to the view, else 0.
    """

    true_positives: Floats
    false_positives: Floats
    truths: Floats
    pictures: Floats

    def metrics(self) -> dict[str, float | None]:
        """Of all pictures together. None where there is nothing to divide by."""
        return or_none(rates(self.table().sum(axis=0, keepdims=True)))

    def table(self) -> Floats:
        """Pictures x 4: hits, false positives, truth boxes, and whether it belongs to the view."""
        return np.column_stack([self.true_positives, self.false_positives, self.truths, self.pictures])


def unseen_counts(sums: Floats, assumed: UnseenUnit) -> Floats:
    """The worst and the best unit that may not have been seen, from those seen (units x 4, see ``Counts.table``):
    all of its road users missed, and false boxes; all found, and none.
    """
    hits, false_positives, truths, pictures = sums.T
    most_truth, frames = assumed.truths(truths), float(pictures.max(initial=0.0))
    return np.array(
        [
            [0.0, assumed.false_positives(false_positives, pictures, hits), most_truth, frames],
            [most_truth, 0.0, most_truth, frames],
        ]
    )


def contributing(sums: Floats) -> dict[str, int]:
    """How many of the units with these sums (units x 4, see ``Counts.table``) each figure rests on.

    A unit that shows nobody says nothing about recall, however many of them there are; so for precision one without a
    detection. F1 rests on the units with truth, because false positives elsewhere prove no hits; where there is no
    truth at all, on those with detections. False positives per image rest on all units that have images.
    """
    true_positives, false_positives, truths, pictures = (column for column in sums.T)
    shown, said = int(np.count_nonzero(truths)), int(np.count_nonzero(true_positives + false_positives))
    return {"precision": said, "recall": shown, "f1": shown or said, "fppi": int(np.count_nonzero(pictures))}


def rates(sums: Floats) -> dict[str, Floats]:
    """The figures of each row of sums over pictures (m x 4, see ``Counts.table``); NaN where nothing divides."""
    true_positives, false_positives, truths, pictures = sums.T
    return {
        "precision": ratio(true_positives, true_positives + false_positives),
        "recall": ratio(true_positives, truths),
        "f1": ratio(2 * true_positives, true_positives + false_positives + truths),
        "fppi": ratio(false_positives, pictures),
    }


def counts_at(
    outcomes: Outcomes,
    view: int,
    overlap: int,
    score_threshold: float,
    label: int | None = None,
    pictures: Floats | None = None,
) -> Counts:
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
    return Counts(per_picture(TRUE_POSITIVE), per_picture(FALSE_POSITIVE), truths, belonging)
