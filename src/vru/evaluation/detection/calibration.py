"""Calibration: whether a confidence of 0.8 means that 8 in 10 detections are right.

Source: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015 (bins of equal width);
Nguyen and O'Connor, Posterior calibration and exploratory analysis for NLP models, EMNLP 2015 (bins of equal size). For
detection, as in Küppers et al., Multivariate Confidence Calibration for Object Detection, CVPR Workshops 2020: a
detection is right if it is a true positive, and detections that do not count are left out.
"""

from dataclasses import dataclass

import numpy as np

from vru.domain import VruError
from vru.evaluation.core.ordering import rising, stable_order
from vru.evaluation.core.tables import Bools, Floats, Ints, ratio
from vru.evaluation.detection.outcomes import TRUE_POSITIVE, Outcomes
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Replicates


@dataclass(frozen=True, slots=True)
class Calibration:
    """The expected calibration error and the bins behind it, one entry each, empty ones left out.

    ``error`` is the mean gap between confidence and precision over all detections, ``largest_gap`` the largest one of a
    bin; None without detections. ``low`` and ``high`` are the bins' confidences (``high`` belongs to the bin).
    ``bin_of`` is the bin of each detection, ``gap_of`` its confidence less 1 if it is right, less 0 if it is not.
    """

    error: float | None
    largest_gap: float | None
    low: Floats
    high: Floats
    confidence: Floats
    precision: Floats
    count: Floats
    bin_of: Ints
    gap_of: Floats


def calibration_of(
    outcomes: Outcomes, view: int, overlap: int, *, bins: int = 15, adaptive: bool = False
) -> Calibration:
    """Calibration of the detections that count in the view.

    Raises:
        VruError: a confidence is not from 0 to 1.
    """
    outcome = outcomes.outcome(view, overlap)
    counted = outcome >= 0
    score = outcomes.data.found.score[outcomes.kept[counted]]
    return calibration(score, outcome[counted] == TRUE_POSITIVE, bins=bins, adaptive=adaptive)


def calibration(score: Floats, right: Bools, *, bins: int = 15, adaptive: bool = False) -> Calibration:
    """Calibration of ``score``, each with whether it was ``right``, in ``bins`` of equal width.

    ``adaptive`` bins hold equally many detections instead.

    Raises:
        VruError: a score is not from 0 to 1.
    """
    if len(score) and not (score.min() >= 0 and score.max() <= 1):
        raise VruError(
            f"A confidence of {score.max() if score.max() > 1 else score.min():g} is no probability.",
            "Calibration is measured on confidences from 0 to 1.",
        )
    if adaptive:
        order = stable_order(rising(score))
        parts = [part for part in np.array_split(order, min(bins, max(len(score), 1))) if len(part)]
        edges = [(float(score[part[0]]), float(score[part[-1]])) for part in parts]
    else:
        borders = np.linspace(0, 1, bins + 1)
        number = np.clip(np.searchsorted(borders, score, side="left") - 1, 0, bins - 1)
        filled = np.flatnonzero(np.bincount(number, minlength=bins))
        parts = [np.flatnonzero(number == bin_) for bin_ in filled]
        edges = [(float(borders[bin_]), float(borders[bin_ + 1])) for bin_ in filled]
    confidence = np.array([score[part].mean() for part in parts])
    precision = np.array([right[part].mean() for part in parts])
    count = np.array([len(part) for part in parts], dtype=np.float64)
    gap = np.abs(confidence - precision)
    bin_of = np.zeros(len(score), dtype=np.int64)
    for place, part in enumerate(parts):
        bin_of[part] = place
    return Calibration(
        error=float((gap * count).sum() / count.sum()) if len(score) else None,
        largest_gap=float(gap.max()) if len(score) else None,
        low=np.array([low for low, _ in edges]),
        high=np.array([high for _, high in edges]),
        confidence=confidence,
        precision=precision,
        count=count,
        bin_of=bin_of,
        gap_of=score - right,
    )


def error_replicates(of: Calibration, unit: Ints, draws: Draws, unseen: float) -> Replicates:
    """Replicates of the expected calibration error; ``unit`` is each detection's, ``unseen`` how many detections a unit
    may have that was not seen.

    The error is a sum of absolute values, so chance alone makes it too large, and a resample makes it larger again. The
    upper bound is on the safe side by that; for the lower one the resamples are mirrored at the error, which takes both
    away. Each detection not seen moves the sum of the gaps by 1 at most.
    """
    bins, size = len(of.count), (draws.count, len(of.count) + 1)
    table = np.zeros(size)
    np.add.at(table, (unit, of.bin_of), of.gap_of)
    table[:, bins] = np.bincount(unit, minlength=draws.count)
    sums, weight = draws.sums(table)
    gaps, count, more = np.abs(sums[:, :bins]).sum(axis=1), sums[:, bins], weight * unseen
    seen, high = ratio(gaps, count), ratio(gaps + more, count + more)
    mirrored = np.maximum(2 * (of.error or 0.0) - high, 0.0)
    return Replicates(seen, mirrored, high, (0.0, 1.0))
