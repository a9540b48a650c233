"""From a model's output tensors to boxes in pixels of its input, and a score for each class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from vru.domain import VruError
from vru.ml_engine.boxes import Array
from vru.ml_engine.onnx_card import BoxesOutput, NanoDetOutput, OnnxParameters, SsdOutput

Tensors = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Decoded:
    """``boxes`` N x 4 in pixels of the input; ``scores`` N x C; ``finished`` where nothing is left to suppress."""

    boxes: Array
    scores: Array
    finished: bool = False


def ssd_anchors(output: SsdOutput) -> Array:
    """Centre y, centre x, height and width of each anchor, as shares of the input."""
    count = len(output.feature_maps)
    step = (output.max_scale - output.min_scale) / (count - 1)
    scales = [output.min_scale + step * index for index in range(count)] + [1.0]
    rows = []
    for index, (size, (scale, larger)) in enumerate(zip(output.feature_maps, pairwise(scales), strict=True)):
        shapes = [(scale, ratio) for ratio in output.ratios] + [((scale * larger) ** 0.5, 1.0)]
        if index == 0:
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        sides = np.array([(side / ratio**0.5, side * ratio**0.5) for side, ratio in shapes])
        centres = (np.indices((size, size)).reshape(2, -1).T + 0.5) / size
        rows.append(np.hstack([np.repeat(centres, len(sides), 0), np.tile(sides, (len(centres), 1))]))
    return np.concatenate(rows).astype(np.float32)


def _sized(tensor: Array, name: str, *shape: int | None) -> Array:
    """The tensor in its last dimensions ``shape``; None is any length."""
    shaped = tensor[0] if tensor.ndim == len(shape) + 1 and tensor.shape[0] == 1 else tensor
    if shaped.ndim != len(shape) or any(w is not None and w != h for w, h in zip(shape, shaped.shape, strict=True)):
        wanted = ["any" if length is None else length for length in shape]
        raise VruError(f"Output {name!r} has the shape {list(tensor.shape)}, not {wanted}.", "Correct the card.")
    return shaped


def _ssd(parameters: OnnxParameters, output: SsdOutput) -> Callable[[Tensors], Decoded]:
    anchors = ssd_anchors(output)
    size = np.array([parameters.input.width, parameters.input.height], np.float32)
    coder = np.array(output.coder, np.float32)

    def decode(tensors: Tensors) -> Decoded:
        code = _sized(tensors[output.boxes], output.boxes, len(anchors), 4) / coder
        logits = _sized(tensors[output.classes], output.classes, len(anchors), None)
        centre = code[:, :2] * anchors[:, 2:] + anchors[:, :2]
        half = np.exp(code[:, 2:]) * anchors[:, 2:] / 2
        boxes = np.hstack([(centre - half)[:, ::-1] * size, (centre + half)[:, ::-1] * size])
        return Decoded(boxes, np.asarray(1 / (1 + np.exp(-logits)), np.float32))

    return decode


def _nanodet(parameters: OnnxParameters, output: NanoDetOutput) -> Callable[[Tensors], Decoded]:
    width, height = parameters.input.width, parameters.input.height
    centres = []
    for stride in output.strides:
        rows, columns = np.indices((-(-height // stride), -(-width // stride))).reshape(2, -1)
        centres.append(np.stack([columns + 0.5, rows + 0.5], 1).astype(np.float32) * stride)

    def decode(tensors: Tensors) -> Decoded:
        boxes, scores = [], []
        for level, stride in enumerate(output.strides):
            count = len(centres[level])
            raw = _sized(tensors[output.distances[level]], output.distances[level], count, None).reshape(count, 4, -1)
            share = np.exp(raw - raw.max(2, keepdims=True))
            sides = (share @ np.arange(raw.shape[2], dtype=np.float32)) / share.sum(2) * stride
            boxes.append(np.hstack([centres[level] - sides[:, :2], centres[level] + sides[:, 2:]]))
            scores.append(_sized(tensors[output.scores[level]], output.scores[level], count, None))
        return Decoded(np.concatenate(boxes), np.concatenate(scores))

    return decode


def _boxes(parameters: OnnxParameters, output: BoxesOutput) -> Callable[[Tensors], Decoded]:
    size = np.array([parameters.input.width, parameters.input.height] * 2, np.float32)
    factor = size if output.unit == "share" else np.ones(4, np.float32)
    columns = max(parameters.class_map) + 1

    def decode(tensors: Tensors) -> Decoded:
        boxes = _sized(tensors[output.boxes], output.boxes, None, 4)
        labels = _sized(tensors[output.labels], output.labels, len(boxes)).astype(np.int64)
        scores = np.zeros((len(boxes), columns), np.float32)
        known = np.flatnonzero((labels >= 0) & (labels < columns))
        scores[known, labels[known]] = _sized(tensors[output.scores], output.scores, len(boxes))[known]
        return Decoded(boxes * factor, scores, finished=True)

    return decode


_ADAPTERS: dict[str, Any] = {"ssd": _ssd, "nanodet": _nanodet, "boxes": _boxes}


def adapter(parameters: OnnxParameters) -> Callable[[Tensors], Decoded]:
    """The function that reads the outputs of a model with this card."""
    chosen: Callable[[Tensors], Decoded] = _ADAPTERS[parameters.output.adapter](parameters, parameters.output)
    return chosen
