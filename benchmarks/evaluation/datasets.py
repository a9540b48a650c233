"""Random data sets for the benchmarks and the tests, as the columns that the evaluation reads."""

import numpy as np

from vru.evaluation.core.tables import DataSet, found_table, truth_table


def random_dataset(
    *,
    pictures: int,
    detections: int,
    truths: int,
    classes: int,
    seed: int,
    crowd: float = 0.01,
    empty: float = 0.05,
    tied: bool = False,
) -> DataSet:
    """Pictures of 640 x 480 with truth and detections, about three quarters of which sit near a truth box.

    ``crowd`` is the share of truth boxes that are crowds, ``empty`` the share of pictures that show nobody. With
    ``tied`` scores and boxes come from few values, so that equal scores and equal overlaps are common.
    """
    rng = np.random.default_rng(seed)
    inhabited = np.flatnonzero(rng.random(pictures) >= empty)
    # As in COCO, a picture holds a few classes, each of which it may hold several times.
    usual = rng.integers(0, classes, size=(pictures, 3))
    picture = rng.choice(inhabited, truths)
    label = usual[picture, rng.integers(0, 3, truths)]
    size = np.exp(rng.normal(4.0, 1.0, (truths, 2))).clip(4, 400)
    corner = rng.random((truths, 2)) * (np.array([640, 480]) - size).clip(1)
    boxes = np.hstack([corner, size])
    near = rng.random(detections) < 0.75
    origin = rng.integers(0, truths, detections)
    moved = boxes[origin]
    moved = moved + rng.normal(0, 0.08, (detections, 4)) * np.tile(moved[:, 2:], (1, 2))
    moved[:, 2:] = moved[:, 2:].clip(2)
    anywhere = np.hstack([rng.random((detections, 2)) * [600, 440], rng.random((detections, 2)) * 120 + 2])
    found_boxes = np.where(near[:, None], moved, anywhere)
    found_picture = np.where(near, picture[origin], rng.integers(0, pictures, detections))
    found_label = np.where(near & (rng.random(detections) < 0.9), label[origin], rng.integers(0, classes, detections))
    score = rng.random(detections)
    if tied:
        boxes, found_boxes, score = boxes.round(-1).clip(10), found_boxes.round(-1).clip(10), score.round(1)
    return DataSet(
        labels=tuple(f"class {number}" for number in range(classes)),
        sequences=tuple(str(number) for number in range(pictures)),
        sequence=np.arange(pictures),
        frame=np.zeros(pictures, dtype=np.int64),
        truth=truth_table(
            picture, label, boxes, area=boxes[:, 2] * boxes[:, 3] * (0.5 + 0.5 * rng.random(truths)),
            crowd=rng.random(truths) < crowd,
        ),
        found=found_table(found_picture, found_label, found_boxes, score),
    )  # fmt: skip
