"""Boxes as arrays: N x 4 of left, top, right, bottom."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Labels = NDArray[np.int64]


def from_centres(boxes: Array) -> Array:
    """From centre x, centre y, width, height."""
    half = boxes[:, 2:] / 2
    return np.hstack([boxes[:, :2] - half, boxes[:, :2] + half])


def areas(boxes: Array) -> Array:
    """Of each box, 0 where it is turned inside out."""
    return np.asarray(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1), np.float32)


def suppress(boxes: Array, scores: Array, labels: Labels, iou: float) -> Labels:
    """Which boxes stay, the surest first: of two of one class that overlap by more than ``iou``, the surer."""
    order = np.argsort(-scores, kind="stable")
    area = areas(boxes)
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        corner = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        shared = np.prod(np.maximum(corner, 0), axis=1)
        union = area[best] + area[rest] - shared
        order = rest[(shared <= iou * union) | (labels[rest] != labels[best])]
    return np.array(kept, np.int64)
