"""Text formats line by line, with the line's number for messages."""

from collections.abc import Iterator
from typing import BinaryIO

from vru.formats.annotations import FormatError

_LONGEST = 1 << 16


def lines(stream: BinaryIO, name: str = "") -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1.

    Raises:
        FormatError: a line is no text, or longer than 64 KB.
    """
    count = 0
    while data := stream.readline(_LONGEST):
        count += 1
        where = line(count, name)
        if len(data) == _LONGEST:
            raise FormatError(f"{where} is longer than 64 KB.", "Is this an annotation file?")
        try:
            text = data.decode("utf-8-sig" if count == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise FormatError(f"{where} is no UTF-8 text.", "Is this an annotation file?") from None
        if text:
            yield count, text


def line(number: int, name: str = "") -> str:
    """How a message names a line."""
    return f"{name}, line {number}" if name else f"Line {number}"
