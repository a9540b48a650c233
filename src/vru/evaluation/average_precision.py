"""Average precision with COCO's 101-point interpolation."""

import numpy as np

from vru.evaluation.matching import Floats

RECALLS = np.linspace(0.0, 1.0, 101)


def average_precision(hit_weights: Floats, miss_weights: Floats, truth_weight: float) -> float | None:
    """Average precision of one class.

    Source: COCO's ``COCOeval.accumulate``: precision at each of 101 recalls from 0 to 1 is the highest precision at
    that recall or above, 0 where that recall is never reached; the result is their mean.

    ``hit_weights`` and ``miss_weights`` have one entry per detection in falling order of score: 1 and 0 for a true
    positive, 0 and 1 for a false positive (other weights are those of a resample). ``truth_weight`` is the number of
    truth boxes. None if there is no truth box: the figure is then not defined.
    """
    if truth_weight <= 0:
        return None
    hits = np.cumsum(hit_weights)
    all_counted = hits + np.cumsum(miss_weights)
    # Detections before the first weight of a resample are not there: their precision is not defined, and not asked for.
    precision = np.divide(hits, all_counted, out=np.zeros_like(hits), where=all_counted > 0)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    positions = np.searchsorted(hits / truth_weight, RECALLS, side="left")
    reached = positions < len(envelope)
    return float(envelope[positions[reached]].sum() / len(RECALLS))
