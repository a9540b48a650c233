"""KITTI's average precision against its definition, written down slowly, and by hand."""

import numpy as np
import pytest

from vru.evaluation.core.tables import DataSet, found_table, truth_table
from vru.evaluation.detection.kitti import DIFFICULTIES, Difficulty, kitti

LABELS = ("Pedestrian", "Person_sitting", "Cyclist", "DontCare")
PEDESTRIAN, SITTING, CYCLIST, DONT_CARE = range(4)
NEIGHBOURS = frozenset({"Person_sitting"})


def dataset(pictures: int, truth: list[tuple], found: list[tuple]) -> DataSet:
    """Truth: picture, label, box, occlusion level, truncation. Detections: picture, label, box, score."""
    return DataSet(
        LABELS,
        tuple(map(str, range(pictures))),
        np.arange(pictures),
        np.zeros(pictures, dtype=np.int64),
        truth_table(
            [row[0] for row in truth], [row[1] for row in truth], [row[2] for row in truth],
            occlusion_level=[row[3] for row in truth], truncation=[row[4] for row in truth],
        ),
        found_table(*(list(column) for column in zip(*found, strict=True))) if found else found_table([], [], [], []),
    )  # fmt: skip


def overlap(a, b, own: bool = False) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a[2] * a[3] if own else a[2] * a[3] + b[2] * b[3] - shared)


def by_definition(data: DataSet, difficulty: Difficulty) -> tuple[float, float]:
    """The development kit's steps for pedestrians, box by box. Average precision over 40 and over 11 recalls."""
    pictures = []
    for picture in range(data.pictures):
        truths, regions, founds = [], [], []
        for i in np.flatnonzero(data.truth.picture == picture):
            label, box = data.truth.label[i], data.truth.boxes[i]
            hard = (
                data.truth.occlusion_level[i] > difficulty.occlusion_level
                or data.truth.truncation[i] > difficulty.truncation
                or box[3] < difficulty.height
            )
            if label == PEDESTRIAN:
                truths.append((box, not hard))
            elif label == SITTING:
                truths.append((box, False))
            elif label == DONT_CARE:
                regions.append(box)
        for i in np.flatnonzero(data.found.picture == picture):
            small = int(data.found.boxes[i][3]) < difficulty.height
            if small or data.found.label[i] == PEDESTRIAN:
                founds.append((data.found.boxes[i], data.found.score[i], small))
        pictures.append((truths, regions, founds))

    total = sum(counts for truths, _, _ in pictures for _, counts in truths)
    if not total:
        return float("nan"), float("nan")
    scores = []
    for truths, _, founds in pictures:
        taken = set()
        for box, counts in truths:
            able = [j for j, found in enumerate(founds) if j not in taken and overlap(found[0], box) > 0.5]
            if able:
                best = max(able, key=lambda j: founds[j][1])
                taken.add(best)
                if counts and not founds[best][2]:
                    scores.append(founds[best][1])
    scores.sort(reverse=True)
    steps, wanted = [], 0.0
    for i, score in enumerate(scores):
        left, right = (i + 1) / total, (i + 2) / total
        if i < len(scores) - 1 and right - wanted < wanted - left:
            continue
        steps.append(score)
        wanted += 1 / 40
    precision = [0.0] * 41
    for number, step in enumerate(steps):
        hits = wrong = 0
        for truths, regions, founds in pictures:
            taken = set()
            for box, counts in truths:
                able = [
                    j for j, found in enumerate(founds)
                    if j not in taken and found[1] >= step and overlap(found[0], box) > 0.5
                ]  # fmt: skip
                large = [j for j in able if not founds[j][2]]
                if large:
                    best = max(large, key=lambda j: overlap(founds[j][0], box))
                elif able:
                    best = able[0]
                else:
                    continue
                taken.add(best)
                hits += counts and not founds[best][2]
            for j, (box, score, small) in enumerate(founds):
                if j not in taken and score >= step and not small:
                    wrong += not any(overlap(box, region, own=True) > 0.5 for region in regions)
        precision[number] = hits / (hits + wrong) if hits + wrong else 0.0
    best = [max(precision[i:]) for i in range(41)]
    return sum(best[1:]) / 40, sum(best[::4]) / 11


def random_case(seed: int) -> DataSet:
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for picture in range(25):
        for _ in range(int(rng.integers(0, 7))):
            height = float(rng.choice([20, 24, 25, 30, 39, 40, 60, 120]))
            box = np.array([*rng.uniform(0, 300, 2), height * 0.4, height])
            label = int(rng.choice(4, p=[0.6, 0.1, 0.15, 0.15]))
            truth.append((picture, label, box, int(rng.integers(0, 4)), float(rng.choice([0, 0.1, 0.2, 0.4, 0.6]))))
            for _ in range(int(rng.integers(0, 3))):
                moved = box + rng.normal(0, 0.08, 4) * box[[2, 3, 2, 3]]
                found.append(
                    (picture, int(rng.choice([0, 0, 0, 2])), moved, float(rng.random().__round__(seed % 3 + 1)))
                )
        for _ in range(int(rng.integers(0, 3))):
            height = float(rng.uniform(15, 90))
            found.append((picture, 0, np.array([*rng.uniform(0, 300, 2), height * 0.4, height]), float(rng.random())))
    return dataset(25, truth, found)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", list(DIFFICULTIES))
def test_it_equals_the_definition(seed: int, name: str) -> None:
    data = random_case(seed)
    figures = kitti(data, "pedestrian", DIFFICULTIES[name], neighbours=NEIGHBOURS)
    forty, eleven = by_definition(data, DIFFICULTIES[name])
    assert figures.ap_40 == pytest.approx(forty, abs=1e-12)
    assert figures.ap_11 == pytest.approx(eleven, abs=1e-12)


TALL, ELSEWHERE = (10.0, 10, 20, 50), (200.0, 10, 20, 50)


def test_by_hand() -> None:
    # Two people in one picture, both found, with a false positive in between: precision 1 at recall 1/2, 2/3 at 1.
    data = dataset(
        2,
        [(0, PEDESTRIAN, TALL, 0, 0.0), (1, PEDESTRIAN, TALL, 0, 0.0)],
        [(0, PEDESTRIAN, TALL, 0.9), (0, PEDESTRIAN, ELSEWHERE, 0.8), (1, PEDESTRIAN, TALL, 0.7)],
    )
    figures = kitti(data, "Pedestrian", DIFFICULTIES["easy"])
    # Two hits give two confidences only, so recalls beyond the second are 0, as the development kit has it.
    assert figures.scores.tolist() == [0.9, 0.7]
    assert figures.precision[:3].tolist() == [1, pytest.approx(2 / 3), 0]
    assert figures.ap_40 == pytest.approx((2 / 3) / 40)
    assert figures.ap_11 == pytest.approx(1 / 11)


@pytest.mark.parametrize(
    ("truth", "found"),
    [
        ((0, PEDESTRIAN, TALL, 1, 0.0), (0, PEDESTRIAN, TALL, 0.9)),  # occluded
        ((0, PEDESTRIAN, TALL, 0, 0.2), (0, PEDESTRIAN, TALL, 0.9)),  # truncated
        ((0, PEDESTRIAN, (10, 10, 20, 39), 0, 0.0), (0, PEDESTRIAN, (10, 10, 20, 41), 0.9)),  # small
        ((0, SITTING, TALL, 0, 0.0), (0, PEDESTRIAN, TALL, 0.9)),  # the neighbouring class
        ((0, DONT_CARE, (0, 0, 200, 200), -1, -1.0), (0, PEDESTRIAN, TALL, 0.9)),  # a region
    ],
)
def test_what_does_not_count_is_neither_found_nor_wrong(truth: tuple, found: tuple) -> None:
    standing = (1, PEDESTRIAN, TALL, 0, 0.0)
    data = dataset(2, [truth, standing], [found, (1, PEDESTRIAN, TALL, 0.5)])
    figures = kitti(data, "Pedestrian", DIFFICULTIES["easy"], neighbours=NEIGHBOURS)
    assert figures.truths == 1
    assert figures.precision[0] == 1


def test_without_truth_it_is_not_defined() -> None:
    figures = kitti(dataset(1, [], [(0, PEDESTRIAN, TALL, 0.9)]), "Pedestrian", DIFFICULTIES["hard"])
    assert figures.ap_40 is None and figures.ap_11 is None
