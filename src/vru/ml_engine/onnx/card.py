"""What a card says of an ONNX model: its weights, its input, what its outputs mean, and its classes."""

import re
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from vru.domain import VruClass
from vru.ml_engine.onnx.class_maps import class_map
from vru.ml_engine.onnx.outputs import Output, Part


class SizeInput(Part):
    """A second input, int64 [1, 2], that takes the size in which boxes are wanted; it gets the first input's."""

    name: str
    order: Literal["width-height", "height-width"] = "width-height"


class InputParameters(Part):
    """How a picture becomes the input tensor: ``(pixel - mean) / deviation``, in the order of ``channels``."""

    width: int = Field(ge=8, le=8192)
    height: int = Field(ge=8, le=8192)
    layout: Literal["nchw", "nhwc"] = "nchw"
    resize: Literal["letterbox", "stretch", "crop"]
    place: Literal["centre", "top-left"] = Field("centre", description="of the picture in the letterbox, of the crop")
    interpolation: Literal["linear", "area", "cubic", "nearest"] = "linear"
    pad: int = Field(114, ge=0, le=255, description="grey of the letterbox's borders")
    channels: Literal["rgb", "bgr"]
    dtype: Literal["uint8", "float16", "float32"] = "float32"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    size_input: SizeInput | None = None

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


class RiderRule(Part):
    """A ``person`` on a ``vehicle``, two numbers of the model's classes, is one road user. See ``riders``."""

    person: int = Field(ge=0)
    vehicle: int = Field(ge=0)
    becomes: VruClass
    box: Literal["union", "person"] = "union"
    overlap: float = Field(0.5, gt=0, le=1, description="of the narrower one's width that both share, at least")
    vehicle_score: float = Field(0.25, ge=0, le=1, description="a vehicle that is less sure carries nobody")


class OnnxParameters(Part):
    """The ``parameters`` of a card whose runtime is ``onnx``."""

    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    input: InputParameters
    output: Output
    class_map: dict[int, VruClass] = Field(
        min_length=1, description="number of the model's class: road user; or the name of a data set"
    )
    riders: list[RiderRule] = Field(default_factory=list)
    score_threshold: float = Field(0.05, ge=0, le=1)
    nms_iou: float = Field(0.5, gt=0, le=1)
    max_candidates: int = Field(
        10_000, ge=1, le=100_000, description="of more boxes than so many the surest are looked at"
    )

    @field_validator("file")
    @classmethod
    def _beside_the_card(cls, value: str) -> str:
        if PurePosixPath(value).name != value or not re.fullmatch(r"[\w.-]+\.onnx", value):
            raise ValueError("must be the name of an .onnx file beside the card")
        return value

    @field_validator("class_map", mode="before")
    @classmethod
    def _of_a_data_set(cls, value: Any) -> Any:
        return class_map(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _persons_are_mapped(self) -> "OnnxParameters":
        if lost := [rule.person for rule in self.riders if rule.person not in self.class_map]:
            raise ValueError(f"riders: person {lost[0]} is not in class_map")
        if self.class_map.keys() and min(self.class_map) < 0:
            raise ValueError("class_map: numbers are not negative")
        return self

    def road_users(self) -> set[VruClass]:
        """Every class that the model can give."""
        return set(self.class_map.values()) | {rule.becomes for rule in self.riders}

    def columns(self) -> list[int]:
        """The model's classes that matter, rising."""
        return sorted(set(self.class_map) | {rule.vehicle for rule in self.riders})
