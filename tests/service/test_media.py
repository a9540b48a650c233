from pathlib import Path

import pytest

from vru.service.errors import NotFoundError, UnprocessableError
from vru.service.media import resolve


def test_file_below_the_media_directory_is_found(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "one.mp4").touch()
    assert resolve(tmp_path, "videos/one.mp4") == (tmp_path / "videos" / "one.mp4").resolve()


@pytest.mark.parametrize("path", ["../secret", "videos/../../secret", "/etc/passwd", "link", ".", "", "a\0b"])
def test_paths_out_of_the_media_directory_are_refused(tmp_path: Path, path: str) -> None:
    media = tmp_path / "media"
    (media / "videos").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (media / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UnprocessableError, match="media directory"):
        resolve(media, path)


def test_missing_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no video 'videos/gone\.mp4'"):
        resolve(tmp_path, "videos/gone.mp4")
