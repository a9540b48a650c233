from pathlib import Path

import av
import numpy as np
import pytest

from vru.domain import Box, iou
from vru.ml_engine.hog import Calibration, HogDetector, HogParameters, Shrink, merge, overlaps, shrink_boxes
from vru.ml_engine.repository import ModelRepository
from vru.scenes import Scene, scene


@pytest.fixture(scope="module")
def parameters(models_dir: Path) -> HogParameters:
    return HogParameters.model_validate(ModelRepository(models_dir).get("opencv-hog").card.parameters)


@pytest.fixture(scope="module")
def detector(parameters: HogParameters) -> HogDetector:
    return HogDetector(parameters)


def _recall_and_precision(detector: HogDetector, chosen: Scene, step: int) -> tuple[float, float]:
    """At score 0.5 and IoU 0.5; each box of the truth is found by at most one detection."""
    hits = misses = alarms = 0
    for index in range(0, chosen.frame_count, step):
        frame = chosen.frame(index)
        truths = [truth.box for truth in frame.truths.values() if not truth.ignore]
        for found in detector.detect(frame.image):
            if found.score < 0.5:
                continue
            best = max(truths, key=lambda box: iou(box, found.box), default=None)
            if best is not None and iou(best, found.box) >= 0.5:
                truths.remove(best)
                hits += 1
            else:
                alarms += 1
        misses += len(truths)
    return hits / (hits + misses), hits / (hits + alarms)


def test_finds_most_people_of_the_scene_by_day(detector: HogDetector) -> None:
    recall, precision = _recall_and_precision(detector, scene("crossing"), step=5)
    assert recall > 0.65
    assert precision > 0.8


def test_finds_nobody_where_nobody_is(detector: HogDetector) -> None:
    frame = scene("empty").frame(0)
    assert [found for found in detector.detect(frame.image) if found.score >= 0.5] == []


def test_boxes_lie_inside_and_the_surest_is_first(detector: HogDetector) -> None:
    found = detector.detect(scene("crossing").frame(60).image)
    assert len(found) > 3
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        assert 0 < one.score < 1
        assert 0 <= one.box.x < one.box.x + one.box.width <= 640
        assert 0 <= one.box.y < one.box.y + one.box.height <= 360


def test_equal_images_give_equal_answers(detector: HogDetector, parameters: HogParameters) -> None:
    image = scene("crossing").frame(45).image
    assert detector.detect(image) == detector.detect(image.copy()) == HogDetector(parameters).detect(image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (127, 63), (5, 640), (2160, 40)])
def test_pictures_of_odd_shapes_are_no_problem(detector: HogDetector, shape: tuple[int, int]) -> None:
    assert isinstance(detector.detect(np.full((*shape, 3), 128, np.uint8)), list)


def test_finds_a_person_in_the_real_video(detector: HogDetector, real_data: Path) -> None:
    with av.open(str(real_data / "video.mp4")) as container:
        frame = next(frame for index, frame in enumerate(container.decode(video=0)) if index == 320)
    truth = _real_box(real_data, 320)
    found = detector.detect(frame.to_ndarray(format="bgr24"))
    assert found[0].score >= 0.5
    assert iou(found[0].box, truth) >= 0.5


def _real_box(real_data: Path, index: int) -> Box:
    for line in (real_data / "gt.mot.txt").read_text().splitlines():
        values = line.split(",")
        if int(values[0]) == index + 1:
            return Box(*map(float, values[2:6]))
    raise LookupError(index)


def test_shrinking_takes_the_margin_away_and_cuts_to_the_frame() -> None:
    windows = np.array([[0.0, 0.0, 100.0, 200.0], [-50.0, 100.0, 50.0, 300.0]])
    boxes = shrink_boxes(windows, Shrink(left=0.1, top=0.2, right=0.3, bottom=0.05), width=90, height=250)
    assert boxes.tolist() == [[10, 40, 70, 190], [0, 140, 20, 250]]


def test_overlaps_equals_iou_of_the_domain() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (50, 2))
    boxes = np.hstack((corners, corners + rng.uniform(1, 60, (50, 2))))

    def domain(box: np.ndarray) -> Box:
        return Box(box[0], box[1], box[2] - box[0], box[3] - box[1])

    expected = [iou(domain(boxes[0]), domain(box)) for box in boxes]
    assert overlaps(boxes[0], boxes).tolist() == pytest.approx(expected, abs=1e-12)


def test_merging_makes_one_box_a_person(parameters: HogParameters) -> None:
    boxes = np.array([[0.0, 0, 50, 100], [200, 0, 250, 100], [2, 0, 52, 100], [4, 2, 54, 102]])
    merged, best = merge(boxes, np.array([2.0, 1.5, 1.0, 0.5]), parameters)
    assert best.tolist() == [2.0, 1.5]
    assert merged[1].tolist() == pytest.approx([200, 0, 250, 100])
    assert 0 < merged[0][0] < 2
    empty, none = merge(np.empty((0, 4)), np.empty(0), parameters)
    assert (empty.shape, none.shape) == ((0, 4), (0,))


def test_score_follows_the_documented_logistic(parameters: HogParameters) -> None:
    image = scene("crossing").frame(45).image
    plain = parameters.model_copy(update={"calibration": Calibration(slope=1, intercept=0)})
    calibration = parameters.calibration
    for raw, mapped in zip(HogDetector(plain).detect(image), HogDetector(parameters).detect(image), strict=True):
        margin = np.log(raw.score / (1 - raw.score))
        assert mapped.score == pytest.approx(1 / (1 + np.exp(-(calibration.slope * margin + calibration.intercept))))
