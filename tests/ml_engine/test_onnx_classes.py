"""Class maps of public data sets, and riders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.ml_engine.onnx_models import BOXES, SIDE, card, constant_model

from vru.domain import VruClass
from vru.ml_engine.onnx.class_maps import class_map, data_sets, map_of_names
from vru.ml_engine.onnx.detector import OnnxDetector

NO_FILE = {"file": "model.onnx", "sha256": "0" * 64}
RULE = {"person": 0, "vehicle": 1, "becomes": "cyclist"}


def test_data_sets_have_the_sizes_and_places_that_are_known_of_them() -> None:
    sizes = {key: len(known.names) for key, known in data_sets().items()}
    assert sizes == {"coco": 80, "coco91": 91, "bdd100k": 10, "kitti": 8, "cityscapes": 8}
    assert class_map("coco") == {0: VruClass.PEDESTRIAN}
    assert class_map("coco91") == {1: VruClass.PEDESTRIAN}
    assert class_map("kitti") == {
        3: VruClass.PEDESTRIAN,
        4: VruClass.PEDESTRIAN,
        5: VruClass.CYCLIST,
    }
    # Places in the lists that many models share.
    coco, coco91 = data_sets()["coco"].names, data_sets()["coco91"].names
    assert (coco[1], coco[3], coco[16], coco[79]) == ("bicycle", "motorcycle", "dog", "toothbrush")
    assert (coco91[2], coco91[4], coco91[18], coco91[90]) == ("bicycle", "motorcycle", "dog", "toothbrush")


def test_card_may_name_a_data_set() -> None:
    assert card(NO_FILE, BOXES, class_map="cityscapes").class_map == {0: VruClass.PEDESTRIAN, 1: VruClass.CYCLIST}
    with pytest.raises(ValidationError, match="no data set 'imagenet'; there is coco"):
        card(NO_FILE, BOXES, class_map="imagenet")


def test_names_of_classes_tell_the_map() -> None:
    coco = dict(enumerate(data_sets()["coco"].names))
    assert map_of_names(coco) == ({0: VruClass.PEDESTRIAN}, "coco")
    own = {0: "car", 1: "Pedestrian", 2: "wheelchair", 3: "scooter-rider"}
    expected = {1: VruClass.PEDESTRIAN, 2: VruClass.WHEELCHAIR_USER, 3: VruClass.SCOOTER_RIDER}
    assert map_of_names(own) == (expected, None)
    assert map_of_names({0: "car"}) == ({}, None)


def _scene(folder: Path, boxes: list[list[float]], labels: list[int], **changes: Any) -> list[tuple[str, list[float]]]:
    scores = [0.9 - 0.01 * index for index in range(len(boxes))]
    outputs = {
        "boxes": np.array(boxes, np.float32),
        "scores": np.array(scores, np.float32),
        "labels": np.array(labels, np.int64),
    }
    parameters = card(constant_model(folder, outputs), BOXES, **({"class_map": {0: "pedestrian"}} | changes))
    found = OnnxDetector(parameters, folder / parameters.file).detect(np.zeros((SIDE, SIDE, 3), np.uint8))
    return [(one.road_user.value, list(one.box.as_tuple())) for one in found]


RIDER, BICYCLE = [10, 4, 16, 20], [8, 14, 20, 26]


def test_person_on_a_bicycle_becomes_a_cyclist_only_where_the_card_says_so(tmp_path: Path) -> None:
    assert _scene(tmp_path, [RIDER, BICYCLE], [0, 1]) == [("pedestrian", [10, 4, 6, 16])]
    assert _scene(tmp_path, [RIDER, BICYCLE], [0, 1], riders=[RULE]) == [("cyclist", [8, 4, 12, 22])]
    person_only = _scene(tmp_path, [RIDER, BICYCLE], [0, 1], riders=[RULE | {"box": "person"}])
    assert person_only == [("cyclist", [10, 4, 6, 16])]


@pytest.mark.parametrize(
    "person",
    [
        [22, 4, 28, 26],  # beside it
        [10, 18, 16, 26],  # lower than it, behind or in front
        [10, 2, 16, 10],  # behind it, higher in the picture
        [10, 4, 16, 31],  # in front of it: feet far below
        [17, 4, 27, 20],  # overlaps less than half of its width
    ],
)
def test_person_beside_a_bicycle_stays_a_pedestrian(tmp_path: Path, person: list[float]) -> None:
    assert [name for name, _ in _scene(tmp_path, [person, BICYCLE], [0, 1], riders=[RULE])] == ["pedestrian"]


def test_a_bicycle_carries_one_and_a_motorcycle_makes_a_motorcyclist(tmp_path: Path) -> None:
    rules = [RULE, {"person": 0, "vehicle": 2, "becomes": "motorcyclist"}]
    behind = [11, 4, 17, 20]
    found = _scene(tmp_path, [RIDER, behind, BICYCLE], [0, 0, 1], riders=rules)
    assert [name for name, _ in found] == ["cyclist", "pedestrian"]
    found = _scene(tmp_path, [RIDER, BICYCLE], [0, 2], riders=rules)
    assert [name for name, _ in found] == ["motorcyclist"]


def test_unsure_bicycle_carries_nobody_and_alone_it_is_nobody(tmp_path: Path) -> None:
    rule = RULE | {"vehicle_score": 0.95}
    assert [name for name, _ in _scene(tmp_path, [RIDER, BICYCLE], [0, 1], riders=[rule])] == ["pedestrian"]
    assert _scene(tmp_path, [BICYCLE], [1], riders=[RULE]) == []


def test_rule_for_a_person_that_the_map_lacks_is_refused() -> None:
    with pytest.raises(ValidationError, match="person 7 is not in class_map"):
        card(NO_FILE, BOXES, riders=[RULE | {"person": 7}])
