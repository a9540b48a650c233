"""What services say to each other and to clients: the JSON that more than one service reads or writes.

One module a noun; what only one service reads or writes is in that service.
"""

from vru.service.schemas.base import Name, Schema, Whole, is_text
from vru.service.schemas.cameras import CameraBody, CameraCreate
from vru.service.schemas.criteria import CriterionBody, CriterionResultBody, MeasurementBody, NewCriterion
from vru.service.schemas.data_sets import (
    DataSetCriterion,
    DataSetRunMetrics,
    DataSetTrackResult,
    DataSetVersionRef,
    RecordingResult,
)
from vru.service.schemas.detections import DetectionBody, FrameDetections, StreamEnd, VideoDetectionRequest
from vru.service.schemas.models import ModelBody
from vru.service.schemas.problems import Problem
from vru.service.schemas.run_metrics import (
    CameraRunMetrics,
    CameraTrackResult,
    ClockBody,
    CurveBody,
    RunMetrics,
    SignalBody,
    SignalList,
    TrackResult,
)
from vru.service.schemas.run_settings import CameraRunSettings, NewRunSettings, RunSettings
from vru.service.schemas.runs import (
    RUN_FIELDS,
    AnyRunCreate,
    CameraRunBody,
    CameraRunCreate,
    DataSetRunCreate,
    ModelRunBody,
    Priority,
    RunBody,
    RunChange,
    RunCreate,
    RunEvent,
    SetAsideClip,
    run_body,
)
from vru.service.schemas.seals import SealBody
from vru.service.schemas.signal_sources import (
    DestinationBody,
    PayloadBody,
    SignalCounts,
    SignalDelivery,
    SignalSourceBody,
    SignalSourceCreate,
    SignalSourceList,
)

__all__ = [
    "RUN_FIELDS",
    "AnyRunCreate",
    "CameraBody",
    "CameraCreate",
    "CameraRunBody",
    "CameraRunCreate",
    "CameraRunMetrics",
    "CameraRunSettings",
    "CameraTrackResult",
    "ClockBody",
    "CriterionBody",
    "CriterionResultBody",
    "CurveBody",
    "DataSetCriterion",
    "DataSetRunCreate",
    "DataSetRunMetrics",
    "DataSetTrackResult",
    "DataSetVersionRef",
    "DestinationBody",
    "DetectionBody",
    "FrameDetections",
    "MeasurementBody",
    "ModelBody",
    "ModelRunBody",
    "Name",
    "NewCriterion",
    "NewRunSettings",
    "PayloadBody",
    "Priority",
    "Problem",
    "RecordingResult",
    "RunBody",
    "RunChange",
    "RunCreate",
    "RunEvent",
    "RunMetrics",
    "RunSettings",
    "Schema",
    "SealBody",
    "SetAsideClip",
    "SignalBody",
    "SignalCounts",
    "SignalDelivery",
    "SignalList",
    "SignalSourceBody",
    "SignalSourceCreate",
    "SignalSourceList",
    "StreamEnd",
    "TrackResult",
    "VideoDetectionRequest",
    "Whole",
    "is_text",
    "run_body",
]
