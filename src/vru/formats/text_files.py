"""Files and folders of text: one file a picture, or one a sequence."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from vru.formats.annotations import FormatError
from vru.formats.lines import lines

_NO_LABELS = {"classes.txt", "obj.txt", "labels.txt", "readme.txt", "train.txt", "val.txt", "test.txt"}
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file of labels: the stem of its name, its content, and its name for messages."""

    stem: str
    stream: BinaryIO
    name: str = ""


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except FormatError as error:
        raise FormatError(f"{path}: {error.message}", error.fix) from error


def read_single(path: Path, read: Callable[[BinaryIO], _Result]) -> _Result:
    """What ``read`` makes of a file that is no folder."""
    if path.is_dir():
        raise FormatError(f"{path} is a folder.", "Name the file in it: this format is one file.")
    with named(path), path.open("rb") as stream:
        return read(stream)


class _Lazy(io.RawIOBase):
    """A file that is opened when it is first read: a folder may hold more of them than can be open at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> bytes:
        if self._stream is None:
            self._stream = self._path.open("rb")
        data = self._stream.readline(-1 if size is None else size)
        if not data:
            self._stream.close()
            self._stream = io.BytesIO()
        return data


def label_files(path: Path) -> list[Path]:
    """The file, or the text files with labels in a folder (or in the folder ``labels`` of one that has none)."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.glob("*.txt") if file.name.lower() not in _NO_LABELS)
    return found if found or not (path / "labels").is_dir() else label_files(path / "labels")


def open_files(paths: Sequence[Path]) -> list[TextFile]:
    """The files, each opened when it is first read."""
    return [TextFile(path.stem, _binary(path), str(path)) for path in paths]


def read_many(path: Path, read: Callable[[Sequence[TextFile]], _Result]) -> _Result:
    """What ``read`` makes of all files with labels."""
    files = open_files(label_files(path))
    if not files:
        raise FormatError(f"{path} has no .txt file.", "docs/formats.md describes what is read.")
    return read(files)


def _binary(path: Path) -> BinaryIO:
    stream: BinaryIO = _Lazy(path)  # type: ignore[assignment]
    return stream


def text_lines(path: Path) -> list[str]:
    """The lines of a file that are not blank; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open("rb") as stream:
        return [text for _, text in lines(stream, str(path))]


def is_number(text: str) -> bool:
    """Whether text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def annotation_files(path: Path, suffix: str) -> list[Path]:
    """The file, or those with this ending in a folder and the folders in it, in the order of their paths."""
    return sorted(path.rglob(f"*{suffix}")) if path.is_dir() else [path]
