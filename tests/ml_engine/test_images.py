import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vru.media.images import image_size
from vru.ml_engine.readers import Readers
from vru.sandbox.errors import FileRefusedError

_PICTURE = np.random.default_rng(0).integers(0, 255, (37, 53, 3), np.uint8)


def _encoded(extension: str, *options: int) -> bytes:
    return cv2.imencode(extension, _PICTURE, options)[1].tobytes()


@pytest.mark.parametrize(
    "data", [_encoded(".png"), _encoded(".jpg"), _encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)]
)
def test_size_and_pixels(readers: Readers, data: bytes) -> None:
    assert image_size(data) == (53, 37)
    assert readers.image_of(data, 53 * 37).shape == (37, 53, 3)
    with pytest.raises(FileRefusedError, match="53 x 37") as caught:
        readers.image_of(data, 53 * 37 - 1)
    assert caught.value.status == 413


def test_rotation_by_metadata_is_not_applied(readers: Readers) -> None:
    """Boxes are in stored pixels: EXIF orientation 6 (a quarter turn) must not swap width and height."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)
    data = _encoded(".jpg")
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (53, 37, 3)
    assert readers.image_of(turned, 10_000).shape == (37, 53, 3)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", _encoded(".jpg")[:160]]))
def test_any_bytes_are_decoded_or_refused(readers: Readers, data: bytes, start: bytes) -> None:
    try:
        readers.image_of(start + data, 1_000_000)
    except FileRefusedError as error:
        assert error.fix
