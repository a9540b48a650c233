"""Small ONNX models, their cards, and what is to be found, written from the definitions in plain Python."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from onnx import TensorProto, helper, numpy_helper

from vru.ml_engine.detectors import Found
from vru.ml_engine.lanes import LaneLimits
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.serving import Models

SIDE = 32
CLASSES = {0: "pedestrian", 1: "cyclist"}
BOXES = {"adapter": "boxes", "boxes": "boxes", "scores": "scores", "labels": "labels", "unit": "pixels"}

Outputs = dict[str, np.ndarray[Any, Any]]
Corners = tuple[float, float, float, float]
Candidate = tuple[float, int, Corners]
"""Score, number of the class, corners."""


def written(folder: Path, content: bytes, name: str = "model.onnx") -> dict[str, Any]:
    """Put a model into a folder: the part of a card that names it."""
    (folder / name).write_bytes(content)
    return {"file": name, "sha256": hashlib.sha256(content).hexdigest()}


def graph_of(nodes: Sequence[Any], outputs: Outputs, *, picture: Sequence[int | str] = (1, 3, SIDE, SIDE)) -> Any:
    """A model with one input ``images`` and these outputs."""
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, picture)],
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in outputs.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def constant(outputs: Outputs, **options: Any) -> Any:
    """A model that gives these outputs for every picture."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))
        for name, value in outputs.items()
    ]
    return graph_of(nodes, outputs, **options)


def constant_model(folder: Path, outputs: Outputs) -> dict[str, Any]:
    """As ``constant``, in a folder: the part of a card that names it."""
    return written(folder, constant(outputs).SerializeToString())


def card(named: dict[str, Any], output: dict[str, Any], **changes: Any) -> OnnxParameters:
    """A card for a model whose input is 32 x 32."""
    picture = {"width": SIDE, "height": SIDE, "resize": "letterbox", "channels": "rgb"}
    whole = named | {"input": picture, "output": output, "class_map": CLASSES} | changes
    return OnnxParameters.model_validate(whole)


def three_boxes() -> Outputs:
    """Finished boxes: a pedestrian, a cyclist, and one of class 7."""
    return {
        "boxes": np.array([[8, 8, 16, 24], [0, 0, 4, 12], [2, 8, 6, 20]], np.float32),
        "scores": np.array([0.6, 0.9, 0.8], np.float32),
        "labels": np.array([0, 1, 7], np.int64),
    }


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union."""
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - across
    return across / whole if whole > 0 else 0.0


def kept(candidates: Sequence[Candidate], iou: float | None = 0.5, least: float = 0.05) -> list[Candidate]:
    """Those of the card's classes above the threshold that survive suppression; ``iou`` None: there is none."""
    found: list[Candidate] = []
    for one in sorted(candidates, key=lambda candidate: -candidate[0]):
        if one[0] < least or one[1] not in CLASSES:
            continue
        if iou is None or all(overlap(one[2], other[2]) <= iou for other in found if other[1] == one[1]):
            found.append(one)
    return found


def assert_same(found: Sequence[Found], expected: Sequence[Candidate]) -> None:
    """What a detector found is what was to be found, cut to the picture."""
    plain = []
    for score, label, (x0, y0, x1, y1) in expected:
        inside = max(x0, 0.0), max(y0, 0.0), min(x1, float(SIDE)), min(y1, float(SIDE))
        if inside[2] - inside[0] > 1e-4 and inside[3] - inside[1] > 1e-4:
            plain.append((score, CLASSES[label], inside))
    assert len(plain) >= 2, "the test compares nothing"
    assert [one.road_user.value for one in found] == [road_user for _, road_user, _ in plain]
    for one, (score, _, corners) in zip(found, plain, strict=True):
        assert abs(one.score - score) < 1e-4
        x, y, width, height = one.box.as_tuple()
        assert np.allclose((x, y, x + width, y + height), corners, atol=1e-3)


def add_version(root: Path, name: str, content: bytes, **picture: str) -> None:
    """Put version 1 of a model with finished boxes into a repository."""
    folder = root / name / "1"
    folder.mkdir(parents=True)
    parameters = card(written(folder, content), BOXES).model_dump(mode="json")
    parameters["input"] |= picture
    head = {"name": name, "version": "1", "runtime": "onnx", "description": "d", "source": "s", "licence": "MIT"}
    document = head | {"classes": ["pedestrian", "cyclist"], "parameters": parameters}
    (folder / "model.yaml").write_text(yaml.safe_dump(document))


@contextmanager
def served(root: Path, *, batch: int = 2, delay_s: float = 0.005, requests: int = 8) -> Iterator[Models]:
    """The models of a repository, loaded."""
    models = Models(root, LaneLimits(batch, delay_s, requests), threads=1, at_once=2)
    try:
        models.refresh()
        yield models
    finally:
        models.close()
