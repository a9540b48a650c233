"""The frames in which content crosses the connection."""

import io
import os
import tracemalloc
import zlib

import pytest

from vru.host.release.stream import FRAME, CutError, DamagedError, Reader, encode, shrinks

TEXT = b"".join(b"line %d of a file that packs well\n" % number for number in range(60_000))


def stream(*contents: bytes) -> bytes:
    return b"".join(encode(({"number": number}, len(data), io.BytesIO(data)) for number, data in enumerate(contents)))


def unpacked(data: bytes) -> list[bytes]:
    reader = Reader(io.BytesIO(data))
    found = []
    while (record := reader.record()) is not None:
        assert record == {"number": len(found)}
        left, content = lengths[len(found)], b""
        while left:
            piece = reader.read(left)
            assert piece
            left -= len(piece)
            content += piece
        found.append(content)
    return found


lengths: list[int] = []


@pytest.mark.parametrize(
    "contents",
    [
        [],
        [b""],
        [b"", b"one\n", b"", b"\n\n"],
        [os.urandom(300_000)],
        [TEXT, os.urandom(1_000_000), b"small", TEXT[:70_000], os.urandom(70_000), b"last"],
        [TEXT * 3, b"after a large one", TEXT],
    ],
    ids=["nothing", "empty", "tiny", "random", "mixed", "large"],
)
def test_what_goes_in_comes_out(contents: list[bytes]) -> None:
    lengths[:] = [len(data) for data in contents]
    assert unpacked(stream(*contents)) == contents


def test_text_shrinks_and_random_bytes_hardly_grow() -> None:
    assert len(stream(TEXT)) < len(TEXT) / 4
    noise = os.urandom(5_000_000)
    assert len(stream(noise)) < len(noise) * 1.0002 + 200


def test_small_files_are_packed_together() -> None:
    files = [b"from vru.domain import VruError\n\n\ndef f%d() -> None:\n    raise VruError\n" % n for n in range(200)]
    assert len(stream(*files)) < sum(len(zlib.compress(data, 6)) for data in files)


def test_what_is_packed_already_is_not_packed_again() -> None:
    assert not shrinks(os.urandom(65536))
    assert not shrinks(zlib.compress(os.urandom(65536)))
    assert shrinks(TEXT[:65536])


@pytest.mark.parametrize("at", [0, 1, 4, 5, 100, 3_000, -6, -1])
def test_a_cut_is_noticed_wherever_it_happens(at: int) -> None:
    data = stream(TEXT[:100_000], os.urandom(100_000))[:at]
    reader = Reader(io.BytesIO(data))
    with pytest.raises(CutError):
        while reader.record() is not None:
            left = 100_000
            while left:
                left -= len(reader.read(left))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"n\x00\x00\x00\x04\xff\xff\xff\xff",
        b"r\xff\xff\xff\xff",
        b"r\x00\x00\x00\x03[1\n",
        b"r\0\0\0\3[]\n",
    ],
    ids=["http", "no deflate", "too long", "no json", "no object"],
)
def test_what_is_no_stream_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedError):
        Reader(io.BytesIO(data + b".\0\0\0\0")).record()


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    endless = b"r" + FRAME.to_bytes(4, "big") + b"x" * FRAME
    with pytest.raises(DamagedError, match="too long"):
        Reader(io.BytesIO(endless * 10)).record()


def test_memory_grows_neither_here_nor_there() -> None:
    class Noise:
        """Fifty MiB that are never in memory at once; a repeated pattern, so that they are packed a thousandfold."""

        def read(self, size: int, /) -> bytes:
            return b"\0" * size

    size = 50 * 1024 * 1024

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.frames = encode([({"size": size}, size, Noise())])
            self.rest = b""

        def read(self, wanted: int = -1) -> bytes:
            if not self.rest:
                self.rest = next(self.frames, b"")
            piece, self.rest = self.rest[:wanted], self.rest[wanted:]
            return piece

    tracemalloc.start()
    reader = Reader(Pipe())  # type: ignore[arg-type]
    assert reader.record() == {"size": size}
    left = size
    while left:
        left -= len(reader.read(min(left, 1 << 20)))
    assert reader.record() is None
    assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    tracemalloc.stop()
