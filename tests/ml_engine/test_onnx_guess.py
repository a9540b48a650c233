"""What is guessed of a file from names, shapes and metadata, each with a real ONNX file that looks like it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.ml_engine.onnx_models import Outputs, constant, written

from vru.domain import VruError
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.onnx.class_maps import data_sets
from vru.ml_engine.onnx.detector import OnnxDetector
from vru.ml_engine.onnx.facts import FileFacts
from vru.ml_engine.onnx.guess import Guess, Wishes, guess
from vru.ml_engine.onnx.reading import read_facts

NAMES = {0: "person", 1: "bicycle", 2: "car", 3: "motorcycle"}
ULTRALYTICS = {
    "author": "Ultralytics",
    "stride": "32",
    "task": "detect",
    "imgsz": "[320, 320]",
    "names": repr(NAMES),
}
CELLS = 1600 + 400 + 100  # of a picture of 320 x 320 at strides 8, 16, 32
CORNERS = ("left", "top", "right", "bottom")
COCO = dict(enumerate(data_sets()["coco"].names))


def _facts(folder: Path) -> FileFacts:
    file = folder / "model.onnx"
    return read_facts(file, file.read_bytes())


def _guess(
    folder: Path,
    shapes: dict[str, tuple[int, ...]],
    wishes: Wishes | None = None,
    metadata: dict[str, str] | None = None,
    picture: tuple[int | str, ...] = (1, 3, 320, 320),
) -> Guess:
    outputs: Outputs = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    model = constant(outputs, picture=picture)
    helper.set_model_props(model, metadata or {})
    named = written(folder, model.SerializeToString())
    found = guess(_facts(folder), wishes or Wishes(), "model.onnx")
    # What is guessed is a card that the model runs with: all its outputs have the shapes that the adapter wants.
    whole = OnnxParameters.model_validate(found.parameters | named)
    OnnxDetector(whole, folder / whole.file)
    return found


def _part(found: Guess, part: str, *keys: str) -> list[Any]:
    return [found.parameters[part].get(key) for key in keys]


def test_ultralytics_v8_says_nearly_all(tmp_path: Path) -> None:
    found = _guess(tmp_path, {"output0": (1, 8, CELLS)}, metadata=ULTRALYTICS)
    assert _part(found, "output", "adapter", "objectness", "channels_first") == ["yolo", False, True]
    assert _part(found, "input", "width", "height", "resize", "channels") == [320, 320, "letterbox", "rgb"]
    assert _part(found, "input", "deviation") == [[255.0] * 3]
    assert found.parameters["class_map"] == {0: "pedestrian"}
    assert "riders" not in found.parameters
    said = "\n".join(found.notes)
    for part in ("YOLOv8", "320x320", "named by the metadata", "0 (person) is pedestrian; the other 3 are nobody"):
        assert part in said


def test_masks_are_no_classes(tmp_path: Path) -> None:
    shapes = {"output0": (1, 8 + 32, CELLS), "output1": (1, 32, 80, 80)}
    found = _guess(tmp_path, shapes, metadata=ULTRALYTICS | {"task": "segment"})
    assert _part(found, "output", "adapter", "classes") == ["yolo", 4]


def test_any_size_is_that_of_the_metadata_or_of_the_user(tmp_path: Path) -> None:
    open_picture = (1, 3, "height", "width")
    found = _guess(tmp_path, {"output0": (1, 8, CELLS)}, metadata=ULTRALYTICS, picture=open_picture)
    assert _part(found, "input", "width", "height") == [320, 320]
    bare = {"names": repr(NAMES)}
    with pytest.raises(VruError, match=r"pictures of any size, and does not say of which.*--size"):
        _guess(tmp_path, {"output0": (1, 8, CELLS)}, metadata=bare, picture=open_picture)
    found = _guess(tmp_path, {"output0": (1, 8, CELLS)}, Wishes(size=(320, 320)), bare, open_picture)
    assert _part(found, "output", "adapter") == ["yolo"]


def test_yolo_v5_has_objectness_and_three_anchors_a_cell(tmp_path: Path) -> None:
    found = _guess(tmp_path, {"output": (1, 3 * CELLS, 9)}, metadata={"names": repr(list(NAMES.values()))})
    assert _part(found, "output", "adapter", "objectness", "channels_first") == ["yolo", True, False]


def test_riders_are_joined_only_when_asked(tmp_path: Path) -> None:
    found = _guess(tmp_path, {"output0": (1, 8, CELLS)}, Wishes(riders=True), ULTRALYTICS)
    assert found.parameters["riders"] == [
        {"person": 0, "vehicle": 1, "becomes": "cyclist"},
        {"person": 0, "vehicle": 3, "becomes": "motorcyclist"},
    ]
    assert any("person on bicycle is cyclist" in note for note in found.notes)
    with pytest.raises(VruError, match="no bicycle"):
        _guess(tmp_path, {"output0": (1, 5, CELLS)}, Wishes(names={0: "person"}, riders=True))


@pytest.mark.parametrize(
    ("shapes", "classes", "expected"),
    [
        ({"output0": (1, 300, 6)}, COCO, {"adapter": "rows", "columns": [*CORNERS, "score", "class"]}),
        ({"output": (100, 7)}, COCO, {"adapter": "rows"}),
        ({"output": (1, CELLS, 85)}, None, {"adapter": "yolox"}),
        ({"output": (1, CELLS + 25, 112)}, None, {"adapter": "nanodet", "joined": "output", "bins": 8, "cell": 0}),
        ({"dets": (1, 300, 4), "labels": (1, 300, 91)}, None, {"adapter": "detr", "activation": "sigmoid"}),
        ({"logits": (1, 100, 92), "pred_boxes": (1, 100, 4)}, None, {"activation": "softmax", "background": "last"}),
        ({"logits": (1, 300, 80), "pred_boxes": (1, 300, 4)}, None, {"activation": "sigmoid", "background": "none"}),
        ({"boxes": (9, 4), "labels": (9,), "scores": (9,)}, COCO, {"adapter": "boxes", "unit": "pixels"}),
        (
            {"detection_boxes": (1, 9, 4), "detection_scores": (1, 9), "detection_classes": (1, 9)},
            COCO,
            {"adapter": "boxes", "order": "yxyx", "unit": "share"},
        ),
        (
            {"num_dets": (1, 1), "det_boxes": (1, 9, 4), "det_scores": (1, 9), "det_classes": (1, 9)},
            COCO,
            {"adapter": "boxes", "count": "num_dets"},
        ),
        ({"boxes": (1, 19206, 4), "scores": (1, 19206, 90)}, None, {"adapter": "anchors", "activation": "none"}),
    ],
)
def test_kind_is_told_by_names_and_shapes(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], classes: dict[int, str] | None, expected: dict[str, Any]
) -> None:
    found = _guess(tmp_path, shapes, Wishes(names=classes))
    assert {key: found.parameters["output"].get(key) for key in expected} == expected


def test_layout_and_type_are_those_of_the_input(tmp_path: Path) -> None:
    model = constant({"output0": np.zeros((1, 300, 6), np.float32)}, picture=(1, 320, 320, 3))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    named = written(tmp_path, model.SerializeToString())
    found = guess(_facts(tmp_path), Wishes(names=COCO), "model.onnx")
    assert _part(found, "input", "layout", "dtype", "mean") == ["nhwc", "uint8", None]
    parameters = OnnxParameters.model_validate(found.parameters | named)
    OnnxDetector(parameters, tmp_path / parameters.file)


@pytest.mark.parametrize(
    ("shapes", "wishes", "message"),
    [
        ({"heatmap": (1, 80, 80, 4)}, Wishes(names=COCO), r"of no kind that is known: heatmap \[1, 80, 80, 4\]"),
        ({"boxes": (1, 77, 4), "scores": (1, 77, 3)}, Wishes(names=COCO), "of no kind"),
        ({"output0": (1, 300, 6)}, Wishes(), "does not name its classes.*--classes"),
        ({"output0": (1, 11, CELLS)}, Wishes(), "does not name its 7 classes"),
        ({"output0": (1, 8, CELLS)}, Wishes(names=COCO), "has 4 classes, but 80 names"),
        ({"output0": (1, 6, CELLS)}, Wishes(names={0: "car", 1: "dog"}), "No class of .* is a road user.*car, dog"),
    ],
)
def test_what_cannot_be_told_is_refused(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], wishes: Wishes, message: str
) -> None:
    with pytest.raises(VruError, match=message):
        _guess(tmp_path, shapes, wishes)


@pytest.mark.parametrize(
    "text",
    ["{'0': 'person', '1': 'car'}", '["person", "car"]', "person\ncar", "person, car", '{"0": "person", "1": "car"}'],
)
@pytest.mark.parametrize("key", ["names", "class_names", "classes", "labels"])
def test_names_are_found_however_they_are_written(tmp_path: Path, key: str, text: str) -> None:
    model = constant({"o": np.zeros((1, 3), np.float32)})
    helper.set_model_props(model, {key: text})
    written(tmp_path, model.SerializeToString())
    assert _facts(tmp_path).names == {0: "person", 1: "car"}
