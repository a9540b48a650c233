"""What a card says of an ONNX model: its weights, its input, what its outputs mean, and its classes."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vru.domain import VruClass


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputParameters(_Part):
    """How a picture becomes the input tensor: ``(pixel - mean) / deviation``, in the order of ``channels``."""

    width: int = Field(ge=8, le=8192)
    height: int = Field(ge=8, le=8192)
    layout: Literal["nchw", "nhwc"] = "nchw"
    resize: Literal["letterbox", "stretch"]
    pad: int = Field(114, ge=0, le=255, description="grey of the letterbox's borders")
    channels: Literal["rgb", "bgr"]
    dtype: Literal["uint8", "float16", "float32"] = "float32"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @field_validator("deviation")
    @classmethod
    def _no_zero(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if any(part <= 0 for part in value):
            raise ValueError("must be above 0")
        return value

    @model_validator(mode="after")
    def _bytes_are_not_normalised(self) -> "InputParameters":
        if self.dtype == "uint8" and (any(self.mean) or set(self.deviation) != {1.0}):
            raise ValueError("a uint8 input takes pixels as they are: leave out mean and deviation")
        return self


class SsdOutput(_Part):
    """Raw outputs of an SSD: box encodings [1, N, 4] and class logits [1, N, C], column 0 the background.

    The anchors are those of W. Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2, with the
    reduced lowest map of TensorFlow's object detection API.
    """

    adapter: Literal["ssd"]
    boxes: str = Field(description="name of the output with the box encodings")
    classes: str = Field(description="name of the output with the logits")
    feature_maps: list[Annotated[int, Field(ge=1, le=512)]] = Field(min_length=2)
    min_scale: float = Field(gt=0, le=1)
    max_scale: float = Field(gt=0, le=1)
    ratios: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    coder: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)


class NanoDetOutput(_Part):
    """NanoDet's outputs, one pair a stride: class scores [1, N, C] and distances to the sides [1, N, 4 * bins]."""

    adapter: Literal["nanodet"]
    scores: list[str] = Field(min_length=1)
    distances: list[str] = Field(min_length=1)
    strides: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_each(self) -> "NanoDetOutput":
        if not len(self.scores) == len(self.distances) == len(self.strides):
            raise ValueError("scores, distances and strides must be equally many")
        return self


class BoxesOutput(_Part):
    """Finished boxes [N, 4] or [1, N, 4] (left, top, right, bottom), their scores and the numbers of their classes."""

    adapter: Literal["boxes"]
    boxes: str
    scores: str
    labels: str
    unit: Literal["pixels", "share"] = Field(description="of the input tensor: its pixels, or shares of its size")


class OnnxParameters(_Part):
    """The ``parameters`` of a card whose runtime is ``onnx``."""

    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    input: InputParameters
    output: Annotated[SsdOutput | NanoDetOutput | BoxesOutput, Field(discriminator="adapter")]
    class_map: dict[int, VruClass] = Field(min_length=1, description="number of the model's class: road user")
    score_threshold: float = Field(0.05, ge=0, le=1)
    nms_iou: float = Field(0.5, gt=0, le=1)

    @field_validator("file")
    @classmethod
    def _beside_the_card(cls, value: str) -> str:
        if PurePosixPath(value).name != value or not re.fullmatch(r"[\w.-]+\.onnx", value):
            raise ValueError("must be the name of an .onnx file beside the card")
        return value
