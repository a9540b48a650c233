"""Camera runs: a device's signals against the road users of a video, in time.

clocks = join_clocks(marker_media_s, marker_time_ns)
evaluation = evaluate_camera(SignalTable.of(signals), RoadUsers.of(truth), frame_times, clocks)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vru.evaluation.camera.clocks import Clocks, given_offset, join_clocks
    from vru.evaluation.camera.run import CAMERA_METRICS, CameraEvaluation, evaluate_camera
    from vru.evaluation.camera.signal_matching import (
        CameraSettings,
        RoadUsers,
        SignalMatches,
        SignalOutcome,
        SignalTable,
        match_signals,
    )

# Imported when they are first used: who only joins clocks does not need all of it.
_MODULES = {
    **dict.fromkeys(("Clocks", "given_offset", "join_clocks"), "clocks"),
    **dict.fromkeys(("CAMERA_METRICS", "CameraEvaluation", "evaluate_camera"), "run"),
}

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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'signal_matching')}"), name)
