import shutil
from pathlib import Path

import pytest
import yaml
from tests.ml_engine.onnx_models import served

from vru.domain import VruError
from vru.ml_engine.repository import ModelRepository, folder_digest
from vru.ml_engine.runtimes import load
from vru.service.errors import NotFoundError, UnprocessableError


@pytest.fixture
def root(models_dir: Path, tmp_path: Path) -> Path:
    """A repository of one's own, with the built-in model in it."""
    shutil.copytree(models_dir, tmp_path / "models")
    return tmp_path / "models"


def _add_version(root: Path, version: str, **changes: object) -> Path:
    card = yaml.safe_load((root / "opencv-hog" / "1" / "model.yaml").read_text())
    folder = root / "opencv-hog" / version
    folder.mkdir(exist_ok=True)
    (folder / "model.yaml").write_text(yaml.safe_dump(card | {"version": version} | changes))
    return folder / "model.yaml"


def test_built_in_model_is_there_and_loads(root: Path) -> None:
    (version,) = ModelRepository(root).list()
    assert version.label == "opencv-hog/1"
    assert len(version.body().sha256) == 64
    load(version)


def test_newest_version_is_the_default(root: Path) -> None:
    for version in ("2", "10", "9", "1.10", "1.9"):
        _add_version(root, version)
    repository = ModelRepository(root)
    assert [entry.card.version for entry in repository.list()] == ["1", "1.9", "1.10", "2", "9", "10"]
    assert repository.get("opencv-hog").card.version == "10"
    assert repository.get("opencv-hog", "2").card.version == "2"


def test_unknown_model_or_version_says_what_there_is(root: Path) -> None:
    repository = ModelRepository(root)
    with pytest.raises(NotFoundError, match=r"no model 'yolo'.*There is: opencv-hog"):
        repository.get("yolo")
    with pytest.raises(NotFoundError, match=r"'opencv-hog' has no version '7'.*There is: 1"):
        repository.get("opencv-hog", "7")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"licence": None}, r"model\.yaml is not valid: licence"),
        ({"licens": "MIT"}, r"licens: Extra inputs"),
        ({"classes": ["pedestrian", "car"]}, r"classes\.1"),
        ({"classes": []}, "classes"),
        ({"name": "other"}, "its folder 'opencv-hog'"),
    ],
)
def test_wrong_card_makes_its_version_unusable_and_nothing_else(
    root: Path, changes: dict[str, object], message: str
) -> None:
    path = _add_version(root, "2", **changes)
    repository = ModelRepository(root)
    with pytest.raises(UnprocessableError, match=message) as caught:
        repository.get("opencv-hog", "2")
    assert str(path) in str(caught.value)
    (wrong,) = repository.unusable()
    assert (wrong.name, wrong.version) == ("opencv-hog", "2")
    assert repository.get("opencv-hog").card.version == "1"
    with pytest.raises(NotFoundError, match="no version '3'"):
        repository.get("opencv-hog", "3")


def test_card_that_its_runtime_refuses_is_set_aside_with_the_reason(root: Path) -> None:
    _add_version(root, "2", runtime="magic")
    with served(root) as models:
        with pytest.raises(UnprocessableError, match="there is no 'magic'"), models.use("opencv-hog", "2"):
            pass
        assert [one.version.label for one in models.list()] == ["opencv-hog/1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runtime": "magic"}, r"runtime: there is no 'magic'.*opencv-hog"),
        ({"classes": ["cyclist"]}, "classes: opencv-hog finds pedestrians only"),
        ({"parameters": {"win_stride": 0}}, r"parameters\.win_stride"),
        ({"parameters": {"shrimk": {}}}, r"parameters\.shrimk"),
    ],
)
def test_card_that_its_runtime_refuses_names_file_and_key(root: Path, changes: dict[str, object], message: str) -> None:
    path = _add_version(root, "2", **changes)
    with pytest.raises(VruError, match=message) as caught:
        load(ModelRepository(root).get("opencv-hog", "2"))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"- a list", b"name: [", b"\xff\xfe\x00"])
def test_file_that_is_no_card_is_an_error_that_names_it(root: Path, content: bytes) -> None:
    path = _add_version(root, "2")
    path.write_bytes(content)
    with pytest.raises(UnprocessableError, match=str(path)):
        ModelRepository(root).get("opencv-hog", "2")


def test_missing_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VruError, match="VRU_MODELS_DIR"):
        ModelRepository(tmp_path / "nowhere")


def test_digest_changes_with_content_and_with_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    first = folder_digest(tmp_path)
    assert folder_digest(tmp_path) == first
    (tmp_path / "a").write_text("two")
    second = folder_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    third = folder_digest(tmp_path)
    assert len({first, second, third}) == 3
