from collections.abc import Callable
from pathlib import Path

import pytest

from vru.service.errors import NotFoundError, UnprocessableError
from vru.service.media import open_video, resolve


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


def test_video_opens(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    with open_video(make_video(tmp_path / "video.mp4")) as container:
        assert container.streams.video[0].width == 64


@pytest.mark.parametrize(
    "content", [b"", b"text\n" * 99, b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile video.mp4\n"]
)
def test_what_is_no_video_or_leads_elsewhere_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.mp4").write_bytes(content)
    with pytest.raises(UnprocessableError, match=r"file\.mp4 is not a video"):
        open_video(tmp_path / "file.mp4")
