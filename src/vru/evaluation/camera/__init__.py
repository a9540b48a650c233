"""Camera runs: a device's signals against the road users of a video, in time.

clocks = join_clocks(marker_media_s, marker_time_ns)
evaluation = evaluate_camera(SignalTable.of(signals), RoadUsers.of(truth), frame_times, clocks)
"""

from vru.evaluation.camera.clocks import Clocks, given_offset, join_clocks
from vru.evaluation.camera.run import (
    CAMERA_METRICS,
    CameraEvaluation,
    CameraSettings,
    RoadUsers,
    SignalMatches,
    SignalOutcome,
    SignalTable,
    evaluate_camera,
    match_signals,
)

__all__ = [
    "CAMERA_METRICS",
    "CameraEvaluation",
    "CameraSettings",
    "Clocks",
    "RoadUsers",
    "SignalMatches",
    "SignalOutcome",
    "SignalTable",
    "evaluate_camera",
    "given_offset",
    "join_clocks",
    "match_signals",
]
