"""Annotation files, in and out: COCO, CVAT, KITTI, YOLO and MOT Challenge. One parser a format, for all who read them.

    truth = read_truth(Path("annotations.json"))
    found = read_predictions(Path("results.json"), truth)

What each format holds: ``docs/formats.md``.
"""

from vru.formats.annotations import Annotations, Boxes, BoxRow, FormatError, Picture
from vru.formats.coco import write_coco
from vru.formats.cvat import write_cvat
from vru.formats.files import FORMATS, LIMIT_BYTES, PREDICTION_FORMATS, digest, read_predictions, read_truth
from vru.formats.kitti import write_kitti_tracking
from vru.formats.mot import write_mot
from vru.formats.signals import MarkerRecording, SignalRecording, read_markers, read_signals
from vru.formats.video import Timeline, read_video_truth, video_truth

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
