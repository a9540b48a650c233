"""From a model's output tensors to boxes in pixels of its input, and a score for each class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vru.domain import VruError
from vru.ml_engine.onnx.anchors import anchors
from vru.ml_engine.onnx.boxes import Array, from_centres
from vru.ml_engine.onnx.card import InputParameters, OnnxParameters
from vru.ml_engine.onnx.outputs import (
    AnchorsOutput,
    BoxesOutput,
    Column,
    DetrOutput,
    NanoDetOutput,
    RowsOutput,
    YoloOutput,
    YoloxOutput,
)

Tensors = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Decoded:
    """``boxes`` N x 4 in pixels of the input; ``scores`` N x C; ``finished`` where nothing is left to suppress."""

    boxes: Array
    scores: Array
    finished: bool = False


Decode = Callable[[Tensors], Decoded]


def _sized(tensors: Tensors, name: str, *shape: int | None) -> Array:
    """The tensor in its last dimensions ``shape``; None is any length."""
    tensor = tensors[name]
    shaped = tensor[0] if tensor.ndim == len(shape) + 1 and tensor.shape[0] == 1 else tensor
    if shaped.ndim != len(shape) or any(w is not None and w != h for w, h in zip(shape, shaped.shape, strict=True)):
        wanted = ["any" if length is None else length for length in shape]
        raise VruError(f"Output {name!r} has the shape {list(tensor.shape)}, not {wanted}.", "Correct the card.")
    return shaped


def _sigmoid(logits: Array) -> Array:
    # exp overflows to infinity where the sigmoid is 0 anyway.
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float32)


def _as_it_is(scores: Array) -> Array:
    return scores


_ACTIVATIONS = {"sigmoid": _sigmoid, "softmax": _softmax, "none": _as_it_is}


def _size(card: InputParameters) -> Array:
    return np.array([card.width, card.height] * 2, np.float32)


def _factor(card: InputParameters, unit: str) -> Array:
    return _size(card) if unit == "share" else np.ones(4, np.float32)


def _cells(card: InputParameters, stride: int) -> Array:
    """Column and row of each cell, row by row."""
    rows, columns = np.indices((-(-card.height // stride), -(-card.width // stride))).reshape(2, -1)
    return np.stack([columns, rows], 1).astype(np.float32)


def _one_column(labels: Array, scores: Array, columns: int) -> Array:
    """Scores N x C, each in the column of its label; a label beyond them counts nowhere."""
    spread = np.zeros((len(labels), columns), np.float32)
    known = np.flatnonzero((labels >= 0) & (labels < columns))
    spread[known, labels[known].astype(np.int64)] = scores[known]
    return spread


def _boxes(parameters: OnnxParameters, output: BoxesOutput) -> Decode:
    factor = _factor(parameters.input, output.unit)
    columns = parameters.columns()[-1] + 1

    def corners(boxes: Array) -> Array:
        if output.order == "yxyx":
            return boxes[:, [1, 0, 3, 2]]
        if output.order == "xywh":
            return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        return from_centres(boxes) if output.order == "cxcywh" else boxes

    def decode(tensors: Tensors) -> Decoded:
        boxes = _sized(tensors, output.boxes, None, 4)
        if output.labels is None:
            scores = tensors[output.scores]
            single = scores.ndim < 2 or (scores.ndim == 2 and scores.shape == (1, len(boxes)))
            scores = _sized(tensors, output.scores, *((len(boxes),) if single else (len(boxes), None)))
            scores = scores.reshape(len(boxes), -1)
        else:
            labels = _sized(tensors, output.labels, len(boxes))
            scores = _one_column(labels, _sized(tensors, output.scores, len(boxes)), columns)
        if output.count is not None:
            count = tensors[output.count]
            if count.size != 1 or not 0 <= count.item() <= len(boxes):
                raise VruError(f"Output {output.count!r} is no count of the {len(boxes)} boxes.", "Correct the card.")
            boxes, scores = boxes[: int(count.item())], scores[: int(count.item())]
        return Decoded(corners(boxes) * factor, scores, output.suppressed)

    return decode


def _rows(parameters: OnnxParameters, output: RowsOutput) -> Decode:
    factor = _factor(parameters.input, output.unit)
    columns = parameters.columns()[-1] + 1
    corners = "left" in output.columns
    names: tuple[Column, ...] = ("centre_x", "centre_y", "width", "height")
    if corners:
        names = ("left", "top", "right", "bottom")
    places = [output.columns.index(name) for name in names]
    score, label = output.columns.index("score"), output.columns.index("class")

    def decode(tensors: Tensors) -> Decoded:
        rows = _sized(tensors, output.output, None, len(output.columns))
        boxes = rows[:, places] * factor
        scores = _one_column(rows[:, label], rows[:, score], columns)
        return Decoded(boxes if corners else from_centres(boxes), scores, output.suppressed)

    return decode


def _yolo(parameters: OnnxParameters, output: YoloOutput) -> Decode:
    factor = _factor(parameters.input, output.unit)
    first = 5 if output.objectness else 4
    least = first + (output.classes or 1)

    def decode(tensors: Tensors) -> Decoded:
        rows = _sized(tensors, output.output, None, None)
        rows = rows.T if output.channels_first else rows
        if rows.shape[1] < least:
            raise VruError(
                f"Output {output.output!r} has {rows.shape[1]} numbers a box, the card asks for {least}.",
                "Correct output in the card (channels_first, objectness, classes).",
            )
        scores = rows[:, first : first + output.classes if output.classes else None]
        if output.objectness:
            scores = scores * rows[:, 4:5]
        return Decoded(from_centres(rows[:, :4] * factor), scores)

    return decode


def _yolox(parameters: OnnxParameters, output: YoloxOutput) -> Decode:
    levels = [_cells(parameters.input, stride) for stride in output.strides]
    cells = np.concatenate(levels)
    strides = np.repeat(np.array(output.strides, np.float32), [len(level) for level in levels])[:, None]

    def decode(tensors: Tensors) -> Decoded:
        rows = _sized(tensors, output.output, len(cells), None)
        if rows.shape[1] < 6:
            raise VruError(f"Output {output.output!r} has no class in {rows.shape[1]} columns.", "Correct the card.")
        # Sizes beyond e^20 strides are nonsense; without the limit they would be infinite.
        sizes = np.exp(np.minimum(rows[:, 2:4], 20)) * strides
        boxes = from_centres(np.hstack([(rows[:, :2] + cells) * strides, sizes]))
        return Decoded(boxes, rows[:, 5:] * rows[:, 4:5])

    return decode


def _nanodet(parameters: OnnxParameters, output: NanoDetOutput) -> Decode:
    levels = [(_cells(parameters.input, stride) + output.cell) * stride for stride in output.strides]
    counts = [len(level) for level in levels]
    points = np.concatenate(levels)
    strides = np.repeat(np.array(output.strides, np.float32), counts)[:, None]

    def parts(tensors: Tensors) -> tuple[Array, Array]:
        if output.joined is not None and output.bins is not None:
            rows = _sized(tensors, output.joined, len(points), None)
            return rows[:, : -4 * output.bins], rows[:, -4 * output.bins :]
        named = zip(output.scores, output.distances, counts, strict=True)
        pairs = [(_sized(tensors, s, count, None), _sized(tensors, d, count, None)) for s, d, count in named]
        return np.concatenate([s for s, _ in pairs]), np.concatenate([d for _, d in pairs])

    def decode(tensors: Tensors) -> Decoded:
        scores, raw = parts(tensors)
        if raw.shape[1] % 4:
            raise VruError(f"{raw.shape[1]} numbers are no distances to 4 sides.", "Correct distances in the card.")
        share = _softmax(raw.reshape(len(points), 4, -1))
        sides = (share @ np.arange(share.shape[2], dtype=np.float32)) * strides
        return Decoded(np.hstack([points - sides[:, :2], points + sides[:, 2:]]), scores)

    return decode


def _detr(parameters: OnnxParameters, output: DetrOutput) -> Decode:
    size = _size(parameters.input)

    def decode(tensors: Tensors) -> Decoded:
        boxes = from_centres(_sized(tensors, output.boxes, None, 4)) * size
        logits = _sized(tensors, output.logits, len(boxes), None)
        scores = _sigmoid(logits) if output.activation == "sigmoid" else _softmax(logits)
        if output.background != "none":
            # Its column stays, so that the others keep their numbers.
            scores[:, 0 if output.background == "first" else -1] = 0
        if output.activation == "softmax":
            scores = _one_column(scores.argmax(1).astype(np.float32), scores.max(1), scores.shape[1])
        return Decoded(boxes, scores, finished=True)

    return decode


def _anchors(parameters: OnnxParameters, output: AnchorsOutput) -> Decode:
    of_card = anchors(output.anchors)
    size = _size(parameters.input)
    coder = np.array(output.coder, np.float32)
    activate = _ACTIVATIONS[output.activation]

    def decode(tensors: Tensors) -> Decoded:
        code = _sized(tensors, output.boxes, len(of_card), 4) / coder
        if output.order == "xywh":
            code = code[:, [1, 0, 3, 2]]
        logits = _sized(tensors, output.classes, len(of_card), None)
        centre = code[:, :2] * of_card[:, 2:] + of_card[:, :2]
        grown = np.exp(np.minimum(code[:, 2:], 20)) if output.exponential else code[:, 2:]
        boxes = from_centres(np.hstack([centre, grown * of_card[:, 2:]]))
        return Decoded(boxes[:, [1, 0, 3, 2]] * size, activate(logits))

    return decode


_ADAPTERS: Mapping[str, Callable[[OnnxParameters, Any], Decode]] = {
    "boxes": _boxes,
    "rows": _rows,
    "yolo": _yolo,
    "yolox": _yolox,
    "nanodet": _nanodet,
    "detr": _detr,
    "anchors": _anchors,
}


def adapter(parameters: OnnxParameters) -> Decode:
    """The function that reads the outputs of a model with this card. It raises VruError where shapes do not fit."""
    return _ADAPTERS[parameters.output.adapter](parameters, parameters.output)
