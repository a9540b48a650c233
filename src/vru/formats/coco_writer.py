"""Ground truth as COCO JSON."""

import json
from typing import Any, TextIO

from vru.formats.annotations import Annotations, BoxRow


def write_coco(annotations: Annotations, out: TextIO) -> None:
    """Write ground truth, with what other formats know besides: tracks, occlusion, truncation, frame and time."""
    categories = [{"id": position + 1, "name": name} for position, name in enumerate(annotations.labels)]
    videos = [{"id": position + 1, "name": name} for position, name in enumerate(annotations.sequences)]
    info: dict[str, Any] = {"source": annotations.source} if annotations.source else {}
    if annotations.approved_by is not None:
        info["approved_by"] = annotations.approved_by or None
    out.write(f'{{"info": {json.dumps(info)}, "licenses": [], "videos": ' + json.dumps(videos) + ', "categories": ')
    out.write(json.dumps(categories) + ', "images": [')
    for position, picture in enumerate(annotations.pictures):
        image = {"id": position + 1, "file_name": str(picture.key), "video_id": picture.sequence + 1}
        named = {
            "frame_index": picture.frame_index,
            "timestamp_s": picture.time_s,
            "width": picture.width,
            "height": picture.height,
        }
        image |= {name: value for name, value in named.items() if value is not None}
        image |= {"attributes": dict(picture.attributes)} if picture.attributes else {}
        out.write((",\n" if position else "\n") + json.dumps(image))
    out.write('], "annotations": [')
    for position, row in enumerate(annotations.boxes.rows()):
        out.write((",\n" if position else "\n") + json.dumps(_written(position, row)))
    out.write("]}\n")


def _written(position: int, row: BoxRow) -> dict[str, Any]:
    annotation: dict[str, Any] = {
        "id": position + 1,
        "image_id": row.picture + 1,
        "category_id": row.label + 1,
        "bbox": [row.x, row.y, row.width, row.height],
        "area": row.width * row.height if row.area != row.area else row.area,
        "iscrowd": int(row.crowd),
        "ignore": int(row.ignore),
    }
    # Silence says that nobody knows.
    annotation |= {"occluded": int(row.occluded)} if row.occluded or row.level == 0 else {}
    annotation |= {"truncated": int(row.truncated)} if row.truncated or row.truncation == 0 else {}
    shares = {"occlusion": row.occlusion, "truncation": row.truncation, "distance_m": row.distance}
    annotation |= {name: share for name, share in shares.items() if share == share}
    return annotation | ({} if row.track is None else {"track_id": row.track})
