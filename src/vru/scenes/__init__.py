"""Synthetic road scenes with exact ground truth, and videos made of them.

>>> crossing = scene("crossing")
>>> write_video(crossing, Path("video.mp4"))
>>> document = to_coco(ground_truth(crossing), "video.mp4", crossing.times)
"""

from vru.scenes.catalogue import SCENE_NAMES, scene
from vru.scenes.scene import TIME_BASE, Frame, Light, Scene, Walker
from vru.scenes.street import Lens, ParkedCar, Pole
from vru.scenes.truth import ground_truth, to_coco
from vru.scenes.video import encode_frames, write_video

__all__ = [
    "SCENE_NAMES",
    "TIME_BASE",
    "Frame",
    "Lens",
    "Light",
    "ParkedCar",
    "Pole",
    "Scene",
    "Walker",
    "encode_frames",
    "ground_truth",
    "scene",
    "to_coco",
    "write_video",
]
