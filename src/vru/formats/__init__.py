"""Annotation files, in and out: COCO, CVAT, KITTI, YOLO and MOT Challenge. One parser a format, for all who read them.

    truth = read_truth(Path("annotations.json"))
    found = read_predictions(Path("results.json"), truth)

What each format holds: ``docs/formats.md``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vru.formats.annotations import Annotations, Boxes, BoxRow, FormatError, Picture
    from vru.formats.coco_writer import write_coco
    from vru.formats.cvat_writer import write_cvat
    from vru.formats.files import digest, read_predictions, read_truth
    from vru.formats.kitti import write_kitti_tracking
    from vru.formats.mot import write_mot
    from vru.formats.names import FORMATS, LIMIT_BYTES, PREDICTION_FORMATS
    from vru.formats.rules import Rules
    from vru.formats.signals import MarkerRecording, SignalRecording, read_markers, read_signals
    from vru.formats.video import Timeline, read_video_truth, video_truth

# Imported when they are first used: a command line's --help does not wait for the parsers.
_MODULES = {
    "FORMATS": "names",
    "LIMIT_BYTES": "names",
    "PREDICTION_FORMATS": "names",
    "Annotations": "annotations",
    "BoxRow": "annotations",
    "Boxes": "annotations",
    "FormatError": "annotations",
    "MarkerRecording": "signals",
    "Picture": "annotations",
    "Rules": "rules",
    "SignalRecording": "signals",
    "Timeline": "video",
    "digest": "files",
    "read_markers": "signals",
    "read_predictions": "files",
    "read_signals": "signals",
    "read_truth": "files",
    "read_video_truth": "video",
    "video_truth": "video",
    "write_coco": "coco_writer",
    "write_cvat": "cvat_writer",
    "write_kitti_tracking": "kitti",
    "write_mot": "mot",
}

__all__ = [
    "FORMATS",
    "LIMIT_BYTES",
    "PREDICTION_FORMATS",
    "Annotations",
    "BoxRow",
    "Boxes",
    "FormatError",
    "MarkerRecording",
    "Picture",
    "Rules",
    "SignalRecording",
    "Timeline",
    "digest",
    "read_markers",
    "read_predictions",
    "read_signals",
    "read_truth",
    "read_video_truth",
    "video_truth",
    "write_coco",
    "write_cvat",
    "write_kitti_tracking",
    "write_mot",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
