"""What a card says of a model's outputs: which adapter reads them, and what that one has to know.

``N`` is the number of boxes, ``C`` of classes. The first dimension of every tensor may be a batch of one.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Unit = Literal["pixels", "share"]
Column = Literal[
    "left", "top", "right", "bottom", "centre_x", "centre_y", "width", "height", "score", "class", "batch", "skip"
]
_CORNERS = {"left", "top", "right", "bottom"}
_CENTRES = {"centre_x", "centre_y", "width", "height"}
_UNIT = Field(description="of coordinates: pixels of the input tensor, or shares of its size")
Strides = Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=1)]
FeatureMaps = Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=1)]
Ratios = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]


class Part(BaseModel):
    """A part of a card. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BoxesOutput(Part):
    """Boxes [N, 4]; scores [N] with the classes' numbers in ``labels`` [N]; or scores [N, C] without ``labels``."""

    adapter: Literal["boxes"]
    boxes: str
    scores: str
    labels: str | None = None
    count: str | None = Field(None, description="how many of the boxes are real, where the rest is padding")
    order: Literal["xyxy", "yxyx", "xywh", "cxcywh"] = "xyxy"
    unit: Unit = _UNIT
    suppressed: bool = Field(True, description="duplicates are taken out already")

    def tensors(self) -> list[str]:
        """The outputs that are read."""
        return [name for name in (self.boxes, self.scores, self.labels, self.count) if name is not None]


class RowsOutput(Part):
    """One tensor [N, columns], a finished box a row: built-in suppression, as of YOLOv10 or an export with ``nms``."""

    adapter: Literal["rows"]
    output: str
    columns: list[Column]
    unit: Unit = _UNIT
    suppressed: bool = True

    @model_validator(mode="after")
    def _whole(self) -> "RowsOutput":
        named = [column for column in self.columns if column != "skip"]
        if len(set(named)) != len(named):
            raise ValueError("columns: one is named twice")
        places = set(named) - {"score", "class", "batch"}
        if places not in (_CORNERS, _CENTRES) or not {"score", "class"} <= set(named):
            raise ValueError("columns: need four of corners, or of centre and size; score; class")
        return self

    def tensors(self) -> list[str]:
        """The outputs that are read."""
        return [self.output]


class YoloOutput(Part):
    """YOLOv5 to v11: one tensor of centre x, centre y, width, height, objectness (v5, v7), and a score a class.

    [N, 4 + 1 + C], or with ``channels_first`` (v8 and later) [4 + C, N].
    """

    adapter: Literal["yolo"]
    output: str
    objectness: bool = Field(description="a column before the classes, with which their scores are multiplied")
    channels_first: bool
    classes: int | None = Field(None, ge=1, description="where more columns follow, such as those of masks")
    unit: Unit = _UNIT

    def tensors(self) -> list[str]:
        """The outputs that are read."""
        return [self.output]


class YoloxOutput(Part):
    """YOLOX without its decoder: [N, 5 + C]; offsets in cells, logarithms of sizes in strides, objectness, scores."""

    adapter: Literal["yolox"]
    output: str
    strides: Strides = [8, 16, 32]

    def tensors(self) -> list[str]:
        """The outputs that are read."""
        return [self.output]


class NanoDetOutput(Part):
    """NanoDet: scores [N, C] and distributions of the distances to the sides [N, 4 * bins], one pair a stride.

    NanoDet-Plus has one tensor ``joined`` [N, C + 4 * bins] for all strides, and its cells count from their corner:
    ``cell: 0``.
    """

    adapter: Literal["nanodet"]
    scores: list[str] = []
    distances: list[str] = []
    joined: str | None = None
    bins: int | None = Field(None, ge=2, le=256, description="of joined: bins a side")
    strides: Strides
    cell: float = Field(0.5, ge=0, le=1, description="where in its cell a point lies")

    @model_validator(mode="after")
    def _one_each(self) -> "NanoDetOutput":
        if self.joined is not None:
            if self.scores or self.distances or self.bins is None:
                raise ValueError("joined needs bins, and neither scores nor distances")
        elif not len(self.scores) == len(self.distances) == len(self.strides):
            raise ValueError("scores, distances and strides must be equally many")
        return self

    def tensors(self) -> list[str]:
        """The outputs that are read."""
        return [self.joined] if self.joined is not None else [*self.scores, *self.distances]


class DetrOutput(Part):
    """DETR and its kin: boxes [N, 4] (centre x, centre y, width, height, shares) and logits [N, C]. No suppression.

    ``softmax`` (DETR): a query is of its likeliest class, the background counted out. ``sigmoid`` (Deformable DETR,
    RT-DETR, RF-DETR): each class of a query stands for itself.
    """

    adapter: Literal["detr"]
    boxes: str
    logits: str
    activation: Literal["softmax", "sigmoid"]
    background: Literal["first", "last", "none"]

    def tensors(self) -> list[str]:
        """The outputs that are read."""
        return [self.boxes, self.logits]


class SsdAnchors(Part):
    """Anchors of SSD as in TensorFlow's object detection API and in MediaPipe.

    W. Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2. Equal feature maps that follow each other
    are one, with the anchors of all (MediaPipe).
    """

    kind: Literal["ssd"]
    feature_maps: FeatureMaps
    min_scale: float = Field(gt=0, le=1)
    max_scale: float = Field(gt=0, le=1)
    ratios: Ratios
    interpolated: bool = Field(True, description="one more, of the geometric mean of two scales, ratio 1")
    reduced_lowest: bool = Field(True, description="the first map has three: scale 0.1; the smallest with 2 and 1/2")
    fixed_size: bool = Field(False, description="each is as large as the input: sizes are shares of it")


class EfficientDetAnchors(Part):
    """Anchors of M. Tan et al., "EfficientDet: Scalable and Efficient Object Detection", 2020."""

    kind: Literal["efficientdet"]
    feature_maps: FeatureMaps
    octaves: int = Field(3, ge=1, le=8)
    ratios: Ratios = [1.0, 2.0, 0.5]
    scale: float = Field(4.0, gt=0, description="size in cells; 3 in the lite models")


class AnchorsOutput(Part):
    """Boxes [N, 4] coded against anchors, and logits or scores [N, C]: SSD, EfficientDet, MediaPipe."""

    adapter: Literal["anchors"]
    boxes: str
    classes: str
    anchors: Annotated[SsdAnchors | EfficientDetAnchors, Field(discriminator="kind")]
    coder: tuple[float, float, float, float] = Field((1.0, 1.0, 1.0, 1.0), description="divisors, in the code's order")
    order: Literal["yxhw", "xywh"] = "yxhw"
    exponential: bool = Field(True, description="sizes are logarithms; MediaPipe's are not")
    activation: Literal["sigmoid", "softmax", "none"] = "sigmoid"

    def tensors(self) -> list[str]:
        """The outputs that are read."""
        return [self.boxes, self.classes]


Output = Annotated[
    BoxesOutput | RowsOutput | YoloOutput | YoloxOutput | NanoDetOutput | DetrOutput | AnchorsOutput,
    Field(discriminator="adapter"),
]
