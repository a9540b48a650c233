"""Reference implementations, fed with our tables."""

import contextlib
import io
from typing import Any

import numpy as np

from vru.evaluation.core.tables import DataSet


def pycocotools_eval(data: DataSet) -> Any:
    """A ``COCOeval`` that has the data set, ready to run."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = data.truth, data.found
    document = {
        "info": {},
        "images": [{"id": number + 1} for number in range(data.pictures)],
        "categories": [{"id": number + 1, "name": name} for number, name in enumerate(data.labels)],
        "annotations": [
            {"id": number + 1, "image_id": picture + 1, "category_id": label + 1, "bbox": box, "area": area,
             "iscrowd": int(crowd)}
            for number, (picture, label, box, area, crowd) in enumerate(
                zip(truth.picture.tolist(), truth.label.tolist(), truth.boxes.tolist(), truth.area.tolist(),
                    truth.crowd.tolist(), strict=True)
            )
        ],
    }  # fmt: skip
    results = np.column_stack([found.picture + 1, found.boxes, found.score, found.label + 1])
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = document
        reference.createIndex()
        return COCOeval(reference, reference.loadRes(results), "bbox")


def run(evaluation: Any) -> list[float]:
    """COCO's twelve numbers; -1 where undefined."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]
