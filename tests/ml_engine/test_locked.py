"""Models in locked processes of their own: equal answers, no way out, and an end that is named."""

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.ml_engine.onnx_models import BOXES, SIDE, card, constant_model, three_boxes
from tests.ml_engine.test_onnx import NANODET, SSD

from vru.domain import VruError
from vru.ml_engine.detectors import Image, Seen
from vru.ml_engine.onnx import locked as locked_module
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.onnx.detector import OnnxDetector
from vru.ml_engine.onnx.locked import LockedModel
from vru.sandbox.process import Child
from vru.scenes import Scene

GREY = np.full((48, 64, 3), 114, np.uint8)


def _locked(parameters: OnnxParameters, folder: Path) -> LockedModel:
    return LockedModel(parameters, folder, "m/1", threads=1, at_once=2)


def _seen(model: LockedModel, *images: Image) -> list[Seen]:
    seen = model.look(images)
    assert all(isinstance(one, Seen) for one in seen), seen
    return seen  # type: ignore[return-value]


def _pid(model: LockedModel) -> int:
    assert model._child is not None
    return model._child._process.pid


@pytest.fixture
def model(tmp_path: Path) -> Iterator[LockedModel]:
    made = _locked(card(constant_model(tmp_path, three_boxes()), BOXES), tmp_path)
    yield made
    made.close()


def _real(real_data: Path, weights: str) -> tuple[OnnxParameters, Path]:
    file = real_data.parent / "models" / weights
    if not file.is_file():
        pytest.skip(f"{weights} is not there")
    stretched = {"resize": "stretch", "channels": "rgb"}
    if weights.startswith("ssd"):
        picture = stretched | {"width": 300, "height": 300, "mean": [127.5] * 3, "deviation": [127.5] * 3}
        output, classes = SSD, {4: "pedestrian"}
    else:
        means = {"mean": [103.53, 116.28, 123.675], "deviation": [57.375, 57.12, 58.395], "channels": "bgr"}
        picture, output, classes = stretched | {"width": 416, "height": 416} | means, NANODET, {0: "pedestrian"}
    named = {"file": weights, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    whole = named | {"input": picture, "output": output, "class_map": classes, "score_threshold": 0.1}
    return OnnxParameters.model_validate(whole), file


@pytest.mark.parametrize("weights", ["ssd-mobilenet-v2-openimages.onnx", "nanodet-coco.onnx"])
def test_a_real_detector_answers_as_in_this_process(real_data: Path, weights: str, crossing: Scene) -> None:
    parameters, file = _real(real_data, weights)
    here = OnnxDetector(parameters, file)
    locked = _locked(parameters, file.parent)
    # Of several sizes, so that the memory that is lent has to grow.
    pictures = [np.ascontiguousarray(crossing.frame(30 + 5 * k).image[: 360 - 40 * k]) for k in range(4)]
    pictures.append(np.tile(pictures[0], (2, 2, 1)))
    try:
        assert locked.provider == here.provider == "CPUExecutionProvider"
        for several in ([pictures[0]], pictures):
            for one, picture in zip(_seen(locked, *several), several, strict=True):
                expected = here.detect(picture)
                assert [(f.road_user, f.score, f.box) for f in one.found] == [
                    (f.road_user, f.score, f.box) for f in expected
                ]
                assert one.stages.inference > 0
        assert sum(len(one.found) for one in _seen(locked, *pictures)) > 0
    finally:
        locked.close()


def test_the_process_has_no_secret_and_no_way_out(model: LockedModel) -> None:
    pid = _pid(model)
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"VRU_" not in environment and b"PATH" not in environment
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    # One filter for system calls, one more that lets no file be opened.
    assert int(status.split("Seccomp_filters:\t")[1].split()[0]) >= 2
    opened = {os.readlink(f"/proc/{pid}/fd/{number}").split("/")[-1] for number in os.listdir(f"/proc/{pid}/fd")}
    assert not {name for name in opened if not name.startswith(("null", "pipe:", "socket:"))}


def test_secrets_of_the_service_do_not_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VRU_ML_ENGINE_SECRET", "a-secret-that-stays-here")
    model = _locked(card(constant_model(tmp_path, three_boxes()), BOXES), tmp_path)
    try:
        assert b"a-secret-that-stays-here" not in Path(f"/proc/{_pid(model)}/environ").read_bytes()
    finally:
        model.close()


def test_a_process_that_ends_is_named_and_the_next_picture_is_looked_at(model: LockedModel) -> None:
    first = _pid(model)
    os.kill(first, signal.SIGSTOP)  # so that it ends while it is asked
    threading.Timer(0.3, os.kill, (first, signal.SIGSEGV)).start()
    threading.Timer(0.4, os.kill, (first, signal.SIGCONT)).start()
    (error,) = model.look([GREY])
    assert isinstance(error, VruError)
    assert "The model m/1 stopped: its process crashed on it (SIGSEGV)" in error.message
    (seen,) = _seen(model, GREY)
    assert len(seen.found) == 2
    assert _pid(model) != first
    os.kill(_pid(model), signal.SIGKILL)  # and one that ended while nobody asked is started again
    os.waitid(os.P_PID, _pid(model), os.WEXITED | os.WNOWAIT)
    assert len(_seen(model, GREY)[0].found) == 2


def test_a_picture_that_ends_the_process_has_no_effect_on_others(
    model: LockedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is made to end at white pictures, as a model could that attacks its runtime."""
    asked = locked_module.LockedModel._ask

    def ask(self, child, function, file, returns, limits, **what):
        if function == "look":
            white = any(self._tray._memory[start] == 255 for start, _, _ in what["places"])
            if white:
                os.kill(child._process.pid, signal.SIGABRT)
        return asked(self, child, function, file, returns, limits, **what)

    monkeypatch.setattr(locked_module.LockedModel, "_ask", ask)
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    before, error, after = model.look([GREY, white, GREY])
    assert isinstance(before, Seen) and isinstance(after, Seen)
    assert len(before.found) == len(after.found) == 2
    assert isinstance(error, VruError) and "SIGABRT" in error.message


@pytest.mark.parametrize(
    "row",
    [
        ["pedestrian", 0.5, 0.0, 0.0, 65.0, 1.0],
        ["pedestrian", 1.5, 0.0, 0.0, 1.0, 1.0],
        ["pedestrian", float("nan"), 0.0, 0.0, 1.0, 1.0],
        ["pedestrian", 0.5, -1.0, 0.0, 1.0, 1.0],
        ["animal", 0.5, 0.0, 0.0, 1.0, 1.0],
        ["tank", 0.5, 0.0, 0.0, 1.0, 1.0],
        ["pedestrian", 0.5, "x", 0.0, 1.0, 1.0],
    ],
)
def test_boxes_that_make_no_sense_are_not_believed(
    model: LockedModel, monkeypatch: pytest.MonkeyPatch, row: list[object]
) -> None:
    lie = msgspec.Raw(msgspec.msgpack.encode([[[row], [0.0, 0.0, 0.0], None]]))
    with monkeypatch.context() as patched:
        patched.setattr(Child, "call", lambda self, job, file, limits: lie)
        model._tray = locked_module.Tray(1 << 20)
        (error,) = model.look([GREY])
    assert isinstance(error, VruError) and "garbled" in error.message
    assert len(_seen(model, GREY)[0].found) == 2


def test_a_file_that_was_changed_is_not_loaded_again(tmp_path: Path) -> None:
    model = _locked(card(constant_model(tmp_path, three_boxes()), BOXES), tmp_path)
    try:
        (tmp_path / "model.onnx").write_bytes(b"another")
        os.kill(_pid(model), signal.SIGKILL)
        os.waitid(os.P_PID, _pid(model), os.WEXITED | os.WNOWAIT)
        with pytest.raises(VruError, match="SHA-256"):
            model.look([GREY])
    finally:
        model.close()
