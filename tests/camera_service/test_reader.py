import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
import pytest

from vru.camera_service.reader import CameraReader, State
from vru.camera_service.sources import READERS, FileSource, Picture, VirtualSource, open_source
from vru.domain import VruError
from vru.sandbox.pool import Sandbox
from vru.scenes import scene
from vru.service.schemas import CameraCreate


class _Ticks:
    """A real source of small grey pictures at given media times."""

    def __init__(self, times: list[float], slow_s: float = 0.0) -> None:
        self.times, self.slow_s = times, slow_s
        self.given: list[float] = []

    def pictures(self) -> Generator[Picture, None, None]:
        for media_s in self.times:
            time.sleep(self.slow_s)
            self.given.append(media_s)
            yield Picture(media_s, np.full((4, 4, 3), 128, np.uint8))


class _Ended:
    """Waits for a reader's end."""

    def __init__(self) -> None:
        self.state: State | None = None
        self._event = threading.Event()

    def __call__(self, state: State) -> None:
        self.state = state
        self._event.set()

    def wait(self) -> State | None:
        assert self._event.wait(20)
        return self.state


def test_reads_in_real_time_and_ends() -> None:
    ended = _Ended()
    reader = CameraReader("ticks", _Ticks([5.0, 5.2, 5.4, 5.6]), loop=False, on_end=ended)
    began = time.monotonic()
    reader.start()
    assert reader.wait_started(10) == "running"
    assert ended.wait() == "ended"
    assert 0.58 <= time.monotonic() - began < 3
    assert reader.frames_read == 4
    assert reader.newest is not None
    assert reader.newest.media_s == 5.6


def test_loops_in_real_time_until_it_is_stopped() -> None:
    source = _Ticks([0.0, 0.1])
    reader = CameraReader("ticks", source, loop=True, on_end=_Ended())
    began = time.monotonic()
    reader.start()
    while reader.frames_read < 7:
        time.sleep(0.01)
    assert 0.58 <= time.monotonic() - began < 5
    reader.stop()
    assert reader.state == "stopped"
    assert source.given[:7] == [0.0, 0.1, 0.0, 0.1, 0.0, 0.1, 0.0]


def test_three_times_of_a_frame_are_on_their_clocks() -> None:
    reader = CameraReader("ticks", _Ticks([1.5, 100.0]), loop=False, on_end=_Ended())
    before = time.monotonic_ns()
    reader.start()
    reader.wait_started(10)
    newest = reader.newest
    reader.stop()
    assert newest is not None
    assert newest.media_s == 1.5
    assert before <= newest.monotonic_ns <= time.monotonic_ns()
    assert abs(newest.at.timestamp() - time.time()) < 10


def test_a_slow_source_does_not_hurry_after_lost_time() -> None:
    """Each frame costs 0.6 s but is worth 0.1 s: the reader gives up the lag and shows every frame as it comes."""
    ended = _Ended()
    reader = CameraReader("slow", _Ticks([0.0, 0.1, 0.2, 0.3], slow_s=0.6), loop=False, on_end=ended)
    reader.start()
    assert ended.wait() == "ended"
    assert reader.frames_read == 4


def test_stopping_does_not_wait_for_the_next_frame() -> None:
    reader = CameraReader("ticks", _Ticks([0.0, 3600.0]), loop=True, on_end=_Ended())
    reader.start()
    reader.wait_started(10)
    began = time.monotonic()
    reader.stop()
    assert time.monotonic() - began < 2
    assert not any(thread.name == "camera ticks" for thread in threading.enumerate())


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """What decodes files, as the service starts it."""
    sandbox = Sandbox(READERS, children=2, niceness=0)
    yield sandbox
    sandbox.close()


def test_failure_is_told_with_its_reason(tmp_path: Path, sandbox: Sandbox) -> None:
    ended = _Ended()
    reader = CameraReader("gone", FileSource(sandbox, tmp_path, "videos/gone.mp4"), loop=True, on_end=ended)
    reader.start()
    assert reader.wait_started(10) == "failed"
    assert ended.wait() == "failed"
    assert "videos/gone.mp4" in str(reader.error)


def test_source_without_a_frame_fails() -> None:
    reader = CameraReader("empty", _Ticks([]), loop=True, on_end=_Ended())
    reader.start()
    assert reader.wait_started(10) == "failed"
    assert "no frame" in str(reader.error)


def test_file_gives_its_own_times(tmp_path: Path, sandbox: Sandbox, make_video: Callable[..., Path]) -> None:
    times = [0.0, 0.04, 0.5, 0.507, 2.0]
    make_video(tmp_path / "video.mp4", times=times)
    pictures = list(FileSource(sandbox, tmp_path, "video.mp4").pictures())
    assert [picture.media_s for picture in pictures] == times
    assert pictures[0].image.shape == (48, 64, 3)


def test_virtual_camera_shows_the_scene() -> None:
    chosen = scene("crossing", duration_s=0.3)
    pictures = list(VirtualSource(chosen).pictures())
    assert [picture.media_s for picture in pictures] == list(chosen.times)
    assert np.array_equal(pictures[2].image, chosen.frame(2).image)


def test_unknown_scene_is_refused(tmp_path: Path, sandbox: Sandbox) -> None:
    with pytest.raises(VruError, match="no scene 'nowhere'"):
        open_source(CameraCreate(name="a", kind="virtual", source="nowhere"), tmp_path, sandbox)
