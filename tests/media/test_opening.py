from collections.abc import Callable
from pathlib import Path

import pytest

from vru.domain import VruError
from vru.media.opening import check_size, opened_video


def test_video_opens(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    with opened_video(make_video(tmp_path / "video.mp4")) as (container, stream):
        assert stream.width == 64
        assert len(container.streams.video) == 1


@pytest.mark.parametrize(
    "content", [b"", b"text\n" * 99, b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile video.mp4\n"]
)
def test_what_is_no_video_or_leads_elsewhere_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.mp4").write_bytes(content)
    with pytest.raises(VruError, match=r"file\.mp4 is not a video"), opened_video(tmp_path / "file.mp4", "file.mp4"):
        pass


@pytest.mark.parametrize(("width", "height"), [(16_385, 1), (1, 16_385), (8192, 4321), (65_535, 65_535)])
def test_pictures_that_are_too_large_are_refused(width: int, height: int) -> None:
    check_size(8192, 4320)
    with pytest.raises(VruError, match=f"{width}x{height}"):
        check_size(width, height)
