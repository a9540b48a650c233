"""COCO's twelve numbers against pycocotools."""

import numpy as np
import pytest
from benchmarks.evaluation.datasets import random_dataset
from tests.evaluation.oracles import pycocotools_eval, run

from vru.evaluation.core.tables import DataSet
from vru.evaluation.detection.coco import NAMES, evaluate_coco, match_coco, measure, precision_recall
from vru.evaluation.detection.outcomes import TRUE_POSITIVE


def undefined_as_minus_one(values: dict[str, float | None]) -> list[float]:
    return [-1.0 if values[name] is None else values[name] for name in NAMES]


def check(data: DataSet) -> None:
    figures = evaluate_coco(data)
    reference = pycocotools_eval(data)
    assert undefined_as_minus_one(figures.summary()) == pytest.approx(run(reference), abs=1e-9)
    # Class by class, not only in the mean.
    theirs = np.moveaxis(reference.eval["precision"][:, :, :, :, 2].mean(axis=1), (0, 1, 2), (2, 1, 0))
    assert np.nan_to_num(figures.precision, nan=-1.0) == pytest.approx(theirs, abs=1e-9)
    recall = np.moveaxis(reference.eval["recall"], (0, 1, 2, 3), (2, 1, 0, 3))
    assert np.nan_to_num(figures.recall, nan=-1.0) == pytest.approx(recall, abs=1e-9)


@pytest.mark.parametrize(
    ("seed", "crowd", "tied", "classes"), [(1, 0.05, False, 8), (2, 0.1, True, 5), (3, 0.02, True, 1)]
)
def test_it_equals_pycocotools_on_500_pictures(seed: int, crowd: float, tied: bool, classes: int) -> None:
    check(
        random_dataset(
            pictures=500, detections=6000, truths=2500, classes=classes, seed=seed, crowd=crowd, empty=0.2, tied=tied
        )
    )


@pytest.mark.parametrize("seed", range(20))
def test_it_equals_pycocotools_on_few_crowded_pictures(seed: int) -> None:
    # Many boxes of one class in a picture, more detections than the hundred that count, most of them ties.
    check(random_dataset(pictures=3, detections=500, truths=80, classes=2, seed=seed, crowd=0.2, empty=0, tied=True))


def test_without_detections_it_is_zero_and_without_truth_undefined() -> None:
    data = random_dataset(pictures=5, detections=30, truths=10, classes=2, seed=0)
    nothing_found = DataSet(
        data.labels, data.sequences, data.sequence, data.frame, data.truth, data.found.take(np.zeros(0, dtype=int))
    )
    assert evaluate_coco(nothing_found).summary()["ap"] == 0
    empty = DataSet(
        data.labels, data.sequences, data.sequence, data.frame, data.truth.take(np.zeros(0, dtype=int)), data.found
    )
    assert set(evaluate_coco(empty).summary().values()) == {None}


def test_weights_of_one_change_nothing_and_weights_of_two_are_pictures_twice() -> None:
    data = random_dataset(pictures=40, detections=400, truths=150, classes=3, seed=5, crowd=0.05)
    outcomes = match_coco(data)
    once = measure(outcomes).summary()
    assert measure(outcomes, np.ones(40)).summary() == pytest.approx(once)
    assert measure(outcomes, np.full(40, 2.0)).summary() == pytest.approx(once)


def test_the_curve_ends_at_the_recall() -> None:
    data = random_dataset(pictures=40, detections=400, truths=150, classes=3, seed=6, crowd=0)
    outcomes = match_coco(data)
    view = outcomes.view("all")
    precision, recall, score = precision_recall(outcomes, view, 0, 1)
    mine = outcomes.outcome(view, 0, 1)
    assert recall[-1] == pytest.approx((mine == TRUE_POSITIVE).sum() / (data.truth.label == 1).sum())
    assert (np.diff(score) <= 0).all()
    assert ((precision > 0) | (recall == 0)).all()


def test_misses_are_named() -> None:
    data = random_dataset(pictures=40, detections=100, truths=150, classes=3, seed=7, crowd=0.1)
    outcomes = match_coco(data)
    missed = outcomes.missed(outcomes.view("all"), 0, 0.5)
    hits = (outcomes.outcome(0, 0) == TRUE_POSITIVE) & (data.found.score[outcomes.kept] >= 0.5)
    assert len(missed) == (~data.truth.crowd).sum() - hits.sum()
    assert not data.truth.crowd[missed].any()
