"""``python -m vru.media``: a request as JSON on standard input, one JSON object a picture on standard output.

Request: ``media`` (a path), ``frame_width`` and ``crop_size`` in pixels, and ``wanted``: objects with ``id``,
``recording``, ``image``, ``number`` (as files are numbered), ``frame`` (from 0), ``time_s``, ``size``, ``box`` and
``drawn`` (objects with ``box``, ``detected``, ``chosen``). Answer: ``id`` with ``frame`` and ``crop``, JPEG as base64,
or with ``missing``, which says why there is none.
"""

import base64
import json
import resource
import sys
from pathlib import Path
from typing import Any

import cv2

from vru.media.drawing import drawn_pictures
from vru.media.finding import Image, pictures

_MEMORY, _SECONDS = 4 << 30, 1800


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main() -> None:
    """Answer the request."""
    _limit(resource.RLIMIT_AS, _MEMORY)
    _limit(resource.RLIMIT_CPU, _SECONDS)
    _limit(resource.RLIMIT_CORE, 0)
    cv2.setNumThreads(1)
    request = json.load(sys.stdin)
    wanted = {item["id"]: item for item in request["wanted"]}
    for identity, found in pictures(Path(request["media"]), list(wanted.values())):
        print(json.dumps({"id": identity} | _answer(found, wanted[identity], request)), flush=True)


def _answer(found: Image | str, wanted: dict[str, Any], request: dict[str, Any]) -> dict[str, str]:
    if isinstance(found, str):
        return {"missing": found}
    size = wanted["size"]
    height, width = found.shape[:2]
    if size is not None and (width, height) != (round(size[0]), round(size[1])):
        return {"missing": f"it has {width} x {height} pixels, and the truth is about {size[0]:g} x {size[1]:g}"}
    made = drawn_pictures(found, wanted["box"], wanted["drawn"], request["frame_width"], request["crop_size"])
    return {name: base64.b64encode(data).decode() for name, data in zip(("frame", "crop"), made, strict=True)}


if __name__ == "__main__":
    main()
