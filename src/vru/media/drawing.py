"""Boxes drawn into a picture: truth and detections differ in colour and in their lines, so that grey paper shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
# Blue and vermilion of Okabe and Ito's palette (2008), which colour-blind readers tell apart; BGR.
TRUTH, DETECTION, HALO = (178, 114, 0), (0, 94, 213), (255, 255, 255)
_DASH, _GAP = 7, 5
_QUALITY = 80
# The crop shows so many times the box's longer side around it, and no fewer pixels of the picture than that.
_CONTEXT, _LEAST_CROP = 0.5, 64


def drawn_pictures(
    image: Pixels, box: Sequence[float], drawn: Sequence[Mapping[str, Any]], frame_width: int, crop_size: int
) -> tuple[bytes, bytes]:
    """The whole picture and the part around ``box`` (x, y, width, height), as JPEG, with the boxes ``drawn``."""
    height, width = image.shape[:2]
    whole = _scaled(image, min(1.0, frame_width / width), (0, 0, width, height), drawn)
    left, top, right, bottom = _around(box, width, height)
    scale = crop_size / max(right - left, bottom - top)
    return whole, _scaled(image, scale, (left, top, right, bottom), drawn)


def _around(box: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """A part of the picture with the box in it, inside of the picture."""
    x, y, wide, high = box
    half = max(max(wide, high) * (0.5 + _CONTEXT), _LEAST_CROP / 2)
    centre_x, centre_y = min(max(x + wide / 2, 0), width), min(max(y + high / 2, 0), height)
    left, top = max(0, int(centre_x - half)), max(0, int(centre_y - half))
    right, bottom = min(width, int(np.ceil(centre_x + half))), min(height, int(np.ceil(centre_y + half)))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _scaled(image: Pixels, scale: float, part: tuple[int, int, int, int], drawn: Sequence[Mapping[str, Any]]) -> bytes:
    left, top, right, bottom = part
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = cv2.resize(image[top:bottom, left:right], size, interpolation=way)
    # Chosen boxes last: they lie on top.
    for item in sorted(drawn, key=lambda item: bool(item["chosen"])):
        x, y, wide, high = item["box"]
        corners = [(x - left) * scale, (y - top) * scale, (x + wide - left) * scale, (y + high - top) * scale]
        _draw(canvas, corners, detected=item["detected"], chosen=item["chosen"])
    # Without subsampled colours: they would wash out thin lines.
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        _QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, data = cv2.imencode(".jpg", canvas, options)
    if not done:
        raise ValueError("a picture cannot be written as JPEG")
    return data.tobytes()


def _draw(canvas: NDArray[Any], corners: Sequence[float], *, detected: bool, chosen: bool) -> None:
    """Truth is solid, a detection dashed; the box that the picture is about is thick."""
    left, top, right, bottom = corners
    thickness = 4 if chosen else 2
    colour = DETECTION if detected else TRUTH
    sides = (
        ((left, top), (right, top)),
        ((right, top), (right, bottom)),
        ((right, bottom), (left, bottom)),
        ((left, bottom), (left, top)),
    )
    for begin, end in sides:
        cv2.line(canvas, _point(begin), _point(end), HALO, thickness + 2, cv2.LINE_AA)
    for begin, end in sides:
        for piece in _pieces(begin, end) if detected else [(begin, end)]:
            cv2.line(canvas, _point(piece[0]), _point(piece[1]), colour, thickness, cv2.LINE_AA)


def _pieces(begin: tuple[float, float], end: tuple[float, float]) -> list[tuple[tuple[float, float], ...]]:
    """The dashes of a line."""
    length = float(np.hypot(end[0] - begin[0], end[1] - begin[1]))
    # OpenCV clips lines at the picture; a box far larger than it must not cost a dash for each of its pixels.
    starts = np.arange(0.0, min(length, 1e5), _DASH + _GAP)

    def at(distance: float) -> tuple[float, float]:
        share = min(distance, length) / length if length else 0.0
        return begin[0] + (end[0] - begin[0]) * share, begin[1] + (end[1] - begin[1]) * share

    return [(at(start), at(start + _DASH)) for start in starts.tolist()]


def _point(place: tuple[float, float]) -> tuple[int, int]:
    return (round(min(max(place[0], -1e6), 1e6)), round(min(max(place[1], -1e6), 1e6)))
