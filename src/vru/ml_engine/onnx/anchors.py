"""Anchors: N x 4 of centre y, centre x, height and width, as shares of the input."""

from itertools import groupby

import numpy as np

from vru.ml_engine.onnx.boxes import Array
from vru.ml_engine.onnx.outputs import EfficientDetAnchors, SsdAnchors

Shape = tuple[float, float]
"""Height and width."""


def anchors(card: SsdAnchors | EfficientDetAnchors) -> Array:
    """Those that the card describes: map by map, row by row, cell by cell."""
    shapes = _ssd(card) if card.kind == "ssd" else _efficientdet(card)
    return np.concatenate([_in_each_cell(size, of_cell) for size, of_cell in shapes]).astype(np.float32)


def _in_each_cell(size: int, shapes: list[Shape]) -> Array:
    centres = (np.indices((size, size)).reshape(2, -1).T + 0.5) / size
    return np.hstack([np.repeat(centres, len(shapes), 0), np.tile(shapes, (len(centres), 1))])


def _ssd(card: SsdAnchors) -> list[tuple[int, list[Shape]]]:
    count = len(card.feature_maps)
    step = (card.max_scale - card.min_scale) / max(count - 1, 1)
    scales = [card.min_scale + step * index for index in range(count)] + [1.0]
    found: list[tuple[int, list[Shape]]] = []
    for size, indices in groupby(range(count), key=lambda index: card.feature_maps[index]):
        shapes = [shape for index in indices for shape in _ssd_shapes(card, index, scales)]
        found.append((size, [(1.0, 1.0)] * len(shapes) if card.fixed_size else shapes))
    return found


def _ssd_shapes(card: SsdAnchors, index: int, scales: list[float]) -> list[Shape]:
    scale = scales[index]
    if index == 0 and card.reduced_lowest:
        pairs = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
    else:
        pairs = [(scale, ratio) for ratio in card.ratios]
        if card.interpolated:
            pairs.append(((scale * scales[index + 1]) ** 0.5, 1.0))
    return [(side / ratio**0.5, side * ratio**0.5) for side, ratio in pairs]


def _efficientdet(card: EfficientDetAnchors) -> list[tuple[int, list[Shape]]]:
    found = []
    for size in card.feature_maps:
        sides = [card.scale * 2 ** (octave / card.octaves) / size for octave in range(card.octaves)]
        found.append((size, [(side / ratio**0.5, side * ratio**0.5) for side in sides for ratio in card.ratios]))
    return found
