"""Every hostile file of the corpus is refused with a sentence and a fix, cheaply, by the gateway's own readers."""

import asyncio
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox import corpus

from vru.gateway.ground_truths.reader import TruthColumns
from vru.gateway.signals.reader import SignalFacts
from vru.gateway.uploads import READERS
from vru.gateway.videos.probe import VideoFacts
from vru.sandbox.errors import FileRefusedError, FileUnreadableError
from vru.sandbox.limits import MEBIBYTE, Limits
from vru.sandbox.pool import Sandbox

# An idle child takes less than 50 MiB: so no file ever makes one larger than 300 MB. Seconds of processor time,
# because the machine that runs the tests may do other things.
CHEAP = Limits(memory_bytes=230 * MEBIBYTE, cpu_s=5.0, wall_s=60.0)
_TIMES = array("d", [index / 10 for index in range(20)]).tobytes()
_READERS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "video": ("vru.gateway.videos.probe:probe", VideoFacts, {}),
    "truth": (
        "vru.gateway.ground_truths.reader:read_ground_truth",
        TruthColumns,
        {"width": 64, "height": 48, "frame_times": _TIMES, "source": "manual"},
    ),
    "signals": ("vru.gateway.signals.reader:signal_facts", SignalFacts, {"name": "file", "videos": ["video"]}),
    "markers": ("vru.gateway.signals.reader:marker_count", int, {"name": "file"}),
}
_OVER_A_LIMIT = ("of memory", "of processor time", "took more than", "was killed")


def over_a_limit(error: FileUnreadableError) -> bool:
    """Whether it took a limit to stop the reading."""
    return any(words in error.message for words in _OVER_A_LIMIT)


@pytest.fixture(scope="module")
def readers() -> Iterator[Sandbox]:
    sandbox = Sandbox(READERS, children=2, niceness=0)
    assert asyncio.run(sandbox.start()) == {}
    yield sandbox
    sandbox.close()


async def _read(readers: Sandbox, kind: str, data: bytes, folder: Path) -> object:
    path = folder / "file"
    path.write_bytes(data)
    function, returns, arguments = _READERS[kind]
    return await readers.read(function, path, returns, limits=CHEAP, **arguments)


def test_the_corpus_is_large():
    names = {(item.kind, item.name) for item in corpus.CORPUS}
    assert len(names) == len(corpus.CORPUS) >= 200


@pytest.mark.parametrize("item", corpus.CORPUS, ids=lambda item: f"{item.kind}: {item.name}")
async def test_refused(readers, item, tmp_path):
    try:
        await _read(readers, item.kind, item.make(), tmp_path)
    except FileRefusedError as error:
        assert error.message
        assert error.fix
        assert error.status == 422
    except FileUnreadableError as error:
        # A reader that fails is caught, too; but nothing may need a limit to be stopped.
        assert item.by_limit or not over_a_limit(error), error.message
    else:
        assert item.may_be_read


async def test_sound_files_are_read_by_the_same_readers(readers, tmp_path):
    """Else the tests above would show nothing."""
    facts = await _read(readers, "video", corpus.video("mp4", "libx264"), tmp_path)
    assert isinstance(facts, VideoFacts)
    assert facts.frame_count == 20
    truth = await _read(readers, "truth", corpus.sound_truth(), tmp_path)
    assert isinstance(truth, TruthColumns)
    assert [row[:4] for row in truth.rows([index / 10 for index in range(20)])] == [(1, 0, 0.0, "pedestrian")]
    signals = await _read(readers, "signals", b"time_ns,kind\n1,udp\n3,udp\n", tmp_path)
    assert signals == SignalFacts(2, 1, 3)
    markers = "media_s,time_ns\n" + "".join(f"{n},{n}000000000\n" for n in range(1, 6))
    assert await _read(readers, "markers", markers.encode(), tmp_path) == 5
