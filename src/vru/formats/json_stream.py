"""Large JSON files piece by piece: the elements of the lists at the top, without the whole document in memory."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from vru.formats.annotations import FormatError

_CHUNK = 1 << 20
# A single element (one annotation with its mask) above this is no annotation.
_LONGEST = 64 << 20
_AFTER_VALUE = " \t\r\n,]}:"
_SPACE = re.compile(r"[ \t\r\n]*")


class Piece(NamedTuple):
    """A value at the top, or an element of a list at the top.

    ``position`` is that in the list, -1 for the list's beginning, None if the value is no list. In a document that is
    itself a list the ``key`` is "".
    """

    key: str
    position: int | None
    value: Any


def pieces(stream: BinaryIO) -> Iterator[Piece]:
    """The pieces of a JSON document.

    Raises:
        FormatError: it is no JSON; the message names the line.
    """
    reader = _Reader(stream)
    try:
        opening = reader.peek()
        if opening == "[":
            yield from reader.elements("")
        elif opening == "{":
            yield from reader.members()
        else:
            raise reader.broken("it begins with neither { nor [")
        if reader.peek():
            raise reader.broken("something follows after its end")
    except RecursionError:
        raise FormatError(
            f"Line {reader.line}: the JSON is nested too deeply.", "Is this an annotation file?"
        ) from None
    except UnicodeDecodeError as error:
        raise FormatError(f"The JSON is not UTF-8 text: {error.reason}.", "Save it as UTF-8.") from None


class _Reader:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._scan = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._ended = False
        self._lines = 1

    @property
    def line(self) -> int:
        """The line that is being read, from 1."""
        return self._lines + self._text.count("\n", 0, self._at)

    def broken(self, why: str) -> FormatError:
        """The error that says so."""
        return FormatError(f"Line {self.line}: this is no JSON: {why}.", "Was the file cut off?")

    def _more(self) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        self._lines += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :]
        self._at = 0
        # What is pending doubles each time, so that a long element is not scanned again and again.
        data = self._stream.read(max(_CHUNK, len(self._text)))
        self._ended = not data
        self._text += self._decode(data, self._ended)
        return True

    def peek(self) -> str:
        """The next character that is no space, "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None  # noqa: S101 - it matches nothing, too
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _expect(self, wanted: str) -> str:
        found = self.peek()
        if not found or found not in wanted:
            raise self.broken(f"{found!r} where {' or '.join(wanted)} should be" if found else "it ends too early")
        self._at += 1
        return found

    def _value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                why = error.msg[:1].lower() + error.msg[1:]
            except ValueError:
                raise self.broken("it has a number of thousands of digits") from None
            else:
                # A number at the end of what was read may go on: 1 as 12, as 1.5 or as 1e3.
                if self._ended or (end < len(self._text) and self._text[end] in _AFTER_VALUE):
                    self._at = end
                    return value
                why = "it ends too early"
            if len(self._text) - self._at > _LONGEST:
                raise self.broken("an element is longer than 64 MB")
            if not self._more():
                raise self.broken(why)

    def elements(self, key: str) -> Iterator[Piece]:
        """The list that begins here."""
        self._expect("[")
        yield Piece(key, -1, None)
        if self.peek() == "]":
            self._at += 1
            return
        position = 0
        while True:
            yield Piece(key, position, self._value())
            if self._expect(",]") == "]":
                return
            position += 1

    def members(self) -> Iterator[Piece]:
        """The object that begins here."""
        self._expect("{")
        if self.peek() == "}":
            self._at += 1
            return
        seen: set[str] = set()
        while True:
            if self.peek() != '"':
                raise self.broken("a name is missing")
            key = self._value()
            if key in seen:
                raise FormatError(f"Line {self.line}: {key!r} is in the file twice.", "Join the two.")
            seen.add(key)
            self._expect(":")
            if self.peek() == "[":
                yield from self.elements(key)
            else:
                yield Piece(key, None, self._value())
            if self._expect(",}") == "}":
                return
