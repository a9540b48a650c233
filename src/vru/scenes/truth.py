"""A scene's ground truth, and ground truth as COCO JSON with time."""

from collections.abc import Sequence
from typing import Any

from vru.domain import GroundTruth, Track, TruthBox, VruClass
from vru.scenes.scene import TIME_BASE, Scene


def ground_truth(scene: Scene) -> GroundTruth:
    """Every visible person of ``scene`` in every frame, exact to the pixel. Its source is ``synthetic``."""
    boxes: dict[int, list[TruthBox]] = {walker.track_id: [] for walker in scene.walkers}
    for frame in scene.frames():
        for track_id, truth in frame.truths.items():
            boxes[track_id].append(truth)
    tracks = tuple(
        Track(walker.track_id, walker.road_user, tuple(boxes[walker.track_id]))
        for walker in scene.walkers
        if boxes[walker.track_id]
    )
    return GroundTruth(scene.lens.width, scene.lens.height, scene.frame_count, tracks, source="synthetic")


def to_coco(truth: GroundTruth, file_name: str, times: Sequence[float]) -> dict[str, Any]:
    """``truth`` as a COCO document with ``videos``, and with time in its ``images``.

    ``times`` holds the seconds of each frame; ``pts`` counts ticks of 1/90000 s. Boxes are ``[x, y, width, height]``
    in pixels from the top-left corner, right and bottom edges exclusive.
    """
    classes = [road_user for road_user in VruClass if any(track.road_user is road_user for track in truth.tracks)]
    category_ids = {road_user: number for number, road_user in enumerate(classes or [VruClass.PEDESTRIAN], start=1)}
    return {
        "info": {"description": f"Synthetic scene, exact by construction ({file_name})", "version": "1.0"},
        "licenses": [],
        "videos": [
            {
                "id": 1,
                "file_name": file_name,
                "width": truth.width,
                "height": truth.height,
                "frame_count": truth.frame_count,
                "time_base": f"{TIME_BASE.numerator}/{TIME_BASE.denominator}",
            }
        ],
        "categories": [
            {"id": number, "name": str(road_user), "supercategory": "vru"} for road_user, number in category_ids.items()
        ],
        "images": [_image(truth, file_name, index, time_s) for index, time_s in enumerate(times)],
        "annotations": [
            _annotation(number, track, box, category_ids[track.road_user])
            for number, (track, box) in enumerate(_in_order_of_time(truth), start=1)
        ],
    }


def _in_order_of_time(truth: GroundTruth) -> list[tuple[Track, TruthBox]]:
    return sorted(truth.boxes(), key=lambda pair: (pair[1].frame_index, pair[0].track_id))


def _image(truth: GroundTruth, file_name: str, index: int, time_s: float) -> dict[str, Any]:
    return {
        "id": index + 1,
        "video_id": 1,
        "frame_index": index,
        "file_name": f"{file_name}#{index:06d}",
        "width": truth.width,
        "height": truth.height,
        "timestamp_s": time_s,
        "pts": round(time_s / TIME_BASE),
    }


def _annotation(number: int, track: Track, truth: TruthBox, category_id: int) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": truth.frame_index + 1,
        "video_id": 1,
        "category_id": category_id,
        "track_id": track.track_id,
        "bbox": list(truth.box.as_tuple()),
        "area": truth.box.area,
        "segmentation": [],
        "iscrowd": 0,
        "occluded": int(truth.occluded),
        "truncated": int(truth.truncated),
        "ignore": int(truth.ignore),
    }
