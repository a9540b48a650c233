"""Each adapter against the definition of its outputs, written again in plain Python."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.ml_engine.onnx_models import (
    SIDE,
    Candidate,
    Corners,
    Outputs,
    assert_same,
    card,
    constant_model,
    kept,
    overlap,
    three_boxes,
)

from vru.domain import VruError
from vru.ml_engine.detectors import Found
from vru.ml_engine.onnx.boxes import suppress
from vru.ml_engine.onnx.detector import OnnxDetector

PICTURE = np.zeros((SIDE, SIDE, 3), np.uint8)
RANDOM = np.random.default_rng(7)


def _found(folder: Path, outputs: Outputs, output: dict[str, Any], **changes: Any) -> list[Found]:
    return OnnxDetector(card(constant_model(folder, outputs), output, **changes), folder / "model.onnx").detect(PICTURE)


def _around(x: float, y: float, width: float, height: float) -> Corners:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def _centres(count: int, scale: float = 1.0) -> np.ndarray[Any, Any]:
    places = RANDOM.uniform(4, 28, (count, 2))
    return np.hstack([places, RANDOM.uniform(4, 14, (count, 2))]).astype(np.float32) * scale


def _scores(count: int, classes: int) -> np.ndarray[Any, Any]:
    return RANDOM.uniform(0, 1, (count, classes)).astype(np.float32) ** 2


@pytest.mark.parametrize("unit", ["pixels", "share"])
def test_yolo_v8_has_a_column_a_box(tmp_path: Path, unit: str) -> None:
    boxes, scores = _centres(40, 1 if unit == "pixels" else 1 / SIDE), _scores(40, 3)
    masks = RANDOM.normal(size=(40, 4)).astype(np.float32)
    outputs = {"output0": np.hstack([boxes, scores, masks]).T[None].copy()}
    output = {"adapter": "yolo", "output": "output0", "objectness": False, "channels_first": True}
    found = _found(tmp_path, outputs, output | {"unit": unit, "classes": 3})
    grown = boxes * (1 if unit == "pixels" else SIDE)
    candidates: list[Candidate] = [
        (float(scores[i, label]), label, _around(*grown[i].tolist())) for i in range(40) for label in range(3)
    ]
    assert_same(found, kept(candidates))


def test_yolo_v5_multiplies_with_objectness(tmp_path: Path) -> None:
    boxes, objectness, scores = _centres(40), _scores(40, 1), _scores(40, 2)
    outputs = {"output": np.hstack([boxes, objectness, scores])[None]}
    output = {"adapter": "yolo", "output": "output", "objectness": True, "channels_first": False, "unit": "pixels"}
    candidates: list[Candidate] = [
        (float(scores[i, label] * objectness[i, 0]), label, _around(*boxes[i].tolist()))
        for i in range(40)
        for label in range(2)
    ]
    assert_same(_found(tmp_path, outputs, output), kept(candidates))


def test_yolo_with_built_in_suppression_is_not_suppressed_again(tmp_path: Path) -> None:
    corners = np.array([[2, 2, 12, 22], [3, 2, 13, 22], [20, 4, 30, 20], [0, 0, 0, 0]], np.float32)
    rows = np.hstack([corners, [[0.9, 0], [0.8, 0], [0.7, 1], [0, 0]]]).astype(np.float32)
    columns = ["left", "top", "right", "bottom", "score", "class"]
    output = {"adapter": "rows", "output": "output0", "columns": columns, "unit": "pixels"}
    found = _found(tmp_path, {"output0": rows[None]}, output)
    expected: list[Candidate] = [
        (float(row[4]), int(row[5]), (float(row[0]), float(row[1]), float(row[2]), float(row[3]))) for row in rows[:3]
    ]
    assert overlap(expected[0][2], expected[1][2]) > 0.5
    assert_same(found, expected)


def test_rows_in_any_order_of_columns(tmp_path: Path) -> None:
    boxes = _centres(10, 1 / SIDE)
    labels, scores = RANDOM.integers(0, 3, 10), _scores(10, 1)[:, 0]
    rows = np.column_stack([np.zeros(10), boxes, labels, scores]).astype(np.float32)
    columns = ["batch", "centre_x", "centre_y", "width", "height", "class", "score"]
    output = {"adapter": "rows", "output": "rows", "columns": columns, "unit": "share", "suppressed": False}
    candidates: list[Candidate] = [
        (float(scores[i]), int(labels[i]), _around(*(boxes[i] * SIDE).tolist())) for i in range(10)
    ]
    assert_same(_found(tmp_path, {"rows": rows}, output), kept(candidates))


def test_yolox_counts_in_cells(tmp_path: Path) -> None:
    strides = [8, 16]
    cells = [(stride, x, y) for stride in strides for y in range(SIDE // stride) for x in range(SIDE // stride)]
    raw = RANDOM.normal(0, 0.5, (len(cells), 4)).astype(np.float32)
    objectness, scores = _scores(len(cells), 1), _scores(len(cells), 2)
    output = {"adapter": "yolox", "output": "output", "strides": strides}
    candidates: list[Candidate] = []
    for i, (stride, x, y) in enumerate(cells):
        dx, dy, w, h = raw[i].tolist()
        box = _around((dx + x) * stride, (dy + y) * stride, math.exp(w) * stride, math.exp(h) * stride)
        candidates += [(float(objectness[i, 0] * scores[i, label]), label, box) for label in range(2)]
    found = _found(tmp_path, {"output": np.hstack([raw, objectness, scores])[None]}, output)
    assert_same(found, kept(candidates))


@pytest.mark.parametrize("joined", [False, True])
def test_nanodet_takes_the_mean_of_each_distribution(tmp_path: Path, joined: bool) -> None:
    strides, bins = [8, 16], 5
    cell = 0.0 if joined else 0.5
    outputs: Outputs = {}
    candidates: list[Candidate] = []
    for level, stride in enumerate(strides):
        side = SIDE // stride
        scores = _scores(side * side, 2)
        raw = RANDOM.normal(0, 2, (side * side, 4 * bins)).astype(np.float32)
        outputs |= {f"s{level}": scores[None], f"d{level}": raw[None]}
        for i in range(side * side):
            x, y = (i % side + cell) * stride, (i // side + cell) * stride
            shares = [_softmax(raw[i, k * bins : (k + 1) * bins].tolist()) for k in range(4)]
            l, t, r, b = (sum(n * share for n, share in enumerate(part)) * stride for part in shares)  # noqa: E741
            candidates += [(float(scores[i, label]), label, (x - l, y - t, x + r, y + b)) for label in range(2)]
    output: dict[str, Any] = {"adapter": "nanodet", "strides": strides, "cell": cell}
    if joined:
        levels = [np.concatenate([outputs[f"s{n}"], outputs[f"d{n}"]], 2) for n in range(2)]
        outputs = {"output": np.concatenate(levels, 1)}
        output |= {"joined": "output", "bins": bins}
    else:
        output |= {"scores": ["s0", "s1"], "distances": ["d0", "d1"]}
    assert_same(_found(tmp_path, outputs, output), kept(candidates))


def test_detr_gives_each_query_its_likeliest_class_and_counts_the_background_out(tmp_path: Path) -> None:
    boxes = _centres(12, 1 / SIDE)
    logits = RANDOM.normal(0, 2, (12, 4)).astype(np.float32)
    output = {"adapter": "detr", "boxes": "pred_boxes", "logits": "logits"}
    candidates: list[Candidate] = []
    for i in range(12):
        shares = _softmax(logits[i].tolist())[:-1]
        label = max(range(3), key=shares.__getitem__)
        candidates.append((shares[label], label, _around(*(boxes[i] * SIDE).tolist())))
    found = _found(
        tmp_path,
        {"pred_boxes": boxes[None], "logits": logits[None]},
        output | {"activation": "softmax", "background": "last"},
    )
    assert_same(found, kept(candidates, iou=None))


def test_rt_detr_lets_each_class_stand_for_itself(tmp_path: Path) -> None:
    boxes = _centres(12, 1 / SIDE)
    logits = RANDOM.normal(0, 2, (12, 2)).astype(np.float32)
    output = {"adapter": "detr", "boxes": "dets", "logits": "labels", "activation": "sigmoid", "background": "none"}
    candidates: list[Candidate] = [
        (_sigmoid(float(logits[i, label])), label, _around(*(boxes[i] * SIDE).tolist()))
        for i in range(12)
        for label in range(2)
    ]
    found = _found(tmp_path, {"dets": boxes[None], "labels": logits[None]}, output)
    assert_same(found, kept(candidates, iou=None))


def _ssd_anchors() -> list[tuple[float, float, float, float]]:
    """Centre y, centre x, height, width on maps of 2, 1 and 1 cells with scales 0.2, 0.5, 0.8, then 1."""
    found = []
    for size, scale, larger in ((2, 0.2, 0.5), (1, 0.5, 0.8), (1, 0.8, 1.0)):
        pairs = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)] if size == 2 else [(scale, 1.0), (scale, 2.0)]
        if size == 1:
            pairs.append((math.sqrt(scale * larger), 1.0))
        for cell in range(size * size):
            y, x = (cell // size + 0.5) / size, (cell % size + 0.5) / size
            found += [(y, x, side / math.sqrt(ratio), side * math.sqrt(ratio)) for side, ratio in pairs]
    # Maps of one size that follow each other are one: their anchors are of the same cell either way.
    return found


def test_ssd_decodes_against_its_anchors(tmp_path: Path) -> None:
    anchors = _ssd_anchors()
    code = RANDOM.normal(0, 2, (len(anchors), 4)).astype(np.float32)
    logits = RANDOM.normal(0, 2, (len(anchors), 2)).astype(np.float32)
    output = {"adapter": "anchors", "boxes": "boxes", "classes": "classes", "coder": [10, 10, 5, 5]}
    output["anchors"] = {"kind": "ssd", "feature_maps": [2, 1, 1], "min_scale": 0.2, "max_scale": 0.8, "ratios": [1, 2]}
    candidates: list[Candidate] = []
    for i, (y, x, height, width) in enumerate(anchors):
        ty, tx, th, tw = code[i].tolist()
        grown = math.exp(tw / 5) * width, math.exp(th / 5) * height
        centre = tx / 10 * width + x, ty / 10 * height + y
        box = _around(*(value * SIDE for value in (*centre, *grown)))
        candidates += [(_sigmoid(float(logits[i, label])), label, box) for label in range(2)]
    assert_same(_found(tmp_path, {"boxes": code[None], "classes": logits[None]}, output), kept(candidates))


def test_efficientdet_has_octaves(tmp_path: Path) -> None:
    anchors = []
    for size in (2, 1):
        cell = SIDE / size
        for place in range(size * size):
            for octave in range(3):
                side = 3 * cell * 2 ** (octave / 3)
                for ratio in (1.0, 2.0, 0.5):
                    x, y = (place % size + 0.5) * cell, (place // size + 0.5) * cell
                    anchors.append((x, y, side * math.sqrt(ratio), side / math.sqrt(ratio)))
    code = RANDOM.normal(0, 0.7, (len(anchors), 4)).astype(np.float32) - np.float32([0, 0, 2, 2])
    scores = _scores(len(anchors), 2)
    output = {"adapter": "anchors", "boxes": "boxes", "classes": "classes", "activation": "none"}
    output["anchors"] = {"kind": "efficientdet", "feature_maps": [2, 1], "scale": 3}
    candidates: list[Candidate] = []
    for i, (x, y, width, height) in enumerate(anchors):
        ty, tx, th, tw = code[i].tolist()
        box = _around(tx * width + x, ty * height + y, math.exp(tw) * width, math.exp(th) * height)
        candidates += [(float(scores[i, label]), label, box) for label in range(2)]
    assert_same(_found(tmp_path, {"boxes": code[None], "classes": scores[None]}, output), kept(candidates))


def test_mediapipe_counts_from_anchors_of_one_size(tmp_path: Path) -> None:
    # Maps of 2, 1 and 1 cells, one ratio and the one between: two anchors a map, four in the cell that two maps share.
    centres = [((c % 2 + 0.5) / 2, (c // 2 + 0.5) / 2) for c in range(4) for _ in range(2)] + [(0.5, 0.5)] * 4
    code = RANDOM.uniform(-10, 10, (len(centres), 4)).astype(np.float32)
    code[:, 2:] = np.abs(code[:, 2:]) + 6
    logits = RANDOM.normal(0, 2, (len(centres), 2)).astype(np.float32)
    output = {"adapter": "anchors", "boxes": "boxes", "classes": "classes", "coder": [SIDE] * 4, "order": "xywh"}
    output["anchors"] = {
        "kind": "ssd",
        "feature_maps": [2, 1, 1],
        "min_scale": 0.1,
        "max_scale": 0.8,
        "ratios": [1],
        "reduced_lowest": False,
        "fixed_size": True,
    }
    candidates: list[Candidate] = []
    for i, (x, y) in enumerate(centres):
        dx, dy, width, height = code[i].tolist()
        box = _around(x * SIDE + dx, y * SIDE + dy, width, height)
        candidates += [(_sigmoid(float(logits[i, label])), label, box) for label in range(2)]
    found = _found(tmp_path, {"boxes": code[None], "classes": logits[None]}, output | {"exponential": False})
    assert_same(found, kept(candidates))


def test_finished_boxes_with_a_count_and_turned_corners(tmp_path: Path) -> None:
    corners = np.array([[4, 4, 24, 12], [6, 20, 26, 30], [0, 0, 32, 32]], np.float32) / SIDE
    outputs = {
        "detection_boxes": corners[None],
        "detection_scores": np.array([[0.9, 0.8, 0.7]], np.float32),
        "detection_classes": np.array([[1, 0, 1]], np.float32),
        "num_detections": np.array([2], np.float32),
    }
    output = {"adapter": "boxes", "boxes": "detection_boxes", "scores": "detection_scores", "unit": "share"}
    output |= {"labels": "detection_classes", "count": "num_detections", "order": "yxyx"}
    expected: list[Candidate] = [(0.9, 1, (4, 4, 12, 24)), (0.8, 0, (20, 6, 30, 26))]
    assert_same(_found(tmp_path, outputs, output), expected)


@pytest.mark.parametrize("order", ["xyxy", "xywh", "cxcywh"])
def test_plain_boxes_with_a_score_a_class(tmp_path: Path, order: str) -> None:
    centres, scores = _centres(30), _scores(30, 3)
    corners = np.array([_around(*row.tolist()) for row in centres], np.float32)
    as_exported = {"xyxy": corners, "cxcywh": centres, "xywh": np.hstack([corners[:, :2], centres[:, 2:]])}[order]
    output = {"adapter": "boxes", "boxes": "boxes", "scores": "scores", "unit": "pixels", "suppressed": False}
    candidates: list[Candidate] = []
    for i in range(30):
        x0, y0, x1, y1 = corners[i].tolist()
        candidates += [(float(scores[i, label]), label, (x0, y0, x1, y1)) for label in range(3)]
    found = _found(tmp_path, {"boxes": as_exported, "scores": scores}, output | {"order": order})
    assert_same(found, kept(candidates))


def test_plain_boxes_of_a_model_with_one_class(tmp_path: Path) -> None:
    outputs = {"boxes": three_boxes()["boxes"][None], "scores": np.array([[0.6, 0.9, 0.8]], np.float32)}
    output = {"adapter": "boxes", "boxes": "boxes", "scores": "scores", "unit": "pixels"}
    found = _found(tmp_path, outputs, output, class_map={0: "pedestrian"})
    assert [round(one.score, 4) for one in found] == [0.9, 0.8, 0.6]


_YOLO = {"adapter": "yolo", "unit": "pixels", "output": "o"}
_ROWS = {"adapter": "rows", "unit": "pixels", "output": "o"}


@pytest.mark.parametrize(
    ("shape", "output", "message"),
    [
        ((1, 40, 5), _YOLO | {"channels_first": False, "objectness": True}, "has 5 numbers a box, the card asks for 6"),
        ((40,), _YOLO | {"channels_first": True, "objectness": False}, r"shape \[40\]"),
        ((1, 40, 6), _YOLO | {"channels_first": False, "objectness": False}, "has 2 classes; the card names class 50"),
        ((1, 21, 7), {"adapter": "yolox", "output": "o", "strides": [8, 16]}, r"shape \[1, 21, 7\], not \[20, 'any'\]"),
        (
            (1, 5, 7),
            _ROWS | {"columns": ["left", "top", "right", "bottom", "score", "class"]},
            r"\[1, 5, 7\], not \['any', 6\]",
        ),
    ],
)
def test_output_of_another_shape_is_named(
    tmp_path: Path, shape: tuple[int, ...], output: dict[str, Any], message: str
) -> None:
    with pytest.raises(VruError, match=message):
        _found(tmp_path, {"o": np.ones(shape, np.float32)}, output, class_map={50: "pedestrian"})


def test_suppression_follows_its_definition() -> None:
    corner = RANDOM.uniform(0, 60, (200, 2))
    boxes = np.hstack([corner, corner + RANDOM.uniform(5, 40, (200, 2))]).astype(np.float32)
    scores, labels = RANDOM.random(200).astype(np.float32), RANDOM.integers(0, 3, 200)
    left: list[int] = []
    for index in sorted(range(200), key=lambda one: -scores[one]):
        rivals = [one for one in left if labels[one] == labels[index]]
        if all(overlap(boxes[one].tolist(), boxes[index].tolist()) <= 0.5 for one in rivals):
            left.append(index)
    assert suppress(boxes, scores, labels, 0.5).tolist() == left
    assert len(left) < 200
