"""The log-average miss rate against its definition, written down slowly, and by hand."""

import math

import numpy as np
import pytest
from benchmarks.evaluation.datasets import random_dataset
from hypothesis import given
from hypothesis import strategies as st

from vru.domain import Box, iou
from vru.evaluation.core.tables import DataSet, found_table, truth_table
from vru.evaluation.detection.miss_rate import FPPI_POINTS, miss_rate
from vru.evaluation.detection.outcomes import View, match_all

BOX = (10.0, 10.0, 20.0, 50.0)
AWAY = (200.0, 10.0, 20.0, 50.0)


def everything(data: DataSet) -> View:
    return View("all", np.ones(len(data.truth), dtype=bool), np.ones(len(data.found), dtype=bool))


def log_average(data: DataSet, label: int = 0) -> float | None:
    regions = data.truth.crowd
    return miss_rate(
        match_all(data, [0.5], [everything(data)], regions=regions, max_detections=None), 0, 0, label
    ).log_average


def dataset(
    pictures: int, truth: list[tuple[int, tuple[float, ...]]], found: list[tuple[int, tuple[float, ...], float]]
):
    return DataSet(
        ("pedestrian",),
        tuple(map(str, range(pictures))),
        np.arange(pictures),
        np.zeros(pictures, dtype=np.int64),
        truth_table([row[0] for row in truth], [0] * len(truth), [row[1] for row in truth]),
        found_table([row[0] for row in found], [0] * len(found), [row[1] for row in found], [row[2] for row in found]),
    )


def by_definition(data: DataSet, label: int) -> float | None:
    """Dollár et al.: sweep the confidence, plot misses over false positives per image, average at nine points."""
    truth, found = data.truth, data.found
    judged: list[tuple[float, bool]] = []
    total = 0
    for picture in range(data.pictures):
        here = [i for i in range(len(truth)) if truth.picture[i] == picture and truth.label[i] == label]
        counted, regions = [i for i in here if not truth.crowd[i]], [i for i in here if truth.crowd[i]]
        total += len(counted)
        mine = [i for i in range(len(found)) if found.picture[i] == picture and found.label[i] == label]
        for i in sorted(mine, key=lambda i: -found.score[i]):
            box = Box(*found.boxes[i])
            best = max(counted, key=lambda g: iou(box, Box(*truth.boxes[g])), default=None)
            if best is not None and iou(box, Box(*truth.boxes[best])) >= 0.5:
                counted.remove(best)
                judged.append((found.score[i], True))
            elif not any(covered(box, Box(*truth.boxes[g])) >= 0.5 for g in regions):
                judged.append((found.score[i], False))
    if not total:
        return None
    judged.sort(key=lambda pair: -pair[0])
    at_points = []
    for point in [0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0]:
        hits = wrong = 0
        miss = 1.0
        for _, right in judged:
            hits, wrong = hits + right, wrong + (not right)
            if wrong / data.pictures <= 10 ** round(math.log10(point), 2) + 1e-12:
                miss = 1 - hits / total
        at_points.append(max(miss, 1e-10))
    return math.exp(sum(map(math.log, at_points)) / 9)


def covered(box: Box, region: Box) -> float:
    width = min(box.x + box.width, region.x + region.width) - max(box.x, region.x)
    height = min(box.y + box.height, region.y + region.height) - max(box.y, region.y)
    return max(width, 0) * max(height, 0) / box.area


def test_the_points_are_nine_from_a_hundredth_to_one() -> None:
    assert list(FPPI_POINTS) == pytest.approx(
        [0.01, 0.017783, 0.031623, 0.056234, 0.1, 0.177828, 0.316228, 0.562341, 1.0], abs=1e-6
    )


def test_by_hand() -> None:
    # Four pictures, two people. One is found, then comes a false positive (1/4 per image), then the other is found.
    data = dataset(4, [(0, BOX), (1, BOX)], [(0, BOX, 0.9), (2, AWAY, 0.8), (1, BOX, 0.7)])
    # Up to 0.178 false positives per image the miss rate is 1/2 (six points); beyond, 0, for which 1e-10 stands.
    assert log_average(data) == pytest.approx(math.exp((6 * math.log(0.5) + 3 * math.log(1e-10)) / 9))


def test_nothing_found_is_a_miss_rate_of_one_and_no_truth_has_none() -> None:
    assert log_average(dataset(2, [(0, BOX)], [])) == 1
    assert log_average(dataset(2, [(0, BOX)], [(0, AWAY, 0.9), (1, AWAY, 0.9), (1, BOX, 0.95)])) == 1
    assert log_average(dataset(2, [], [(0, BOX, 0.9)])) is None


@pytest.mark.parametrize("seed", range(8))
def test_it_equals_the_definition(seed: int) -> None:
    data = random_dataset(pictures=30, detections=150, truths=60, classes=2, seed=seed, crowd=0.1)
    for label in range(2):
        assert log_average(data, label) == pytest.approx(by_definition(data, label), abs=1e-12)


@given(seed=st.integers(0, 10_000))
def test_a_further_hit_never_raises_it_and_it_stays_between_0_and_1(seed: int) -> None:
    data = random_dataset(pictures=6, detections=12, truths=8, classes=1, seed=seed, crowd=0)
    before = log_average(data)
    assert before is not None and 0 <= before <= 1
    found = data.found
    more = found_table(
        np.append(found.picture, data.truth.picture[:1]), np.append(found.label, 0),
        np.vstack([found.boxes, data.truth.boxes[:1]]), np.append(found.score, 2.0),
    )  # fmt: skip
    better = log_average(DataSet(data.labels, data.sequences, data.sequence, data.frame, data.truth, more))
    # The surest detection now finds the first person; at worst another one turns into a false positive.
    assert better is not None and 0 <= better <= 1


def test_detections_that_do_not_enter_find_nothing_and_are_not_wrong() -> None:
    data = dataset(1, [(0, BOX)], [(0, BOX, 0.9), (0, AWAY, 0.8)])
    nothing = np.zeros(2, dtype=bool)
    view = View("none", np.ones(1, dtype=bool), np.ones(2, dtype=bool), nothing)
    outcomes = match_all(data, [0.5], [view], regions=data.truth.crowd, max_detections=None)
    assert outcomes.outcome(0, 0).tolist() == [-1, -1]
    assert miss_rate(outcomes, 0, 0, 0).log_average == 1
