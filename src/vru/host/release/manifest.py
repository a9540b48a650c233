"""The manifest as it comes from the laptop, packed or not, and as it is kept."""

from __future__ import annotations

import json
import zlib

from ..base.errors import USAGE, HostError, plain
from ..strict_json import WireError, read
from ..wire import Manifest, require_protocol

_GZIP = b"\x1f\x8b"
_LARGEST = 64 * 1024 * 1024


def parse(text: str | bytes) -> Manifest:
    """Read a manifest, packed by gzip or not.

    Raises:
        HostError: it is damaged, no JSON, of another protocol, or a field is not what it must be (which is named).
    """
    try:
        document = json.loads(_unpack(text) if isinstance(text, bytes) and text.startswith(_GZIP) else text)
    except ValueError as error:
        raise HostError(f"The manifest cannot be read: {plain(error)}.", code=USAGE) from error
    if not isinstance(document, dict):
        raise HostError("The manifest is no JSON object.", code=USAGE)
    try:
        require_protocol(document)
    except WireError as error:
        raise HostError(
            f"The manifest is of another version: {error}.",
            "Use the same version of `vru` and `vru-platform`: run `vru setup`.",
            code=USAGE,
        ) from error
    try:
        return read(Manifest, document)
    except WireError as error:
        raise HostError(f"The manifest is wrong: {error}.", code=USAGE) from error


def _unpack(raw: bytes) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)
    try:
        text = unpacking.decompress(raw, _LARGEST)
    except zlib.error as error:
        raise HostError("The manifest cannot be unpacked: it is damaged.", code=USAGE) from error
    if not unpacking.eof:
        raise HostError("The manifest is cut or too large.", code=USAGE)
    return text
