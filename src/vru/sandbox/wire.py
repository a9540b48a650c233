"""What parent and child say to each other: MessagePack, each message after its length in four bytes.

The parent believes nothing: lengths are bounded before they are read, and types are checked while decoding.
"""

import socket
import struct
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_LENGTH = struct.Struct(">I")
_CHUNK = 1 << 20
LARGEST_JOB = 256 * 1024 * 1024
_LONGEST_TEXT = 4000


class Job(msgspec.Struct):
    """What a child is to do. ``with_file`` says that a descriptor comes along."""

    function: str
    arguments: dict[str, Any]
    with_file: bool


class Ready(msgspec.Struct, tag=True):
    """A child is ready; ``missing`` says which barriers the kernel does not give, and why."""

    missing: dict[str, str]


class Value(msgspec.Struct, tag=True):
    """What the function returned."""

    value: msgspec.Raw


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


Reply = Ready | Value | Refused | Failed


class TooLongError(Exception):
    """A message is longer than it may be."""


def text(value: object) -> str:
    """``value`` as text that can be encoded, not too long."""
    return str(value)[:_LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()


def encode(message: Job | Reply) -> bytes:
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


def decode(body: bytes, kind: type[T]) -> T:
    """The message in ``body``.

    Raises:
        msgspec.ValidationError: it is none of this kind.
    """
    return msgspec.msgpack.decode(body, type=kind)


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
