from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vru.media import frames
from vru.ml_engine.readers import FrameTable, Readers, VideoPicture
from vru.sandbox.errors import FileRefusedError
from vru.sandbox.pool import Sandbox
from vru.scenes import Scene, scene, write_video
from vru.service.errors import UnprocessableError
from vru.service.opened import opened

# Uneven on purpose: index / fps is nowhere the time.
_UNEVEN = tuple(np.cumsum([0, *np.random.default_rng(5).integers(1, 20_000, 59)]).tolist())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same 60 frames, with and without B-frames, evenly and unevenly timed."""
    folder = tmp_path_factory.mktemp("videos")
    even, uneven = scene("crossing", duration_s=6), replace(scene("crossing", duration_s=6), pts=_UNEVEN)
    made = {}
    for name, chosen, b_frames in (("plain", even, 0), ("b-frames", even, 3), ("uneven", uneven, 3)):
        made[name] = folder / f"{name}.mp4"
        write_video(chosen, made[name], b_frames=b_frames, key_every=13)
    return made


class Reading:
    """Reads frames as the engine does, by path."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def frames(self, path: Path, first: int, last: int, stride: int = 1) -> list[VideoPicture]:
        with opened(path) as file:
            return list(self._readers.frames(file, first, last, stride))

    def table(self, path: Path) -> FrameTable:
        with opened(path) as file:
            return self._readers.table(file)


@pytest.fixture(scope="module")
def reading(readers: Readers) -> Reading:
    return Reading(readers)


def _whole(file: Path) -> list[VideoPicture]:
    """Every frame the plain way: decode all and count. What ``read_frames`` must agree with."""
    with av.open(str(file)) as container:
        return [
            VideoPicture(index, float(frame.pts * frame.time_base), frame.to_ndarray(format="bgr24"))
            for index, frame in enumerate(container.decode(video=0))
        ]


def _assert_same(read: list[VideoPicture], expected: list[VideoPicture]) -> None:
    assert [(one.frame_index, one.time_s) for one in read] == [(one.frame_index, one.time_s) for one in expected]
    for one, other in zip(read, expected, strict=True):
        assert np.array_equal(one.image, other.image)


@pytest.mark.parametrize("name", ["plain", "b-frames", "uneven"])
def test_any_range_equals_its_slice_of_the_whole(reading: Reading, files: dict[str, Path], name: str) -> None:
    whole = _whole(files[name])
    assert len(whole) == 60
    _assert_same(reading.frames(files[name], 0, 59), whole)
    for first, last, stride in (
        (0, 0, 1),
        (59, 59, 1),
        (13, 13, 1),
        (12, 14, 1),
        (25, 41, 1),
        (20, 59, 7),
        (3, 58, 55),
    ):
        _assert_same(reading.frames(files[name], first, last, stride), whole[first : last + 1 : stride])


@pytest.mark.parametrize("name", ["plain", "b-frames", "uneven"])
def test_times_are_exact(reading: Reading, files: dict[str, Path], name: str) -> None:
    pts = _UNEVEN if name == "uneven" else range(0, 60 * 9000, 9000)
    assert [one.time_s for one in reading.frames(files[name], 0, 59)] == [value / 90000 for value in pts]


def test_late_range_is_not_decoded_from_the_start(
    reading: Reading, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function of the child, called here: what the parent asks it for, and where it enters."""
    seeks: list[int | None] = []
    decoded = frames._decoded

    def watched(path: Path, name: str, wanted: list[int], seek_to: int | None):  # type: ignore[no-untyped-def]
        seeks.append(seek_to)
        return decoded(path, name, wanted, seek_to)

    monkeypatch.setattr(frames, "_decoded", watched)
    entry = asked_entry(reading, files["b-frames"], 45, 47, monkeypatch)
    pts = reading.table(files["b-frames"]).pts
    assert len(list(frames.frames(files["b-frames"], "video", list(pts[45:48]), entry, 45, 1))) == 3
    # Key frames are 0, 13, 26, 39 and 52: decoding begins at 39.
    assert seeks == [39 * 9000]


def asked_entry(reading: Reading, path: Path, first: int, last: int, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """Where the parent tells a child to enter a video."""
    asked: list[int | None] = []
    stream = Sandbox.stream

    def watched(self: Sandbox, *arguments: Any, **named: Any) -> Any:
        asked.append(named["entry"])
        return stream(self, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Sandbox, "stream", watched)
        reading.frames(path, first, last)
    return asked[0]


@pytest.mark.parametrize("extension", [".mkv", ".ts", ".mov"])
def test_other_containers_with_many_key_frames(
    reading: Reading, files: dict[str, Path], tmp_path: Path, extension: str
) -> None:
    """The same H.264 stream in other boxes, whose seeking differs: MPEG-TS only guesses where a time is."""
    file = tmp_path / f"video{extension}"
    with av.open(str(files["b-frames"])) as source, av.open(str(file), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    whole = _whole(file)
    assert len(whole) == 60
    for first, last in ((0, 3), (13, 20), (25, 41), (38, 39), (59, 59)):
        _assert_same(reading.frames(file, first, last), whole[first : last + 1])


@pytest.mark.parametrize(("extension", "codec"), [(".mkv", "libx264"), (".ts", "libx264"), (".avi", "mpeg4")])
def test_other_containers_give_the_same_answer(
    reading: Reading, tmp_path: Path, make_video: Callable[..., Path], extension: str, codec: str
) -> None:
    file = make_video(tmp_path / f"video{extension}", frames=60, codec=codec)
    whole = _whole(file)
    for first, last in ((0, 59), (30, 40), (59, 59)):
        _assert_same(reading.frames(file, first, last), whole[first : last + 1])


def test_codec_whose_packets_are_not_its_frames(
    reading: Reading, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    file = make_video(tmp_path / "video.webm", frames=40, codec="libvpx-vp9")
    _assert_same(reading.frames(file, 21, 30), _whole(file)[21:31])


def test_stream_that_cannot_be_entered_is_decoded_from_the_start(reading: Reading, files: dict[str, Path]) -> None:
    """A key-frame table that leads too far must cost time, not correctness."""
    table = reading.table(files["b-frames"])
    whole = _whole(files["b-frames"])
    for first in (14, 27, 44):
        wanted = list(table.pts[first : first + 4])
        read = list(frames.frames(files["b-frames"], "video", wanted, table.pts[52], first, 1))
        assert [place for place, _ in read] == [0, 1, 2, 3]
        assert all(np.array_equal(image, one.image) for (_, image), one in zip(read, whole[first:], strict=False))


@pytest.mark.parametrize(("first", "last"), [(0, 60), (60, 60), (5, 4), (-1, 3)])
def test_range_outside_of_the_video_is_refused(reading: Reading, files: dict[str, Path], first: int, last: int) -> None:
    with pytest.raises(UnprocessableError, match="0 to 59"):
        reading.frames(files["plain"], first, last)


def test_table_follows_a_file_that_changes(reading: Reading, tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    write_video(scene("empty", duration_s=1), file)
    assert len(reading.table(file).pts) == 10
    write_video(scene("empty", duration_s=2), file)
    assert len(reading.table(file).pts) == 20


def test_damaged_video_is_an_error_and_not_a_shorter_answer(reading: Reading, tmp_path: Path, crossing: Scene) -> None:
    file = tmp_path / "video.mp4"
    write_video(replace(crossing, pts=crossing.pts[:20]), file, b_frames=0, key_every=5)
    data = bytearray(file.read_bytes())
    media = data.index(b"mdat") + 4
    for place in range(media + (len(data) - media) // 2, len(data)):
        data[place] = 0
    file.write_bytes(data)
    with pytest.raises(FileRefusedError, match="damaged"):
        reading.frames(file, 0, 19)


def test_what_is_no_video_is_refused(reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("This is a text.\n" * 100)
    with pytest.raises(FileRefusedError, match="not a video"):
        reading.frames(tmp_path / "text.mp4", 0, 0)


def test_real_video_has_the_published_frames(reading: Reading, real_data: Path) -> None:
    table = reading.table(real_data / "video.mp4")
    assert len(table.pts) == 1394
    assert [table.time_s(index) for index in range(1394)] == [index / 10 for index in range(1394)]
    pictures = reading.frames(real_data / "video.mp4", 1200, 1202)
    with av.open(str(real_data / "video.mp4")) as container:
        expected = [f for index, f in enumerate(container.decode(video=0)) if 1200 <= index <= 1202]
    for picture, frame in zip(pictures, expected, strict=True):
        assert np.array_equal(picture.image, frame.to_ndarray(format="bgr24"))
