"""The file that holds evidence: a ZIP archive in which nothing is left to choose.

Any program opens it. But its bytes follow from the members' names and contents alone: members are sorted by name and
stored as they are, times are 1980, and there is no comment, no extra field, nothing before, between or after. So a
reader can rebuild every byte that is not content and compare, and a change anywhere is found.

Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from vru.domain import VruError

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
# Version 2.0; flag: names are UTF-8; stored; midnight, 1 January 1980.
_VERSION, _FLAGS, _STORED, _TIME, _DATE = 20, 0x0800, 0, 0, 0x0021
# Made on Unix: a plain file that everyone may read.
_MADE_BY, _ATTRIBUTES = (3 << 8) | _VERSION, 0o100644 << 16
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9]+)*(?:/[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9]+)*)*")
MOST_MEMBERS = 100
_LONGEST_NAME = 200
_CHUNK = 1 << 20
# Sizes and places are 32 bits here; ZIP64 would be a second way to write the same.
LARGEST = 0xFFFFFFFE
# A file's content. Streams are read from their beginning, in pieces and more than once.
Content = bytes | BinaryIO


class ContainerError(VruError):
    """A file that is no such archive. The message says where it differs."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file in the archive: where its content begins, its size in bytes and its CRC-32."""

    name: str
    start: int
    size: int
    crc: int


def pieces(content: Content) -> Iterator[bytes]:
    """The whole content, at most a megabyte at a time."""
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    stream.seek(0)
    while piece := stream.read(_CHUNK):
        yield piece


def pack(contents: Mapping[str, Content]) -> Iterator[bytes]:
    """The archive of these contents, in pieces.

    Raises:
        ContainerError: a name is not allowed, there are too many, or it is all too large.
    """
    members, at = [], 0
    if len(contents) > MOST_MEMBERS:
        raise ContainerError(f"{len(contents)} files are more than the {MOST_MEMBERS} that an archive holds.")
    for name, content in sorted(contents.items()):
        _check_name(name)
        size, crc = 0, 0
        for piece in pieces(content):
            size, crc = size + len(piece), zlib.crc32(piece, crc)
        member = Member(name, at + _LOCAL.size + len(name), size, crc)
        if member.start + member.size > LARGEST:
            raise ContainerError("The evidence would be larger than 4 GB.", "Validate the video in parts.")
        members.append(member)
        yield _local(member)
        yield from pieces(content)
        at = member.start + member.size
    yield _tail(members, at)


def open_container(stream: BinaryIO) -> tuple[Member, ...]:
    """The members of an archive that ``pack`` could have written, without their contents.

    Everything but the contents is compared with what it must be, byte for byte; nothing is unpacked, so there is no
    bomb to fear. ``checked_content`` reads and checks a content.

    Raises:
        ContainerError: it is no such archive, or was changed.
    """
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _END.size))
    end = stream.read(_END.size)
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06"):
        raise ContainerError("It is no evidence file, or its end is missing or changed.", "Download it again.")
    *_, count, length, at, _ = _END.unpack(end)
    if count > MOST_MEMBERS or at + length + _END.size != size or length > MOST_MEMBERS * (_CENTRAL.size + 400):
        raise ContainerError("Its directory is not where it must be.", "It was changed or cut: download it again.")
    stream.seek(at)
    members = tuple(_members(stream.read(length)))
    names = [member.name for member in members]
    if names != sorted(set(names)):
        raise ContainerError("Its files are not in order, or one is there twice.", "Do not trust it.")
    place = 0
    for member in members:
        stream.seek(place)
        header = _local(member)
        if member.start != place + len(header) or stream.read(len(header)) != header:
            raise ContainerError(f"The header of {member.name} was changed.", "Do not trust it.")
        place = member.start + member.size
    stream.seek(place)
    if place != at or stream.read() != _tail(members, at):
        raise ContainerError("Its directory was changed, or something was put into the file.", "Do not trust it.")
    return members


def checked_content(stream: BinaryIO, member: Member) -> Iterator[bytes]:
    """The content of a member in pieces; once all are read, its checksum was compared.

    Raises:
        ContainerError: it was changed.
    """
    stream.seek(member.start)
    left, crc = member.size, 0
    while left:
        piece = stream.read(min(left, _CHUNK))
        if not piece:
            raise ContainerError(f"{member.name} is cut short.", "Download it again.")
        left -= len(piece)
        crc = zlib.crc32(piece, crc)
        yield piece
    if crc != member.crc:
        raise ContainerError(f"{member.name} was changed: its checksum differs.", "Do not trust it.")


def _check_name(name: str) -> None:
    # Lower case, and no way out of a folder, so that unpacking is safe on every system.
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ContainerError(f"{name!r} is no name of a file in evidence.", "Do not unpack it.")


def _members(directory: bytes) -> Iterator[Member]:
    at, start = 0, 0
    while at < len(directory):
        try:
            values = _CENTRAL.unpack_from(directory, at)
        except struct.error:
            raise ContainerError("Its directory is broken.", "Download it again.") from None
        crc, size, length = values[7], values[8], values[10]
        name = directory[at + _CENTRAL.size : at + _CENTRAL.size + length].decode("ascii", errors="replace")
        _check_name(name)
        start += _LOCAL.size + len(name)
        yield Member(name, start, size, crc)
        start += size
        at += _CENTRAL.size + length


def _local(member: Member) -> bytes:
    sizes = member.crc, member.size, member.size, len(member.name), 0
    return _LOCAL.pack(b"PK\x03\x04", _VERSION, _FLAGS, _STORED, _TIME, _DATE, *sizes) + member.name.encode()


def _tail(members: "list[Member] | tuple[Member, ...]", at: int) -> bytes:
    directory = b""
    for member in members:
        name = member.name.encode()
        sizes = member.crc, member.size, member.size, len(name), 0, 0, 0, 0
        header = b"PK\x01\x02", _MADE_BY, _VERSION, _FLAGS, _STORED, _TIME, _DATE
        directory += _CENTRAL.pack(*header, *sizes, _ATTRIBUTES, member.start - _LOCAL.size - len(name)) + name
    count = len(members)
    return directory + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), at, 0)
