"""What parent and child say to each other: MessagePack, each message after its length in four bytes.

The parent believes nothing: lengths are bounded before they are read, and types are checked while decoding.
"""

import socket
import struct
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_LENGTH = struct.Struct(">I")
_CHUNK = 1 << 16
LARGEST_JOB = 256 * 1024 * 1024
_LONGEST_TEXT = 4000


class Job(msgspec.Struct, tag=True):
    """What a child is to do. ``with_file`` says that the file's descriptor comes along.

    With ``shared_bytes`` one of so much shared memory comes too, and pictures that the function yields are laid there.
    """

    function: str
    arguments: dict[str, Any]
    with_file: bool
    shared_bytes: int = 0
    slots: int = 0


class Free(msgspec.Struct, tag=True):
    """The parent needs the pictures no longer that lie at these places in the shared memory."""

    places: list[int]


class Stop(msgspec.Struct, tag=True):
    """The parent wants no more pictures."""


class Ready(msgspec.Struct, tag=True):
    """A child is ready; ``missing`` says which barriers the kernel does not give, and why."""

    missing: dict[str, str]


class Value(msgspec.Struct, tag=True):
    """What the function returned."""

    value: msgspec.Raw


class Laid(msgspec.Struct, tag=True):
    """A picture lies at ``place`` (bytes) in the shared memory, uint8, HxWx3; ``slots`` is how many have room there."""

    value: msgspec.Raw
    place: int
    height: int
    width: int
    slots: int


class Refused(msgspec.Struct, tag=True):
    """The function's own ``VruError``."""

    message: str
    fix: str
    status: int


class Failed(msgspec.Struct, tag=True):
    """Any other exception. ``out_of_memory`` says that this was the reason; ``trace`` is for the log."""

    name: str
    out_of_memory: bool
    trace: str


Reply = Ready | Value | Laid | Refused | Failed
Order = Job | Free | Stop


class TooLongError(Exception):
    """A message is longer than it may be."""


def text(value: object) -> str:
    """``value`` as text that can be encoded, not too long."""
    return str(value)[:_LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()


def encode(message: Order | Reply) -> bytes:
    """The bytes of a message, with its length."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


def decode_reply(body: bytes) -> Reply:
    """The child's message in ``body``.

    Raises:
        msgspec.ValidationError: it is none.
    """
    reply: Reply = msgspec.msgpack.decode(body, type=Reply)
    return reply


def decode_order(body: bytes) -> Order:
    """The parent's message in ``body``."""
    order: Order = msgspec.msgpack.decode(body, type=Order)
    return order


def decode(body: bytes, kind: type[T]) -> T:
    """The message in ``body``.

    Raises:
        msgspec.ValidationError: it is none of this kind.
    """
    return msgspec.msgpack.decode(body, type=kind)


class Receiver:
    """Messages out of a channel. It takes as much at once as is there: not for a channel that brings descriptors."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel, self._rest = channel, bytearray()

    def next(self, largest: int) -> bytes | None:
        """The next message's body; None at the end.

        Raises:
            TooLongError: it says that it is longer than ``largest``.
            TimeoutError: the channel's time is over.
        """
        while len(self._rest) < _LENGTH.size:
            if not self._more():
                return None
        (length,) = _LENGTH.unpack_from(self._rest)
        if length > largest:
            raise TooLongError
        end = _LENGTH.size + length
        while len(self._rest) < end:
            if not self._more():
                return None
        body = bytes(self._rest[_LENGTH.size : end])
        del self._rest[:end]
        return body

    def _more(self) -> bool:
        chunk = self._channel.recv(_CHUNK)
        self._rest += chunk
        return bool(chunk)


def receive(channel: socket.socket, largest: int) -> bytes | None:
    """The next message's body; None at the end.

    Raises:
        TooLongError: it says that it is longer than ``largest``.
        TimeoutError: the channel's time is over.
    """
    head = _exactly(channel, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > largest:
        raise TooLongError
    return _exactly(channel, length)


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        chunk = channel.recv(min(_CHUNK, count - len(data)))
        if not chunk:
            return None
        data += chunk
    return bytes(data)
