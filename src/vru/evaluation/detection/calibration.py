"""Calibration: whether a confidence of 0.8 means that 8 in 10 detections are right.

Source: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015 (bins of equal width);
Nguyen and O'Connor, Posterior calibration and exploratory analysis for NLP models, EMNLP 2015 (bins of equal size). For
detection, as in Küppers et al., Multivariate Confidence Calibration for Object Detection, CVPR Workshops 2020: a
detection is right if it is a true positive, and detections that do not count are left out.
"""

from dataclasses import dataclass

import numpy as np

from vru.domain import VruError
from vru.evaluation.core.tables import Bools, Floats
from vru.evaluation.detection.outcomes import TRUE_POSITIVE, Outcomes


@dataclass(frozen=True, slots=True)
class Calibration:
    """The expected calibration error and the bins behind it, one entry each, empty ones left out.

    ``error`` is the mean gap between confidence and precision over all detections, ``largest_gap`` the largest one of a
    bin; None without detections. ``low`` and ``high`` are the bins' confidences (``high`` belongs to the bin).
    """

    error: float | None
    largest_gap: float | None
    low: Floats
    high: Floats
    confidence: Floats
    precision: Floats
    count: Floats


def calibration_of(
    outcomes: Outcomes, view: int, overlap: int, *, bins: int = 15, adaptive: bool = False
) -> Calibration:
    """Calibration of the detections that count in the view.

    Raises:
        VruError: a confidence is not from 0 to 1.
    """
    outcome = outcomes.outcome[view, overlap]
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
        order = np.argsort(score, kind="stable")
        parts = [part for part in np.array_split(order, min(bins, max(len(score), 1))) if len(part)]
        edges = [(float(score[part[0]]), float(score[part[-1]])) for part in parts]
    else:
        borders = np.linspace(0, 1, bins + 1)
        number = np.clip(np.searchsorted(borders, score, side="left") - 1, 0, bins - 1)
        filled = np.unique(number)
        parts = [np.flatnonzero(number == bin_) for bin_ in filled]
        edges = [(float(borders[bin_]), float(borders[bin_ + 1])) for bin_ in filled]
    confidence = np.array([score[part].mean() for part in parts])
    precision = np.array([right[part].mean() for part in parts])
    count = np.array([len(part) for part in parts], dtype=np.float64)
    gap = np.abs(confidence - precision)
    return Calibration(
        error=float((gap * count).sum() / count.sum()) if len(score) else None,
        largest_gap=float(gap.max()) if len(score) else None,
        low=np.array([low for low, _ in edges]),
        high=np.array([high for _, high in edges]),
        confidence=confidence,
        precision=precision,
        count=count,
    )
