"""What the pictures of a report show: which findings, and the boxes of truth and detections around them."""

from pathlib import Path
from typing import Any

import numpy as np

from vru.evaluation.core.tables import Floats, Ints
from vru.evaluation.dataset.findings import Findings
from vru.reports.findings import Finding
from vru.reports.findings import Findings as Listed
from vru.reports.pictures import Pictures, chosen, make_pictures


def pictures_of(found: Findings, listed: Listed, media: Path, most: int, score_threshold: float) -> Pictures:
    """The worst of what is listed as pictures from ``media``: at most so many.

    Raises:
        VruError: they cannot be made.
    """
    data = found.data
    truths, sure = found.counted, np.flatnonzero(data.found.score >= score_threshold)
    requests = [
        (item, _request(found, item, truths, sure)) for item in chosen(listed.misses, listed.false_alarms, most)
    ]
    return make_pictures(media, requests, listed.missed + listed.false)


def _request(found: Findings, item: Finding, truths: Ints, sure: Ints) -> dict[str, Any]:
    data, picture = found.data, found.annotations.pictures[item.picture]
    true = data.truth.boxes[truths[data.truth.picture[truths] == item.picture]]
    detected = data.found.boxes[sure[data.found.picture[sure] == item.picture]]
    known = picture.width is not None and picture.height is not None and not found.annotations.normalised
    return {
        "recording": item.recording,
        "image": picture.name,
        "number": picture.key if isinstance(picture.key, int) else None,
        "frame": item.frame,
        "time_s": item.time_s,
        "size": [picture.width, picture.height] if known else None,
        "box": list(item.box),
        "drawn": [
            *_drawn(true, item, detected=False),
            *_drawn(detected, item, detected=True),
        ],
    }


def _drawn(boxes: Floats, item: Finding, *, detected: bool) -> list[dict[str, Any]]:
    mine = detected == (item.score is not None)
    return [{"box": box, "detected": detected, "chosen": mine and tuple(box) == item.box} for box in boxes.tolist()]
