"""Reading an uploaded file of attributes, CSV or JSON, in the sandbox: texts by recording and name come back."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vru.domain import VruError
from vru.sandbox.limits import MEBIBYTE, Limits

LIMITS = Limits(memory_bytes=512 * MEBIBYTE, cpu_s=30.0, wall_s=120.0, answer_bytes=16 * MEBIBYTE)
LARGEST = 8 * MEBIBYTE
# What the column with the recordings' names may be called, and the one with tags.
_NAMES, TAGS = ("recording", "name", "video", "file"), "tags"
_HOW = "docs/api.md describes the file: a column recording, and one for each attribute."
Said = dict[str, dict[str, str]]


def read_attributes(file: Path, *, name: str) -> Said:
    """What the file says: for each recording its attributes; tags stand in ``tags``, with semicolons between.

    Raises:
        VruError: it is neither CSV nor JSON of this form; the message names the line or the recording.
    """
    try:
        text = file.open("rb").read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise VruError(f"{name} is no text in UTF-8: byte {error.start}.", "Save it as UTF-8.") from None
    if not text.strip():
        raise VruError(f"{name} is empty.", _HOW)
    return _json(text, name) if text.lstrip()[:1] in "[{" else _csv(text, name)


def _csv(text: str, name: str) -> Said:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip() for cell in next(rows)]
        key = next((place for place, cell in enumerate(header) if cell.lower() in _NAMES), None)
        if key is None:
            raise VruError(f"{name} has no column with the recordings' names.", f"Call it {_NAMES[0]}. {_HOW}")
        if len(set(header)) < len(header) or "" in header:
            raise VruError(f"{name}: each column needs a name of its own in line 1.", _HOW)
        found: Said = {}
        for cells in rows:
            where = f"{name}, line {rows.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise VruError(f"{where} has {len(cells)} cells, not {len(header)}.", "Quote cells with commas.")
            # An empty cell says nothing.
            said = {column: cell.strip() for column, cell in zip(header, cells, strict=True) if cell.strip()}
            _take(found, said.pop(header[key], ""), said, where)
    except csv.Error as error:
        raise VruError(f"{name}, line {rows.line_num}: {error}.", _HOW) from None
    return found


def _json(text: str, name: str) -> Said:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise VruError(f"{name} is no JSON: {str(error)[:200]}.", _HOW) from None
    found: Said = {}
    if isinstance(document, dict):
        inner = document.get("recordings", document)
        pairs = inner.items() if isinstance(inner, dict) else None
        if pairs is None:
            raise VruError(f"{name}: recordings is no list of names with their attributes.", _HOW)
        for recording, said in pairs:
            _take(found, recording, _texts(said, f"{name}: {recording}"), f"{name}: {recording}")
        return found
    for position, row in enumerate(document):
        where = f"{name}, entry {position + 1}"
        said = _texts(row, where)
        key = next((column for column in _NAMES if column in said), None)
        _take(found, said.pop(key) if key else "", said, where)
    return found


def _texts(said: Any, where: str) -> dict[str, str]:
    if not isinstance(said, Mapping):
        raise VruError(f"{where} is no object of attributes.", _HOW)
    texts = {}
    for name, value in said.items():
        if name == TAGS and isinstance(value, list) and all(isinstance(tag, str) for tag in value):
            texts[name] = ";".join(value)
        elif isinstance(value, str):
            texts[name] = value
        elif value is not None:
            raise VruError(f"{where}: {name} is {json.dumps(value)[:60]}, no text.", f'Write "{name}": "...".')
    return texts


def _take(found: Said, recording: str, said: dict[str, str], where: str) -> None:
    if not recording:
        raise VruError(f"{where} names no recording.", _HOW)
    if recording in found:
        raise VruError(f"{where} is about {recording!r} again.", "Put all of it into one place.")
    found[recording] = said
