"""The formats: how each is told from the others, and who reads it. A new one is a module, and a line in ``names``."""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vru.formats.annotations import Annotations, Boxes, FormatError
from vru.formats.names import FORMATS, JSON, READERS, TEXT, XML

WHAT_IS_READ = f"These are read: {', '.join(FORMATS)} (docs/formats.md)."
_HEAD = 1 << 16
# Files of a folder that are looked at: the first may be of a picture with nobody in it.
_LOOKED_AT = 50
_NAME = re.compile(r'"([A-Za-z_][^"\\]{0,40})"\s*:')
_ROOT = re.compile(r"<([A-Za-z_][\w.-]*)")


@dataclass(frozen=True)
class Opening:
    """How a file begins; in a folder, one of its annotation files. ``path`` is what was named."""

    path: Path
    file: Path
    head: str

    @property
    def kind(self) -> str:
        """What kind of file it is; "" where only its name can tell."""
        if not self.head:
            return ""
        if self.path.suffix in (".yaml", ".yml"):
            return TEXT
        return {"{": JSON, "[": JSON, "<": XML}.get(self.head[0], TEXT)

    @cached_property
    def first_bytes(self) -> bytes:
        """The first bytes, of files that are no text."""
        with self.file.open("rb") as stream:
            return stream.read(8)

    @cached_property
    def first_line(self) -> str:
        """The first line that is not blank."""
        return self.head.partition("\n")[0].strip()

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of members in a beginning of JSON, at whatever depth; none of other text."""
        return frozenset(_NAME.findall(self.head)) if self.head[:1] in ("{", "[") else frozenset()

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """The names of elements in a beginning of XML, in their order; none of other text."""
        return tuple(_ROOT.findall(self.head)) if self.head[:1] == "<" else ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user says of files that do not say it: how many frames, and the pictures' width and height in pixels."""

    frames: int | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """How a format is told by its beginning, and its readers; None where it holds no such thing."""

    sniff: Callable[[Opening], bool]
    truth: Callable[[Path, Asked], Annotations]
    predictions: Callable[[Path, Annotations], Boxes] | None = None


def load(name: str) -> Format:
    """The format called ``name``."""
    module, _, attribute = READERS[name].place.partition(":")
    found: Format = getattr(importlib.import_module(f"vru.formats.{module}"), attribute)
    return found


def detect(path: Path, *, truth: bool) -> str:
    """The name of the format that a file or a folder is in.

    Raises:
        FormatError: it is in none.
    """
    from vru.formats.foreign import refuse_foreign

    known = [(name, reader.kind) for name, reader in READERS.items() if truth or reader.predictions]
    for opening in _openings(path):
        refuse_foreign(opening)
        for name, kind in known:
            # What is told by the first character is not asked: loading a format takes time.
            if opening.kind in ("", kind) and load(name).sniff(opening):
                return name
    if path.is_dir():
        raise FormatError(f"{path} has no file of labels that says anything.", WHAT_IS_READ)
    what = "ground truth" if truth else "detections"
    raise FormatError(f"{path} is no file with {what} in a known format.", WHAT_IS_READ)


def _openings(path: Path) -> list[Opening]:
    if not path.is_dir():
        return [Opening(path, path, _head(path))]
    # Some folders are told by their names alone, whatever is in the first file.
    found = [Opening(path, path, "")]
    for file in _candidates(path):
        head = _head(file)
        if head:
            found.append(Opening(path, file, head))
        if len(found) > _LOOKED_AT:
            break
    return found


def _candidates(path: Path) -> list[Path]:
    from vru.formats.text_files import annotation_files, label_files

    return [*label_files(path), *annotation_files(path, ".json"), *annotation_files(path, ".xml")]


def _head(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_HEAD).decode("utf-8-sig", errors="replace").lstrip()
