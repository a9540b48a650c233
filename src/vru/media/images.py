"""Decode an image file. Runs in the sandbox."""

import struct
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import cv2
import numpy as np

from vru.sandbox.errors import FileRefusedError
from vru.sandbox.shared import Picture

cv2.setNumThreads(1)

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
# Start-of-frame markers: 0xC0 to 0xCF without DHT, JPG and DAC.
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG's or PNG's header declares; None if it is neither, or cut short."""
    if data.startswith(_PNG):
        if len(data) < 24 or data[12:16] != b"IHDR":
            return None
        width, height = struct.unpack(">II", data[16:24])
        return (width, height)
    if data.startswith(_JPEG):
        return _jpeg_size(data)
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        elif marker in _START_OF_FRAME:
            if place + 9 > len(data):
                return None
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return (width, height)
        else:
            place += 2 + int(struct.unpack(">H", data[place + 2 : place + 4])[0])
    return None


def decode(path: Path, max_pixels: int) -> Iterator[tuple[None, Picture]]:
    """The pixels of a JPEG or PNG as they are stored (BGR, uint8, HxWx3; no rotation by metadata): one picture.

    Raises:
        FileRefusedError: the file is no JPEG or PNG, or damaged (422); or it declares more than ``max_pixels``, and
            nothing is decoded then (413).
    """
    with path.open("rb") as file:
        data = file.read()
    size = image_size(data)
    if size is None:
        raise FileRefusedError("The image is not a JPEG or PNG image.", "Send the image file itself as the body.")
    if size[0] * size[1] > max_pixels:
        raise FileRefusedError(
            f"The image has {size[0]} x {size[1]} pixels, more than {max_pixels}.",
            "Send a smaller image.",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise FileRefusedError("The image is damaged and cannot be decoded.", "Send it again.")
    yield None, np.asarray(image, np.uint8)
