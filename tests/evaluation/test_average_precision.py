"""The average precision against its definition, written down slowly, and against pycocotools."""

import contextlib
import io
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation.strategies import Case, cases

from vru.domain import Detection, VruClass, iou
from vru.evaluation import EvaluationSettings, evaluate
from vru.evaluation.detection.average_precision import Ranked, average_precision

FAST = EvaluationSettings(resamples=100)


def ap_by_definition(case: Case, road_user: VruClass, threshold: float = 0.5) -> float | None:
    """COCO's text in plain loops: match by falling score, precision at 101 recalls, each the best at or above it."""
    truths = defaultdict(list)
    for track, box in case.truth.boxes():
        if track.road_user == road_user and box.frame_index in case.frames:
            truths[box.frame_index].append(box)
    total = sum(not box.ignore for frame in truths.values() for box in frame)
    if total == 0:
        return None
    judged: list[tuple[float, bool]] = []
    for frame in sorted(case.frames):
        mine = [d for d in case.detections if d.frame_index == frame and d.road_user == road_user]
        free = [box for box in truths[frame] if not box.ignore]
        for detection in sorted(mine, key=lambda d: -d.score):
            judged.extend(_judged(detection, free, [box for box in truths[frame] if box.ignore], threshold))
    judged.sort(key=lambda pair: -pair[0])
    points, hits = [], 0
    for number, (_, hit) in enumerate(judged, start=1):
        hits += hit
        points.append((hits / total, hits / number))
    best = [max((p for r, p in points if r >= at / 100 - 1e-12), default=0.0) for at in range(101)]
    return sum(best) / 101


def _judged(detection: Detection, free: list, ignored: list, threshold: float) -> list[tuple[float, bool]]:
    candidates = [(iou(detection.box, box.box), number) for number, box in enumerate(free)]
    reached = [candidate for candidate in candidates if candidate[0] >= threshold]
    if reached:
        del free[max(reached)[1]]
        return [(detection.score, True)]
    for box in ignored:
        shared = iou(detection.box, box.box)
        overlap = shared * (detection.box.area + box.box.area) / (1 + shared)  # from iou = i / (a + b - i)
        if overlap / detection.box.area >= threshold - 1e-12:
            return []
    return [(detection.score, False)]


def ap_by_pycocotools(case: Case) -> float | None:
    coco_module = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    classes = sorted(VruClass)
    annotations = []
    for track, box in case.truth.boxes():
        if box.frame_index in case.frames:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": box.frame_index + 1,
                    "category_id": classes.index(track.road_user) + 1,
                    "bbox": list(box.box.as_tuple()),
                    "area": box.box.area,
                    "iscrowd": int(box.ignore),
                }
            )
    results = [
        {
            "image_id": d.frame_index + 1,
            "category_id": classes.index(d.road_user) + 1,
            "bbox": list(d.box.as_tuple()),
            "score": d.score,
        }
        for d in case.detections
    ]
    if not annotations:
        return None
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco_module.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": index + 1} for index in case.frames],
            "annotations": annotations,
            "categories": [{"id": number + 1, "name": name} for number, name in enumerate(classes)],
        }
        truth.createIndex()
        found = truth.loadRes(results) if results else coco_module.COCO()
        if not results:
            found.dataset = truth.dataset | {"annotations": []}
            found.createIndex()
        evaluation = cocoeval.COCOeval(truth, found, "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.maxDets = [100_000]
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, 0]
    per_class = [float(column.mean()) for column in precision.T if (column > -1).all()]
    return float(np.mean(per_class)) if per_class else None


def close(ours: float | None, theirs: float | None) -> bool:
    return ours is theirs is None or (ours is not None and theirs is not None and abs(ours - theirs) < 1e-9)


@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_it_equals_pycocotools(case: Case) -> None:
    ours = evaluate(case.truth, case.detections, case.frames, FAST).overall.estimates["ap50"].value
    assert close(ours, ap_by_pycocotools(case))


@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_it_equals_the_definition(case: Case) -> None:
    ours = evaluate(case.truth, case.detections, case.frames, FAST).overall.estimates["ap50"].value
    per_class = [ap_by_definition(case, road_user) for road_user in VruClass]
    determined = [value for value in per_class if value is not None]
    assert close(ours, float(np.mean(determined)) if determined else None)


def test_a_case_by_hand() -> None:
    # Two truth boxes; hit, miss, hit: precision 1 up to recall 0.5 (51 of 101 points), then 2/3 (50 points).
    value = average_precision(np.array([1.0, 0, 1]), np.array([0.0, 1, 0]), 2)
    assert value == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_without_truth_it_is_not_defined_and_without_detections_it_is_zero() -> None:
    nothing = np.zeros(0)
    assert average_precision(nothing, nothing, 0) is None
    assert average_precision(nothing, nothing, 3) == 0.0


@given(hits=st.lists(st.booleans(), min_size=1, max_size=40), more=st.integers(0, 5))
def test_it_stays_within_bounds_and_below_the_recall(hits: list[bool], more: int) -> None:
    found = np.array(hits, dtype=float)
    total = found.sum() + more
    value = average_precision(found, 1 - found, total)
    if total == 0:
        assert value is None
    else:
        assert value is not None
        assert 0 <= value <= (np.floor(100 * found.sum() / total + 1e-9) + 1) / 101 + 1e-12


@given(
    found=st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=40),
    weights=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    missed=st.integers(0, 5),
    block=st.integers(1, 50),
)
def test_block_by_block_it_is_the_same(
    found: list[tuple[bool, int]], weights: list[int], missed: int, block: int
) -> None:
    hit, unit = np.array([one for one, _ in found], dtype=bool), np.array([of for _, of in found], dtype=np.int32)
    drawn = np.array(weights, dtype=np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vru.evaluation.detection.average_precision._BLOCK", block)
        truths = float(drawn[unit][hit].sum() + missed)
        ours = Ranked.of(hit, unit, 6).average_precision(drawn, truths)
    assert ours == average_precision(np.where(hit, drawn[unit], 0), np.where(hit, 0, drawn[unit]), truths)
