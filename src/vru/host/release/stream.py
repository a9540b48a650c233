"""The stream in which content crosses the connection: frames, each compressed or as it is.

A frame is one letter, the payload's length (four bytes, big-endian) and the payload:

``n``  begins a new raw deflate stream, ``z`` goes on with it; each frame can be unpacked when it has arrived.
``r``  is sent as it is: content that does not get smaller costs no processor time on either side.
``.``  is the end. A stream that stops without it was cut.

Unpacked and joined, the frames are records: one line of JSON, then as many bytes as it announces. Both sides use this
module; neither ever holds more than a few frames.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Optional, Protocol, Tuple

FRAME = 256 * 1024
# A frame that claims more is no frame. Deflate adds a few bytes to what it cannot pack.
_LONGEST = 2 * FRAME
_HEADER = struct.Struct("!cI")
_LINE = 64 * 1024

# A sample that shrinks by less than this share says that the rest is packed already (images, weights of models).
_WORTHWHILE = 0.1
_SAMPLE = 64 * 1024
# Small files are packed well, together: they resemble each other. Large ones are packed fast.
_LARGE = 4 * 1024 * 1024
_WELL, _FAST = 6, 2


class CutError(Exception):
    """The stream stopped before its end."""


class DamagedError(Exception):
    """The stream is not what this module writes."""


class Source(Protocol):
    """Where the bytes of a record are read from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


# The line, how many bytes follow it, and where these are read from.
Record = Tuple[Mapping[str, Any], int, Optional[Source]]


def encode(records: Iterable[Record]) -> Iterator[bytes]:
    """Frames of records, made while they are sent.

    Raises:
        EOFError: a source holds less than was announced: it changed meanwhile. The stream is left without its end.
    """
    small = _Packer(_WELL)
    for line, size, source in records:
        yield small.pack(json.dumps(line, sort_keys=True).encode() + b"\n")
        if source is None or not size:
            continue
        packer: _Packer | None = small
        left = size
        while left:
            chunk = source.read(min(FRAME, left))
            if not chunk:
                raise EOFError(f"{left} bytes are missing")
            if left == size and size >= _SAMPLE and not shrinks(chunk[:_SAMPLE]):
                packer = None
            elif left == size and size >= _LARGE:
                packer = _Packer(_FAST)
            left -= len(chunk)
            yield _frame(b"r", chunk) if packer is None else packer.pack(chunk)
        if packer is not None and packer is not small:
            small = _Packer(_WELL)
    yield _frame(b".", b"")


def shrinks(sample: bytes) -> bool:
    """Whether packing content that begins like this is worth its processor time."""
    return len(zlib.compress(sample, 1)) < len(sample) * (1 - _WORTHWHILE)


class _Packer:
    def __init__(self, level: int) -> None:
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._kind = b"n"

    def pack(self, data: bytes) -> bytes:
        packed = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        kind, self._kind = self._kind, b"z"
        return _frame(kind, packed)


def _frame(kind: bytes, payload: bytes) -> bytes:
    return _HEADER.pack(kind, len(payload)) + payload


class Reader:
    """The other end: records out of frames."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._pending = memoryview(b"")
        self._packed = b""
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._ended = False

    def record(self) -> dict[str, Any] | None:
        """The next record's line; None at the end. The bytes that it announces are to be read before the next one.

        Raises:
            CutError: the stream stopped.
            DamagedError: this is no record.
        """
        line = bytearray()
        while True:
            piece = self.read(1 if not self._pending else min(len(self._pending), _LINE))
            if not piece:
                if line:
                    raise DamagedError("a record without an end")
                return None
            text, newline, rest = piece.partition(b"\n")
            line += text
            if newline:
                self._pending = memoryview(rest + bytes(self._pending))
                break
            if len(line) > _LINE:
                raise DamagedError("a record's line is too long")
        try:
            found = json.loads(bytes(line))
        except ValueError as error:
            raise DamagedError("a record's line is no JSON") from error
        if not isinstance(found, dict):
            raise DamagedError("a record's line is no object")
        return found

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, at least one; none only after the stream's end.

        Raises:
            CutError: the stream stopped.
            DamagedError: what came is no frame.
        """
        while not self._pending and not self._ended:
            self._pending = memoryview(self._next())
        piece = bytes(self._pending[:size])
        self._pending = self._pending[size:]
        return piece

    def _next(self) -> bytes:
        if self._packed:
            return self._unpack(self._packed)
        kind, length = _HEADER.unpack(self._exactly(_HEADER.size))
        if kind not in (b"n", b"z", b"r", b".") or length > _LONGEST:
            raise DamagedError("what came is no frame")
        payload = self._exactly(length)
        if kind == b".":
            self._ended = True
            return b""
        if kind == b"r":
            return payload
        if kind == b"n":
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._unpack(payload)

    def _unpack(self, packed: bytes) -> bytes:
        # At most a frame's worth at a time: what was packed a thousandfold must not fill the memory.
        try:
            plain = self._inflate.decompress(packed, FRAME)
        except zlib.error as error:
            raise DamagedError("a frame cannot be unpacked") from error
        self._packed = self._inflate.unconsumed_tail
        return plain

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._stream.read(size - len(data))
            if not piece:
                raise CutError
            data += piece
        return bytes(data)
