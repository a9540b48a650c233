"""What the ML engine's tests share: the repository of the project itself, and one scene as a video."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tests.hypothesis_profile  # noqa: F401 - it is its effect that counts

from vru.ml_engine.readers import Readers
from vru.scenes import Scene, scene, write_video

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="session")
def models_dir() -> Path:
    return MODELS


@pytest.fixture(scope="session")
def crossing() -> Scene:
    return scene("crossing", duration_s=6)


@pytest.fixture(scope="session")
def media_dir(crossing: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A media directory with ``videos/crossing.mp4``: B-frames, a key frame every 16 frames."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "videos").mkdir()
    write_video(crossing, folder / "videos" / "crossing.mp4", b_frames=3, key_every=16)
    return folder


@pytest.fixture(scope="session")
def readers() -> Iterator[Readers]:
    """The children that decode, as the engine starts them."""
    with Readers() as readers:
        yield readers
