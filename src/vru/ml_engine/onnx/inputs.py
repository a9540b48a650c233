"""From a picture to a model's input tensor."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vru.ml_engine.onnx.boxes import Array
from vru.ml_engine.onnx.card import InputParameters

_INTERPOLATION = {
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
    "nearest": cv2.INTER_NEAREST,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """The tensor, batch of one, and how its pixels lie: input pixel = picture pixel * ``scale`` + ``offset``."""

    tensor: NDArray[Any]
    scale: Array
    offset: Array

    def in_picture(self, boxes: Array) -> Array:
        """Boxes in pixels of the input as boxes in pixels of the picture."""
        return np.asarray((boxes - self.offset) / self.scale, np.float32)


def prepare(image: NDArray[np.uint8], card: InputParameters) -> Prepared:
    """What the card asks for of ``image`` (BGR, uint8, HxWx3).

    ``letterbox`` fits the whole picture in and fills the rest with grey; ``stretch`` does not keep its proportions;
    ``crop`` fills the input and loses what lies beyond.
    """
    height, width = image.shape[:2]
    ratios = card.width / width, card.height / height
    if card.resize == "stretch":
        size = card.width, card.height
    else:
        factor = min(ratios) if card.resize == "letterbox" else max(ratios)
        size = max(1, round(width * factor)), max(1, round(height * factor))
    resized = np.asarray(cv2.resize(image, size, interpolation=_INTERPOLATION[card.interpolation]), np.uint8)
    left = top = 0
    if card.place == "centre":
        left, top = int((card.width - size[0]) / 2), int((card.height - size[1]) / 2)
    scale = np.array([size[0] / width, size[1] / height] * 2, np.float32)
    tensor = _tensor(_placed(resized, left, top, card), card)
    return Prepared(tensor, scale, np.array([left, top] * 2, np.float32))


def _placed(resized: NDArray[np.uint8], left: int, top: int, card: InputParameters) -> NDArray[np.uint8]:
    """The resized picture with its corner at ``left``, ``top`` of the input: inside of it, or beyond."""
    height, width = resized.shape[:2]
    if (width, height) == (card.width, card.height):
        return resized
    canvas = np.full((card.height, card.width, 3), card.pad, np.uint8)
    to = np.s_[max(top, 0) : max(top, 0) + height, max(left, 0) : max(left, 0) + width]
    seen = np.s_[max(-top, 0) : max(-top, 0) + card.height, max(-left, 0) : max(-left, 0) + card.width]
    canvas[to] = resized[seen]
    return canvas


def _tensor(canvas: NDArray[np.uint8], card: InputParameters) -> NDArray[Any]:
    pixels: NDArray[Any] = canvas[:, :, ::-1] if card.channels == "rgb" else canvas
    if card.dtype != "uint8":
        mean, deviation = np.array(card.mean, np.float32), np.array(card.deviation, np.float32)
        pixels = ((pixels.astype(np.float32) - mean) / deviation).astype(card.dtype)
    if card.layout == "nchw":
        pixels = pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(pixels[None])
