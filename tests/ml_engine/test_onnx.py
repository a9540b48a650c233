"""ONNX models: small ones that are built here, and the real detectors where they are at hand."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from vru.domain import VruError
from vru.ml_engine.boxes import suppress
from vru.ml_engine.onnx import OnnxDetector
from vru.ml_engine.onnx_card import OnnxParameters
from vru.ml_engine.video import read_frames

SIDE = 32
BOXES = {"adapter": "boxes", "boxes": "boxes", "scores": "scores", "labels": "labels", "unit": "pixels"}
SSD = {
    "adapter": "ssd",
    "boxes": "raw_outputs/box_encodings",
    "classes": "raw_outputs/class_predictions",
    "feature_maps": [19, 10, 5, 3, 2, 1],
    "min_scale": 0.2,
    "max_scale": 0.95,
    "ratios": [1, 2, 0.5, 3, 1 / 3],
}
NANODET = {
    "adapter": "nanodet",
    "scores": ["Identity", "Identity_1", "Identity_2"],
    "distances": ["Identity_3", "Identity_4", "Identity_5"],
    "strides": [8, 16, 32],
}


def _constant_model(folder: Path, outputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    """A model that gives these outputs for every picture, and the part of a card that names it."""
    types = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}
    graph = helper.make_graph(
        [helper.make_node("Constant", [], [name], value=numpy_helper.from_array(v)) for name, v in outputs.items()],
        "constant",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, types[v.dtype], v.shape) for name, v in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return _written(folder, model.SerializeToString())


def _written(folder: Path, content: bytes) -> dict[str, Any]:
    (folder / "model.onnx").write_bytes(content)
    return {"file": "model.onnx", "sha256": hashlib.sha256(content).hexdigest()}


def _card(named: dict[str, Any], output: dict[str, Any], **changes: Any) -> OnnxParameters:
    picture = {"width": SIDE, "height": SIDE, "resize": "letterbox", "channels": "rgb"}
    card = named | {"input": picture, "output": output, "class_map": {0: "pedestrian", 1: "cyclist"}} | changes
    return OnnxParameters.model_validate(card)


def _three_boxes() -> dict[str, np.ndarray[Any, Any]]:
    return {
        "boxes": np.array([[8, 8, 16, 24], [0, 0, 4, 12], [2, 8, 6, 20]], np.float32),
        "scores": np.array([0.6, 0.9, 0.8], np.float32),
        "labels": np.array([0, 1, 7], np.int64),
    }


def test_letterboxed_boxes_come_back_in_pixels_of_the_picture(tmp_path: Path) -> None:
    detector = OnnxDetector(_card(_constant_model(tmp_path, _three_boxes()), BOXES), tmp_path)
    found = detector.detect(np.zeros((32, 64, 3), np.uint8))
    # 64x32 is halved to 32x16, with 8 rows above: x doubles, y is (y - 8) * 2; class 7 is not in the map.
    assert [(one.road_user.value, round(one.score, 4)) for one in found] == [("cyclist", 0.9), ("pedestrian", 0.6)]
    assert found[0].box.as_tuple() == (0, 0, 8, 8)
    assert found[1].box.as_tuple() == (16, 0, 16, 32)


def test_card_without_class_map_is_refused() -> None:
    with pytest.raises(ValidationError, match="class_map"):
        _card({"file": "model.onnx", "sha256": "0" * 64}, BOXES, class_map={})


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/model.onnx", "model.bin"])
def test_weights_outside_the_folder_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="beside the card"):
        _card({"file": name, "sha256": "0" * 64}, BOXES)


def test_wrong_hash_truncated_file_and_missing_output_are_named(tmp_path: Path) -> None:
    named = _constant_model(tmp_path, _three_boxes())
    with pytest.raises(VruError, match="its card says"):
        OnnxDetector(_card(named | {"sha256": "0" * 64}, BOXES), tmp_path)
    with pytest.raises(VruError, match="has no output 'confidence'"):
        OnnxDetector(_card(named, BOXES | {"scores": "confidence"}), tmp_path)
    half = _written(tmp_path, (tmp_path / "model.onnx").read_bytes()[:100])
    with pytest.raises(VruError, match="cannot be loaded"):
        OnnxDetector(_card(half, BOXES), tmp_path)


def test_nan_is_refused_and_not_dropped(tmp_path: Path) -> None:
    outputs = _three_boxes()
    outputs["boxes"][0, 0] = np.nan
    with pytest.raises(VruError, match="not finite"):
        OnnxDetector(_card(_constant_model(tmp_path, outputs), BOXES), tmp_path)


def test_external_data_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(np.zeros(12, np.float32).tobytes())
    folder = tmp_path / "models"
    folder.mkdir()
    _constant_model(folder, _three_boxes())
    model = onnx.load(folder / "model.onnx")
    tensor = model.graph.node[0].attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    with pytest.raises(VruError, match="cannot be loaded"):
        OnnxDetector(_card(_written(folder, model.SerializeToString()), BOXES), folder)


def _overlap(a: Any, b: Any) -> float:
    """Intersection over union, from its definition."""
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return across / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - across)


def test_suppression_follows_its_definition() -> None:
    random = np.random.default_rng(3)
    corner = random.uniform(0, 60, (200, 2))
    boxes = np.hstack([corner, corner + random.uniform(5, 40, (200, 2))]).astype(np.float32)
    scores, labels = random.random(200).astype(np.float32), random.integers(0, 3, 200)
    kept: list[int] = []
    for index in sorted(range(200), key=lambda one: -scores[one]):
        rivals = [one for one in kept if labels[one] == labels[index]]
        if all(_overlap(boxes[one].tolist(), boxes[index].tolist()) <= 0.5 for one in rivals):
            kept.append(index)
    assert suppress(boxes, scores, labels, 0.5).tolist() == kept
    assert len(kept) < 200


def _measured(real_data: Path, weights: str, output: dict[str, Any], picture: dict[str, Any], column: int) -> Any:
    """Precision and recall at confidence 0.3 and IoU 0.5, on every 5th frame of the real video."""
    import json

    file = real_data.parent / "models" / weights
    if not file.exists():
        pytest.skip(f"needs the real detector {weights} in models/ of the test data")
    named = {"file": weights, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    card = _card(named, output, input=picture, class_map={column: "pedestrian"}, score_threshold=0.3)
    detector = OnnxDetector(card, file.parent)
    document = json.loads((real_data / "annotations.coco.json").read_text())
    frame_of = {image["id"]: image["frame_index"] for image in document["images"]}
    truth: dict[int, list[list[float]]] = {}
    for one in document["annotations"]:
        if one["ignore"]:  # a sliver at the frame's edge: where one is, nothing is found
            continue
        x, y, w, h = one["bbox"]
        truth.setdefault(frame_of[one["image_id"]], []).append([x, y, x + w, y + h])
    hits = detections = boxes = 0
    for frame in read_frames(real_data / "video.mp4", 0, 1393, 5):
        open_boxes = truth.get(frame.frame_index, []).copy()
        boxes += len(open_boxes)
        for one in detector.detect(frame.image):
            detections += 1
            x, y, w, h = one.box.as_tuple()
            match = [box for box in open_boxes if _overlap(box, [x, y, x + w, y + h]) >= 0.5]
            if match:
                hits += 1
                open_boxes.remove(match[0])
    return hits / detections, hits / boxes


@pytest.mark.slow
def test_real_ssd_finds_the_people_of_the_real_video(real_data: Path) -> None:
    picture = {"width": 300, "height": 300, "resize": "stretch", "channels": "rgb"}
    picture |= {"mean": [127.5] * 3, "deviation": [127.5] * 3}
    precision, recall = _measured(real_data, "ssd-mobilenet-v2-openimages.onnx", SSD, picture, 4)
    assert precision >= 0.97
    assert recall >= 0.95


@pytest.mark.slow
def test_real_nanodet_sees_people_in_their_own_proportions(real_data: Path) -> None:
    # Stretched from 16:9 to a square the same weights find a third of the people: recall 0.315, precision 0.81.
    picture = {"width": 416, "height": 416, "resize": "letterbox", "channels": "bgr"}
    picture |= {"mean": [103.53, 116.28, 123.675], "deviation": [57.375, 57.12, 58.395]}
    precision, recall = _measured(real_data, "nanodet-coco.onnx", NANODET, picture, 0)
    assert precision >= 0.98
    assert recall >= 0.94
