"""Miss rate over false positives per image, and its log-average.

Source: Dollár, Wojek, Schiele and Perona, Pedestrian Detection: An Evaluation of the State of the Art, TPAMI 2012,
section 3.1, as computed by the Caltech toolbox (``bbGt.compRoc``).
"""

from dataclasses import dataclass

import numpy as np

from vru.evaluation.core.tables import Floats
from vru.evaluation.detection.outcomes import FALSE_POSITIVE, TRUE_POSITIVE, Outcomes
from vru.evaluation.detection.unseen_unit import UnseenDetections

# Nine points, evenly spaced in the logarithm from 0.01 to 1 false positives per image.
FPPI_POINTS = tuple((10.0 ** np.linspace(-2, 0, 9)).tolist())
# The logarithm of a miss rate of 0 is not defined; the toolbox puts this in its place.
_LEAST = 1e-10


@dataclass(frozen=True, slots=True)
class MissRate:
    """The curve of one class: false positives per image, miss rate and score after each detection, by falling score.

    ``at_points`` is the miss rate at each of the ``points``: that of the last detection whose false positives per image
    do not exceed the point, and 1 if there is none. ``log_average`` is their geometric mean; None without truth.
    """

    fppi: Floats
    miss_rate: Floats
    score: Floats
    points: tuple[float, ...]
    at_points: Floats
    log_average: float | None


def miss_rate(
    outcomes: Outcomes,
    view: int,
    overlap: int,
    label: int,
    points: tuple[float, ...] = FPPI_POINTS,
    weights: Floats | None = None,
    unseen: UnseenDetections | None = None,
) -> MissRate:
    """The curve and its log-average over the ``points``. ``weights`` (one per picture) are those of a resample, in
    which a ``unseen`` may come first.
    """
    data = outcomes.data
    drawn = np.ones(data.pictures) if weights is None else weights
    mine = outcomes.of_label(label)
    outcome, kept = outcomes.outcome(view, overlap, label), outcomes.kept[mine]
    counted = outcome >= 0
    weight = drawn[data.found.picture[kept[counted]]]
    first_hits, first_wrong, more_truths, more_pictures = (
        (0.0, 0.0, 0.0, 0.0)
        if unseen is None
        else (
            unseen.true_positives[view, label],
            unseen.false_positives[view, label],
            unseen.truths[view, label],
            unseen.pictures,
        )
    )
    true_positives = first_hits + np.cumsum(weight * (outcome[counted] == TRUE_POSITIVE))
    false_positives = first_wrong + np.cumsum(weight * (outcome[counted] == FALSE_POSITIVE))
    truths = drawn[data.truth.picture] * (outcomes.counted_truth(view) & (data.truth.label == label))
    total, pictures = float(truths.sum()) + more_truths, float(drawn.sum()) + more_pictures
    fppi = false_positives / pictures if pictures else false_positives
    score = data.found.score[kept[counted]]
    if not total:
        nothing = np.full(len(true_positives), np.nan)
        return MissRate(fppi, nothing, score, points, np.full(len(points), np.nan), None)
    missed = 1 - true_positives / total
    last = np.searchsorted(fppi, np.asarray(points), side="right") - 1
    first = np.where(first_wrong <= np.asarray(points) * pictures, 1 - first_hits / total, 1.0)
    at_points = np.where(last >= 0, missed[last], first) if len(missed) else first
    log_average = float(np.exp(np.log(np.maximum(_LEAST, at_points)).mean()))
    return MissRate(fppi, missed, score, points, at_points, log_average)
