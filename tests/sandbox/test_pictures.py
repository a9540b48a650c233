"""Pictures come back in memory that a child and its parent share: in order, unchanged, and as long as they are kept."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.sandbox import corpus

from vru.sandbox.errors import FileRefusedError, FileUnreadableError
from vru.sandbox.limits import MEBIBYTE, Limits
from vru.sandbox.pool import Sandbox
from vru.sandbox.shared import SharedMemory

_LIMITS = Limits(shared_bytes=16 * MEBIBYTE)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(["vru.media.frames", "os"], children=2, niceness=0)
    assert asyncio.run(sandbox.start()) == {}
    yield sandbox
    sandbox.close()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames, each of another grey."""
    file = tmp_path_factory.mktemp("video") / "video.mkv"
    corpus.greys(file, 40)
    return file


def _stream(sandbox: Sandbox, video: Path, slots: int = 4):
    return sandbox.stream("vru.media.frames:play", video, float, limits=_LIMITS, slots=slots, name="video")


def _grey(picture: np.ndarray) -> int:
    return int(picture[20, 20, 0])


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 16])
def test_pictures_that_are_kept_stay_what_they_are(sandbox, video, slots):
    """However many are kept, and however few have room: else the child would wait for ever, or overwrite them."""
    kept = [picture for _, picture in _stream(sandbox, video, slots)]
    now = [_grey(picture) for picture in kept]
    assert len(kept) == 40
    assert now == sorted(set(now)), "each frame is lighter than the one before"


def test_pictures_cannot_be_written_to(sandbox, video):
    with closing(_stream(sandbox, video)) as pictures:
        _, picture = next(pictures)
        with pytest.raises(ValueError, match="read-only"):
            picture[0, 0, 0] = 1


def test_pictures_outlive_their_stream_and_their_child(video):
    sandbox = Sandbox(["vru.media.frames"], children=1, niceness=0)
    with closing(_stream(sandbox, video)) as pictures:
        _, picture = next(pictures)
        before = picture.copy()
    sandbox.close()
    gc.collect()
    assert np.array_equal(picture, before)


def test_pictures_let_go_in_other_threads_make_room(sandbox, video):
    seen = []
    for _, picture in _stream(sandbox, video):
        thread = threading.Thread(target=lambda shown=picture: seen.append(_grey(shown)))
        del picture
        thread.start()
        thread.join()
    assert len(seen) == 40


def test_a_stream_that_is_closed_gives_its_child_back(sandbox, video):
    pids = {sandbox.call("os:getpid", None, int) for _ in range(4)}
    for _ in range(5):
        with closing(_stream(sandbox, video)) as pictures:
            next(pictures)
    assert {sandbox.call("os:getpid", None, int) for _ in range(4)} <= pids


def test_what_the_function_says_in_the_middle_is_told_and_its_child_goes_on(sandbox, video, tmp_path):
    data = video.read_bytes()
    (tmp_path / "text").write_text("text")
    with pytest.raises(FileRefusedError, match="is not a video"):
        list(_stream(sandbox, tmp_path / "text"))
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    assert 0 < len(list(_stream(sandbox, tmp_path / "cut"))) < 40
    assert len(list(_stream(sandbox, video))) == 40


def test_a_child_that_is_killed_in_the_middle_is_named_and_the_next_file_is_read(video):
    sandbox = Sandbox(["vru.media.frames", "os"], children=1, niceness=0)
    try:
        pid = sandbox.call("os:getpid", None, int)
        with closing(_stream(sandbox, video, 1)) as pictures:
            next(pictures)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(FileUnreadableError, match="its reader was killed"):
                list(pictures)
        assert len(list(_stream(sandbox, video))) == 40
    finally:
        sandbox.close()


def test_a_child_that_ends_with_the_thread_that_asked_for_it_is_not_lost(video):
    """The kernel kills a child whose starting thread ends: requests have threads of their own."""
    sandbox = Sandbox(["vru.media.frames", "os"], children=1, niceness=0)
    try:
        pids = []
        for _ in range(2):
            thread = threading.Thread(target=lambda: pids.append(sandbox.call("os:getpid", None, int)))
            thread.start()
            thread.join()
        assert len(set(pids)) == 1
    finally:
        sandbox.close()


def test_a_picture_larger_than_the_shared_memory_is_refused(sandbox, video):
    limits = Limits(shared_bytes=4096)
    with pytest.raises(FileUnreadableError, match="of memory"):
        list(sandbox.stream("vru.media.frames:play", video, float, limits=limits, name="video"))


@pytest.mark.parametrize("place", [(-1, 4, 4), (0, 0, 4), (0, 4, -4), (4090, 4, 4), (0, 2**40, 2**40), (8, 4, 4)])
def test_a_place_that_cannot_be_is_not_believed(place):
    """A child that was taken over says where a picture lies: outside of the memory, or where another one is."""
    memory = SharedMemory(4096)
    try:
        kept = memory.look(8, 4, 4, 8)
        assert kept.shape == (4, 4, 3)
        with pytest.raises(ValueError, match="no picture's place"):
            memory.look(*place, 8)
    finally:
        memory.close()


def test_nobody_can_cut_the_memory_off():
    """Reading what was cut off would bring the parent down (SIGBUS)."""
    memory = SharedMemory(4096)
    try:
        for size in (0, 8192):
            with pytest.raises(PermissionError):
                os.ftruncate(memory.descriptor, size)
    finally:
        memory.close()
