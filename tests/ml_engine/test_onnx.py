"""Loading ONNX models: what runs, and what is refused by name; the real detectors where they are at hand."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError
from tests.ml_engine.onnx_models import (
    BOXES,
    SIDE,
    add_version,
    card,
    constant,
    constant_model,
    graph_of,
    overlap,
    served,
    three_boxes,
    written,
)

from vru.domain import VruError
from vru.ml_engine.inference import Engine
from vru.ml_engine.lanes import Priority
from vru.ml_engine.onnx import cage
from vru.ml_engine.onnx.detector import OnnxDetector
from vru.ml_engine.readers import Readers
from vru.service.opened import opened
from vru.service.schemas import StreamEnd, VideoDetectionRequest

SSD = {
    "adapter": "anchors",
    "boxes": "raw_outputs/box_encodings",
    "classes": "raw_outputs/class_predictions",
    "coder": [10, 10, 5, 5],
    "anchors": {
        "kind": "ssd",
        "feature_maps": [19, 10, 5, 3, 2, 1],
        "min_scale": 0.2,
        "max_scale": 0.95,
        "ratios": [1, 2, 0.5, 3, 1 / 3],
    },
}
NANODET = {
    "adapter": "nanodet",
    "scores": ["Identity", "Identity_1", "Identity_2"],
    "distances": ["Identity_3", "Identity_4", "Identity_5"],
    "strides": [8, 16, 32],
}


def test_letterboxed_boxes_come_back_in_pixels_of_the_picture(tmp_path: Path) -> None:
    detector = OnnxDetector(card(constant_model(tmp_path, three_boxes()), BOXES), tmp_path / "model.onnx")
    found = detector.detect(np.zeros((32, 64, 3), np.uint8))
    # 64x32 is halved to 32x16, with 8 rows above: x doubles, y is (y - 8) * 2; class 7 is not in the map.
    assert [(one.road_user.value, round(one.score, 4)) for one in found] == [("cyclist", 0.9), ("pedestrian", 0.6)]
    assert found[0].box.as_tuple() == (0, 0, 8, 8)
    assert found[1].box.as_tuple() == (16, 0, 16, 32)
    assert detector.provider == "CPUExecutionProvider"


def test_second_input_gets_the_size(tmp_path: Path) -> None:
    """As RT-DETR is exported: boxes come in the size that the model is told."""
    outputs = three_boxes()
    share = helper.make_node("Constant", [], ["share"], value=numpy_helper.from_array(outputs["boxes"] / SIDE))
    nodes = [
        share,
        helper.make_node("Cast", ["size"], ["sides"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["sides", "sides"], ["four"], axis=1),
        helper.make_node("Mul", ["share", "four"], ["boxes"]),
    ]
    nodes += [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(outputs[name]))
        for name in ("scores", "labels")
    ]
    model = graph_of(nodes, outputs)
    model.graph.input.append(helper.make_tensor_value_info("size", TensorProto.INT64, [1, 2]))
    named = written(tmp_path, model.SerializeToString())
    picture = {"width": SIDE, "height": SIDE, "resize": "stretch", "channels": "rgb"}
    with pytest.raises(VruError, match="inputs images, size"):
        OnnxDetector(card(named, BOXES, input=picture), tmp_path / "model.onnx")
    detector = OnnxDetector(
        card(named, BOXES, input=picture | {"size_input": {"name": "size"}}), tmp_path / "model.onnx"
    )
    found = detector.detect(np.zeros((SIDE, SIDE, 3), np.uint8))
    assert found[0].box.as_tuple() == (0, 0, 4, 12)


def test_card_without_class_map_is_refused() -> None:
    with pytest.raises(ValidationError, match="class_map"):
        card({"file": "model.onnx", "sha256": "0" * 64}, BOXES, class_map={})


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/model.onnx", "model.bin"])
def test_weights_outside_the_folder_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="beside the card"):
        card({"file": name, "sha256": "0" * 64}, BOXES)


def test_wrong_hash_truncated_file_and_missing_output_are_named(tmp_path: Path) -> None:
    named = constant_model(tmp_path, three_boxes())
    with pytest.raises(VruError, match="its card says"):
        cage.trial(card(named | {"sha256": "0" * 64}, BOXES), tmp_path)
    with pytest.raises(VruError, match="has no output 'confidence'"):
        cage.trial(card(named, BOXES | {"scores": "confidence"}), tmp_path)
    half = written(tmp_path, (tmp_path / "model.onnx").read_bytes()[:100])
    with pytest.raises(VruError, match="is not an ONNX model, or is cut short"):
        cage.trial(card(half, BOXES), tmp_path)
    with pytest.raises(VruError, match="no such file"):
        cage.trial(card({"file": "other.onnx", "sha256": "0" * 64}, BOXES), tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 1000, b"<html>not found</html>"])
def test_what_is_no_onnx_model_is_refused(tmp_path: Path, content: bytes) -> None:
    written(tmp_path, content)
    with pytest.raises(VruError, match="is not an ONNX model"):
        cage.inspect(tmp_path / "model.onnx")


def test_input_of_another_shape_is_named(tmp_path: Path) -> None:
    named = written(tmp_path, constant(three_boxes(), picture=[1, 3, 64, 64]).SerializeToString())
    with pytest.raises(VruError, match=r"does not run: .*Expected: 64"):
        cage.trial(card(named, BOXES), tmp_path)


def test_nan_is_refused_and_not_dropped(tmp_path: Path) -> None:
    outputs = three_boxes()
    outputs["boxes"][0, 0] = np.nan
    named = constant_model(tmp_path, outputs)
    with pytest.raises(VruError, match=r"weights 'Constant' of .* hold NaN"):
        cage.trial(card(named, BOXES), tmp_path)
    with pytest.raises(VruError, match="not finite"):
        OnnxDetector(card(named, BOXES), tmp_path / "model.onnx")


def test_external_data_is_refused_by_name_and_never_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(np.zeros(12, np.float32).tobytes())
    folder = tmp_path / "models"
    folder.mkdir()
    model = constant(three_boxes())
    tensor = model.graph.node[0].attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    named = written(folder, model.SerializeToString())
    with pytest.raises(VruError, match=r"weights 'Constant' of .* lie in '../secret', outside of the file"):
        cage.trial(card(named, BOXES), folder)
    with pytest.raises(VruError, match="cannot be loaded"):
        OnnxDetector(card(named, BOXES), folder / "model.onnx")


def _hidden(model: Any) -> Any:
    """The same node, in the branch of an If."""
    inner = helper.make_graph(list(model.graph.node), "branch", [], [])
    other = helper.make_graph([helper.make_node("Identity", ["images"], ["same"])], "other", [], [])
    flag = helper.make_node("Constant", [], ["flag"], value=numpy_helper.from_array(np.array(True)))
    return graph_of([flag, helper.make_node("If", ["flag"], ["o"], then_branch=inner, else_branch=other)], {})


@pytest.mark.parametrize("inside", [False, True])
def test_custom_operator_is_refused_by_name(tmp_path: Path, inside: bool) -> None:
    output = np.zeros((1, 3, SIDE, SIDE), np.float32)
    model = graph_of([helper.make_node("Backdoor", ["images"], ["o"], domain="evil")], {"o": output})
    if inside:
        model = _hidden(model)
        model.graph.output.append(helper.make_tensor_value_info("o", TensorProto.FLOAT, output.shape))
    written(tmp_path, model.SerializeToString())
    with pytest.raises(VruError, match="operator 'Backdoor' of 'evil', which onnxruntime does not have"):
        cage.inspect(tmp_path / "model.onnx")


def _greedy(folder: Path) -> dict[str, Any]:
    """A model that makes a tensor of 4 TB."""
    shape = numpy_helper.from_array(np.array([1_000_000, 1_000_000], np.int64))
    nodes = [helper.make_node("Constant", [], ["shape"], value=shape)]
    nodes += [helper.make_node("ConstantOfShape", ["shape"], ["boxes"])]
    return written(folder, graph_of(nodes, {"boxes": np.zeros((1, 1), np.float32)}).SerializeToString())


def test_model_that_wants_all_the_memory_fails_alone(tmp_path: Path) -> None:
    output = {"adapter": "boxes", "boxes": "boxes", "scores": "boxes", "unit": "pixels"}
    with pytest.raises(
        VruError, match=r"model\.onnx (cannot be loaded|does not run|cannot be read: reading it takes more)"
    ):
        cage.trial(card(_greedy(tmp_path), output), tmp_path)


def _endless(folder: Path) -> dict[str, Any]:
    """A model that counts to 2**62."""
    outputs = three_boxes()
    count = helper.make_tensor_value_info("n", TensorProto.INT64, [])
    going = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Sin", ["state"], ["next"])],
        "body",
        [count, going, state],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, []),
        ],
    )
    constants = {"most": np.array(2**62), "yes": np.array(True), "zero": np.array(0.5, np.float32)}
    nodes = [helper.make_node("Constant", [], [n], value=numpy_helper.from_array(v)) for n, v in constants.items()]
    nodes += [
        helper.make_node("ReduceMin", ["images"], ["start"], keepdims=0),
        helper.make_node("Loop", ["most", "yes", "start"], ["end"], body=body),
        helper.make_node("Constant", [], ["same"], value=numpy_helper.from_array(outputs["boxes"])),
        helper.make_node("Add", ["same", "end"], ["boxes"]),
    ]
    return written(folder, graph_of(nodes, {"boxes": outputs["boxes"]}).SerializeToString())


def test_model_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cage, "SECONDS", 3)
    output = {"adapter": "boxes", "boxes": "boxes", "scores": "boxes", "unit": "pixels"}
    with pytest.raises(VruError, match=r"reading it took more than (3 s of processor time|15 s)"):
        cage.trial(card(_endless(tmp_path), output), tmp_path)


def _children() -> list[int]:
    """The processes that try models for this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"vru.ml_engine.onnx.trial" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_trial_that_is_killed_is_named_and_the_next_model_is_tried(tmp_path: Path) -> None:
    output = {"adapter": "boxes", "boxes": "boxes", "scores": "boxes", "unit": "pixels"}
    with ThreadPoolExecutor(1) as pool:
        trying = pool.submit(cage.trial, card(_endless(tmp_path), output), tmp_path)
        while not (children := _children()):
            time.sleep(0.05)
        # A child has its second filter of system calls once everything is imported: then it gets the file.
        while "Seccomp_filters:\t2" not in Path(f"/proc/{children[0]}/status").read_text():
            time.sleep(0.05)
        time.sleep(1)
        os.kill(children[0], signal.SIGKILL)
        with pytest.raises(VruError, match=r"model\.onnx cannot be read: its reader was killed"):
            trying.result(60)
    cage.trial(card(constant_model(tmp_path, three_boxes()), BOXES), tmp_path)
    assert _children() == []


def test_onnxruntime_reports_to_nobody(tmp_path: Path) -> None:
    """Its builds for Linux keep an id of the machine and a store of what they report, unless they are told not to."""
    named = constant_model(tmp_path, three_boxes())
    (tmp_path / "card.json").write_text(card(named, BOXES).model_dump_json())
    (tmp_path / "home").mkdir()
    program = (
        "import sys\nfrom pathlib import Path\nfrom vru.ml_engine.onnx.card import OnnxParameters\n"
        "from vru.ml_engine.onnx.detector import OnnxDetector\n"
        "card, file = map(Path, sys.argv[1:])\n"
        "OnnxDetector(OnnxParameters.model_validate_json(card.read_text()), file)\n"
    )
    homes = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home")}
    arguments = [sys.executable, "-c", program, tmp_path / "card.json", tmp_path / "model.onnx"]
    subprocess.run(arguments, env=os.environ | homes, check=True)
    assert list((tmp_path / "home").rglob("*")) == []


def test_broken_model_is_set_aside_and_the_others_run(tmp_path: Path) -> None:
    add_version(tmp_path, "good", constant(three_boxes()).SerializeToString())
    add_version(tmp_path, "broken", b"broken")
    with served(tmp_path) as models:
        assert [one.version.label for one in models.list()] == ["good/1"]
        (wrong,) = models.repository.unusable()
        assert wrong.name == "broken" and "is not an ONNX model" in wrong.reason
        with models.use("good") as good:
            assert good.body().provider == "CPUExecutionProvider"
            answer = good.lane.put(np.zeros((40, 40, 3), np.uint8), Priority.BULK).result(30)
        assert len(answer.seen.found) == 2


def _blind_in_the_dark(folder: Path) -> None:
    """A version ``dark/1`` whose boxes are NaN where a picture is all black."""
    outputs = three_boxes()
    nodes = [
        helper.make_node("Constant", [], [f"the_{name}"], value=numpy_helper.from_array(value))
        for name, value in (outputs | {"zero": np.zeros(1, np.float32)}).items()
    ]
    nodes += [
        helper.make_node("ReduceMax", ["images"], ["brightest"], keepdims=0),
        helper.make_node("Log", ["brightest"], ["log"]),
        helper.make_node("Mul", ["log", "the_zero"], ["nothing"]),
        helper.make_node("Add", ["the_boxes", "nothing"], ["boxes"]),
        helper.make_node("Identity", ["the_scores"], ["scores"]),
        helper.make_node("Identity", ["the_labels"], ["labels"]),
    ]
    add_version(folder, "dark", graph_of(nodes, outputs).SerializeToString(), resize="stretch")


async def test_picture_that_a_model_has_no_answer_for_ends_the_stream_with_its_frame(
    tmp_path: Path, readers: Readers
) -> None:
    _blind_in_the_dark(tmp_path)
    with served(tmp_path) as models:
        assert models.repository.unusable() == []
        engine = Engine(models, readers, ahead=4, image=None)
        with av.open(str(tmp_path / "video.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            for brightness in (200, 200, 0, 200):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), brightness, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        request = VideoDetectionRequest(path="video.mp4", last_frame=3)
        lines = [line async for line in await engine.detect_video("dark", "1", tmp_path, request)]
        end = StreamEnd.model_validate_json(lines[-1])
        assert (len(lines), end.frames, end.provider) == (3, 2, "CPUExecutionProvider")
        assert "Frame 2" in str(end.error) and "not finite" in str(end.error)
        engine.close()


def _measured(real_data: Path, weights: str, output: dict[str, Any], picture: dict[str, Any], column: int) -> Any:
    """Precision and recall at confidence 0.3 and IoU 0.5, on every 5th frame of the real video."""
    file = real_data.parent / "models" / weights
    if not file.exists():
        pytest.skip(f"needs the real detector {weights} in models/ of the test data")
    named = {"file": weights, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    parameters = card(named, output, input=picture, class_map={column: "pedestrian"}, score_threshold=0.3)
    detector = OnnxDetector(parameters, file)
    document = json.loads((real_data / "annotations.coco.json").read_text())
    frame_of = {image["id"]: image["frame_index"] for image in document["images"]}
    truth: dict[int, list[list[float]]] = {}
    for one in document["annotations"]:
        if one["ignore"]:  # a sliver at the frame's edge: where one is, nothing is found
            continue
        x, y, w, h = one["bbox"]
        truth.setdefault(frame_of[one["image_id"]], []).append([x, y, x + w, y + h])
    hits = detections = boxes = 0
    with Readers() as readers, opened(real_data / "video.mp4") as file:
        for frame in readers.frames(file, 0, 1393, 5):
            open_boxes = truth.get(frame.frame_index, []).copy()
            boxes += len(open_boxes)
            for one in detector.detect(frame.image):
                detections += 1
                x, y, w, h = one.box.as_tuple()
                match = [box for box in open_boxes if overlap(box, [x, y, x + w, y + h]) >= 0.5]
                if match:
                    hits += 1
                    open_boxes.remove(match[0])
    return hits / detections, hits / boxes


@pytest.mark.slow
def test_real_ssd_finds_the_people_of_the_real_video(real_data: Path) -> None:
    picture = {"width": 300, "height": 300, "resize": "stretch", "channels": "rgb"}
    picture |= {"mean": [127.5] * 3, "deviation": [127.5] * 3}
    precision, recall = _measured(real_data, "ssd-mobilenet-v2-openimages.onnx", SSD, picture, 4)
    assert precision >= 0.99
    assert recall >= 0.97


@pytest.mark.slow
def test_real_nanodet_sees_people_in_their_own_proportions(real_data: Path) -> None:
    # Stretched from 16:9 to a square the same weights find a third of the people: recall 0.315, precision 0.81.
    picture = {"width": 416, "height": 416, "resize": "letterbox", "channels": "bgr"}
    picture |= {"mean": [103.53, 116.28, 123.675], "deviation": [57.375, 57.12, 58.395]}
    precision, recall = _measured(real_data, "nanodet-coco.onnx", NANODET, picture, 0)
    assert precision >= 0.98
    assert recall >= 0.94


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["ssd-mobilenet-v2-openimages.onnx", "nanodet-coco.onnx"])
def test_real_detectors_pass_the_trial(real_data: Path, weights: str) -> None:
    file = real_data.parent / "models" / weights
    if not file.exists():
        pytest.skip(f"needs the real detector {weights} in models/ of the test data")
    facts = cage.inspect(file)
    assert facts.inputs[0].shape in ([1, 3, 300, 300], [1, 3, 416, 416])
    assert onnx.defs.onnx_opset_version() >= facts.opset >= 11
