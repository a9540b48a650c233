"""How pictures become input tensors, and where boxes go back to."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from vru.ml_engine.onnx.card import InputParameters
from vru.ml_engine.onnx.inputs import prepare


def _card(**changes: Any) -> InputParameters:
    return InputParameters.model_validate({"width": 40, "height": 20, "resize": "stretch", "channels": "bgr"} | changes)


def _marked(height: int, width: int, left: int, top: int, side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Black, with one white square."""
    image = np.zeros((height, width, 3), np.uint8)
    image[top : top + side, left : left + side] = 255
    return image


@pytest.mark.parametrize("place", ["centre", "top-left"])
@pytest.mark.parametrize("resize", ["letterbox", "stretch", "crop"])
@pytest.mark.parametrize(("width", "height"), [(80, 80), (160, 40), (20, 10), (64, 72)])
def test_box_around_a_mark_goes_back_to_where_the_mark_is(resize: str, place: str, width: int, height: int) -> None:
    side = height // 5
    left, top = (width - side) // 2, (height - side) // 2
    if resize == "crop" and place == "top-left":
        left, top = 0, 0
    image = _marked(height, width, left, top, side)
    prepared = prepare(image, _card(resize=resize, place=place, interpolation="area", pad=0))
    bright = np.argwhere(prepared.tensor[0, 0] > 127)
    (y0, x0), (y1, x1) = bright.min(0), bright.max(0) + 1
    box = prepared.in_picture(np.array([[x0, y0, x1, y1]], np.float32))[0]
    pixel = np.array(1 / prepared.scale)  # one pixel of the input, in pixels of the picture
    assert np.all(np.abs(box - (left, top, left + side, top + side)) <= pixel)


def test_letterbox_keeps_proportions_and_fills_with_grey() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    prepared = prepare(image, _card(resize="letterbox"))
    assert np.all(prepared.tensor[0, :, :, 10:30] == 200)
    assert np.all(prepared.tensor[0, :, :, :10] == 114) and np.all(prepared.tensor[0, :, :, 30:] == 114)
    corner = prepare(image, _card(resize="letterbox", place="top-left", pad=7))
    assert np.all(corner.tensor[0, :, :, :20] == 200) and np.all(corner.tensor[0, :, :, 20:] == 7)


def test_crop_loses_what_lies_beyond() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[10:30] = 255
    assert np.all(prepare(image, _card(resize="crop")).tensor == 255)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_order_of_colours_layout_and_type(dtype: str, layout: str) -> None:
    image = np.zeros((20, 40, 3), np.uint8)
    image[...] = (10, 20, 30)  # blue, green, red
    tensor = prepare(image, _card(channels="rgb", layout=layout, dtype=dtype)).tensor
    assert tensor.dtype == dtype and tensor.flags["C_CONTIGUOUS"]
    assert tensor.shape == ((1, 3, 20, 40) if layout == "nchw" else (1, 20, 40, 3))
    first = tensor[0, :, 0, 0] if layout == "nchw" else tensor[0, 0, 0]
    assert first.tolist() == [30, 20, 10]


def test_normalisation_is_in_the_order_of_the_channels() -> None:
    image = np.full((20, 40, 3), (10, 20, 30), np.uint8)
    card = _card(channels="rgb", mean=[30, 10, 0], deviation=[1, 2, 4])
    assert prepare(image, card).tensor[0, :, 5, 5].tolist() == [0, 5, 2.5]
    with pytest.raises(ValidationError, match="uint8 input takes pixels as they are"):
        _card(dtype="uint8", mean=[1, 1, 1])
    with pytest.raises(ValidationError, match="above 0"):
        _card(deviation=[1, 0, 1])
