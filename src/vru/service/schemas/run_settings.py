"""What decides the outcome of a run, besides its inputs: of each kind of run one."""

from typing import Literal

from pydantic import Field

from vru.service.schemas.base import Schema, Whole

_SEED = "of the resampling behind the confidence intervals"
# PostgreSQL's and many programs' largest.
_LARGEST_SEED = 2**63 - 1


class RunSettings(Schema):
    """Everything that decides the outcome of a model run, besides its inputs."""

    score_threshold: float = Field(0.5, description="detections below this confidence do not count")
    iou_threshold: float = Field(0.5, gt=0, le=1, description="overlap from which a detection matches a truth box")
    frame_stride: int = Field(1, ge=1, le=1000, description="every n-th frame is evaluated")
    seed: int = Field(0, description=_SEED)


class NewRunSettings(RunSettings):
    """The settings of a new run; those that are stored may be older than these limits."""

    score_threshold: float = Field(
        0.5, ge=0, le=1, strict=True, description="detections below this confidence do not count"
    )
    iou_threshold: float = Field(
        0.5, gt=0, lt=1, strict=True, description="overlap from which a detection matches a truth box"
    )
    frame_stride: Whole = Field(1, ge=1, le=1000, description="every n-th frame is evaluated")
    seed: Whole = Field(0, ge=0, le=_LARGEST_SEED, description=_SEED)


class CameraRunSettings(Schema):
    """Everything that decides the outcome of a camera run, besides its inputs. See ``vru.evaluation.camera``."""

    tolerance_ms: float = Field(
        100.0, ge=0, le=60_000, description="how long after it was last visible a road user may still be signalled"
    )
    early_ms: float = Field(
        1000.0,
        ge=0,
        le=600_000,
        description="a false signal so long before somebody becomes visible counts as early",
    )
    start: Literal["visible", "reasonable"] = Field(
        "visible", description="windows begin with the first box, or with the first of reasonable height"
    )
    reasonable_height: float = Field(50.0, gt=0, description="pixels from which a box is of reasonable height")
    seed: Whole = Field(0, ge=0, le=_LARGEST_SEED, description=_SEED)
