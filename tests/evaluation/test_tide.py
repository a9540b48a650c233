"""TIDE: each kind of error by hand, and the figures of the authors' toolbox."""

import numpy as np
import pytest
from benchmarks.evaluation.datasets import random_dataset

from vru.evaluation.core.tables import DataSet, found_table, truth_table
from vru.evaluation.detection.coco import evaluate_coco
from vru.evaluation.detection.tide import ErrorType, tide

BOX = (10.0, 10.0, 40.0, 40.0)
# Overlaps of 0.6 and 0.25 with BOX.
NEAR, SLIPPED = (20.0, 10.0, 40.0, 40.0), (34.0, 10.0, 40.0, 40.0)
AWAY = (300.0, 300.0, 40.0, 40.0)


def dataset(truth: list[tuple[int, tuple]], found: list[tuple[int, tuple, float]]) -> DataSet:
    return DataSet(
        ("pedestrian", "cyclist"),
        ("0",),
        np.zeros(1, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        truth_table([0] * len(truth), [row[0] for row in truth], [row[1] for row in truth]),
        found_table([0] * len(found), [row[0] for row in found], [row[1] for row in found], [row[2] for row in found]),
    )


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ((0, SLIPPED, 0.8), ErrorType.LOCALISATION),
        ((1, NEAR, 0.8), ErrorType.CLASSIFICATION),
        ((1, SLIPPED, 0.8), ErrorType.BOTH),
        ((0, AWAY, 0.8), ErrorType.BACKGROUND),
    ],
)
def test_each_kind_of_error(found: tuple, kind: ErrorType) -> None:
    result = tide(dataset([(0, BOX)], [found]))
    assert result.kind == (kind,)
    assert result.counts[kind] == 1
    assert result.ap == 0
    mended = kind in (ErrorType.LOCALISATION, ErrorType.CLASSIFICATION)
    assert result.cost[kind] == pytest.approx(1 if mended else 0)
    assert (result.missed.tolist() == []) is mended


def test_a_second_detection_is_a_duplicate() -> None:
    result = tide(dataset([(0, BOX)], [(0, BOX, 0.9), (0, NEAR, 0.8)]))
    assert result.kind == (None, ErrorType.DUPLICATE)
    assert result.ap == 1 and result.cost[ErrorType.DUPLICATE] == 0


def test_a_miss_that_no_error_accounts_for() -> None:
    result = tide(dataset([(0, BOX), (0, AWAY)], [(0, BOX, 0.9)]))
    assert result.counts[ErrorType.MISSED] == 1 and result.missed.tolist() == [1]
    assert result.cost[ErrorType.MISSED] == pytest.approx(1 - 51 / 101)


def test_one_truth_box_mends_one_error_only() -> None:
    result = tide(dataset([(0, BOX)], [(0, SLIPPED, 0.9), (0, (34.0, 12, 40, 40), 0.8)]))
    assert result.counts[ErrorType.LOCALISATION] == 2
    assert result.cost[ErrorType.LOCALISATION] == pytest.approx(1)


# What tidecv 1.0.1 says of these data sets: AP at 0.5, then what mending each type brings, in percent.
BY_THE_TOOLBOX: dict[int, list[float]] = {
    1: [
        46.942732041842554,
        4.3950737007505865,
        0.2753284157176381,
        0.7296722421426125,
        9.427765869178074,
        13.622242812230454,
        5.132166951015449,
    ],
    2: [
        49.728845818615575,
        2.960885110213269,
        0.9313885410825691,
        1.5188577430255776,
        9.069143530319693,
        9.81328034386167,
        6.811996167704848,
    ],
    3: [
        48.11380016892946,
        3.3412597700225675,
        0.5722525050762215,
        0.1719280956378313,
        8.981263982769917,
        12.3482542071228,
        7.478797252335568,
    ],
}


@pytest.mark.parametrize("seed", list(BY_THE_TOOLBOX))
def test_it_equals_the_authors_toolbox(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # The toolbox's 101 recalls differ from COCO's in the last bit, which decides where a recall is met exactly.
    monkeypatch.setattr("vru.evaluation.detection.average_precision.RECALLS", np.arange(101) / 100)
    data = random_dataset(pictures=60, detections=700, truths=250, classes=3, seed=seed, crowd=0.04)
    result = tide(data)
    costs = [100 * max(result.cost[kind] or 0.0, 0.0) for kind in ErrorType]
    assert result.ap is not None
    assert [100 * result.ap, *costs] == pytest.approx(BY_THE_TOOLBOX[seed], abs=1e-9)


def test_its_average_precision_is_cocos() -> None:
    data = random_dataset(pictures=60, detections=700, truths=250, classes=3, seed=9, crowd=0.04)
    assert tide(data).ap == pytest.approx(evaluate_coco(data).summary()["ap50"])


def test_nothing_at_all() -> None:
    result = tide(dataset([], []))
    assert result.ap is None and set(result.cost.values()) == {None}
