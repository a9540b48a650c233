from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from vru.scenes import scene, write_video


def _read(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize("b_frames", [0, 2])
def test_times_and_pictures_read_back_exactly(tmp_path: Path, b_frames: int) -> None:
    chosen = scene("crossing", duration_s=2)
    write_video(chosen, tmp_path / "video.mp4", b_frames=b_frames)
    frames = _read(tmp_path / "video.mp4")
    assert tuple(float(frame.pts * frame.time_base) for frame in frames) == chosen.times
    for index in (0, 7, 19):
        difference = frames[index].to_ndarray(format="bgr24").astype(int) - chosen.frame(index).image
        assert np.abs(difference).mean() < 4


def test_uneven_times_read_back_exactly(tmp_path: Path) -> None:
    uneven = replace(scene("crossing"), pts=(0, 3000, 3001, 20000, 90000, 90003))
    write_video(uneven, tmp_path / "video.mp4")
    assert tuple(frame.pts for frame in _read(tmp_path / "video.mp4")) == uneven.pts


def test_equal_scenes_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_video(scene("empty", duration_s=0.5), tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    falling = replace(scene("empty"), pts=(9000, 0))
    with pytest.raises((OSError, ValueError)):
        write_video(falling, tmp_path / "video.mp4")
    assert list(tmp_path.iterdir()) == []
