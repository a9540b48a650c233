import uuid
from pathlib import Path

import pytest

from vru.camera_service.cameras import Cameras
from vru.camera_service.sources import READERS
from vru.camera_service.store import CameraStore, StoredCamera
from vru.domain import VruError
from vru.sandbox.pool import Sandbox
from vru.service.errors import NotFoundError
from vru.service.schemas import CameraCreate


def _camera(name: str) -> StoredCamera:
    return StoredCamera(id=uuid.uuid4(), name=name, kind="virtual", source="crossing", running=True)


def test_cameras_come_back(tmp_path: Path) -> None:
    cameras = [_camera("one"), _camera("two")]
    CameraStore(tmp_path / "state").save(cameras)
    assert CameraStore(tmp_path / "state").load() == cameras
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["cameras.json"]


def test_nothing_stored_is_no_camera(tmp_path: Path) -> None:
    assert CameraStore(tmp_path / "nowhere").load() == []


@pytest.mark.parametrize("content", ["", "{", '{"cameras": [{"name": "x"}]}', '{"camras": []}'])
def test_damaged_file_is_an_error_that_names_it_and_stays(tmp_path: Path, content: str) -> None:
    (tmp_path / "cameras.json").write_text(content)
    with pytest.raises(VruError, match=r"cameras\.json is damaged"):
        CameraStore(tmp_path).load()
    assert (tmp_path / "cameras.json").read_text() == content


def test_half_written_file_does_not_count(tmp_path: Path) -> None:
    store = CameraStore(tmp_path)
    store.save([_camera("one")])
    (tmp_path / ".cameras.json.part").write_text("{")
    assert [camera.name for camera in store.load()] == ["one"]


def test_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = CameraStore(tmp_path / "file" / "state")
    with pytest.raises(VruError, match="VRU_CAMERA_STATE_DIR"):
        store.check()
    with pytest.raises(VruError, match="VRU_CAMERA_STATE_DIR"):
        store.save([])


def test_two_processes_see_what_the_other_saved(tmp_path: Path) -> None:
    """As while the service is replaced: the old one and the new one run, and a camera must not get lost."""
    sandbox = Sandbox(READERS)  # starts nothing: these cameras are virtual
    old = Cameras(CameraStore(tmp_path / "state"), tmp_path, sandbox)
    old.restore()
    first = old.create(CameraCreate(name="first", kind="virtual", source="crossing"))
    new = Cameras(CameraStore(tmp_path / "state"), tmp_path, sandbox)
    new.restore()
    try:
        second = old.create(CameraCreate(name="second", kind="virtual", source="crossing"))
        third = new.create(CameraCreate(name="third", kind="virtual", source="crossing"))
        assert [camera.name for camera in old.list()] == [camera.name for camera in new.list()]
        assert {camera.id for camera in new.list()} == {first.id, second.id, third.id}
        old.start(first.id)
        assert new.get(first.id).state in ("starting", "running")
        new.stop(first.id)
        assert old.get(first.id).state == "stopped"
        new.delete(second.id)
        with pytest.raises(NotFoundError):
            old.get(second.id)
    finally:
        old.close()
        new.close()
