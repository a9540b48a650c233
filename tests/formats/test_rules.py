"""Boxes and classes that are not as they should be: refused, or what was asked for, and then counted and said."""

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from vru.cli import main
from vru.formats import FormatError, Rules, read_predictions, read_truth

TRUTH = {
    "images": [{"id": n, "width": 100, "height": 50, "file_name": f"{n}.jpg"} for n in (1, 2)],
    "categories": [{"id": 1, "name": "person"}],
    "annotations": [
        {"id": 5, "image_id": 1, "category_id": 1, "bbox": [10, 10, 10, 20], "area": 150},
        {"id": 6, "image_id": 1, "category_id": 1, "bbox": [90, 10, 20, 20], "area": 400},
        {"id": 7, "image_id": 2, "category_id": 1, "bbox": [30, 10, 0, 20]},
        {"id": 8, "image_id": 2, "category_id": 1, "bbox": [120, 10, 10, 20]},
        {"id": 9, "image_id": 2, "category_id": 1, "bbox": [50, 10, 10, 20]},
    ],
}
FOUND = [
    {"image_id": 1, "category_id": 1, "bbox": [10, 10, 10, 20], "score": 0.9},
    {"image_id": 1, "category_id": 1, "bbox": [90, 10, 20, 20], "score": 0.8},
    {"image_id": 2, "category_id": 44, "bbox": [50, 10, 10, 20], "score": 0.7},
    {"image_id": 2, "category_id": 1, "bbox": [50, 10, -3, 20], "score": 0.7},
    {"image_id": 2, "category_id": 1, "bbox": [50, 10, 10, 20], "score": 0.6},
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    truth, found = tmp_path / "truth.json", tmp_path / "found.json"
    truth.write_text(json.dumps(TRUTH))
    found.write_text(json.dumps(FOUND))
    return truth, found


def test_each_is_refused_first_with_how_many_there_are_and_what_can_be_said(files) -> None:
    truth, found = files
    with pytest.raises(FormatError, match=r"Annotation 7: the box is 0 wide.*--bad-boxes skip"):
        read_truth(truth)
    with pytest.raises(FormatError, match=r"Annotation 6 reaches outside.*with 2 boxes of 4.*--out-of-picture clip"):
        read_truth(truth, rules=Rules(bad_boxes="skip"))
    with pytest.raises(FormatError, match=r"results\[2\]: unknown class 44.*--ignore-other-classes"):
        read_predictions(found, read_truth(truth, rules=Rules("keep", "skip")))


def test_clip_cuts_at_the_edge_and_leaves_out_what_is_apart(files) -> None:
    rules = Rules("clip", "skip", ignore_other_classes=True)
    truth = read_truth(files[0], rules=rules)
    rows = list(truth.boxes.rows())
    assert [(row.x, row.width) for row in rows] == [(10, 10), (90, 10), (50, 10)]
    assert [row.area for row in rows[:2]] == [150, 200] and math.isnan(rows[2].area)
    assert [truth.boxes.where(number) for number in range(3)] == ["Annotation 5", "Annotation 6", "Annotation 9"]
    assert truth.notes[-3:] == [
        "1 of 5 truth boxes without an area left out: Annotation 7.",
        "1 of 4 truth boxes wholly outside of their picture left out: Annotation 8.",
        "1 of 3 truth boxes reaching out of their picture cut at its edge: Annotation 6.",
    ]
    found = read_predictions(files[1], truth, rules=rules)
    assert [(row.picture, row.width) for row in found.rows()] == [(0, 10), (0, 10), (1, 10)]
    assert [found.where(number) for number in range(3)] == ["results[0]", "results[1]", "results[4]"]
    assert found.notes[0] == "1 of 5 detections are of classes that are not evaluated, and left out."
    assert "1 of 4 detections without an area left out: results[3]." in found.notes


def test_keep_leaves_them(files) -> None:
    truth = read_truth(files[0], rules=Rules("keep", "skip"))
    assert [row.width for row in truth.boxes.rows()] == [10, 20, 10, 10]


def test_yolo_places_are_right_after_some_were_left_out(tmp_path: Path) -> None:
    for name, text in (("a", "0 0.5 0.5 0 0.1\n0 0.5 0.5 0.1 0.1"), ("b", "0 0.5 0.5 0.1 0.1")):
        (tmp_path / f"{name}.txt").write_text(text)
    truth = read_truth(tmp_path, rules=Rules(bad_boxes="skip"))
    assert [Path(truth.boxes.where(n)).name for n in range(2)] == ["a.txt, line 2", "b.txt, line 1"]


def test_a_map_joins_classes_of_truth_and_detections(tmp_path: Path) -> None:
    document = {
        "images": TRUTH["images"],
        "categories": [{"id": 1, "name": "Person"}, {"id": 2, "name": "rider"}, {"id": 3, "name": "pedestrian"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": n, "bbox": [10 * n, 10, 5, 5]} for n in (1, 2, 3)
        ],
    }  # fmt: skip
    (tmp_path / "truth.json").write_text(json.dumps(document))
    rules = Rules(class_map={"person": "pedestrian", "human": "pedestrian"})
    truth = read_truth(tmp_path / "truth.json", rules=rules)
    assert truth.labels == ["pedestrian", "rider"]
    assert list(truth.boxes.label) == [0, 1, 0]
    names = (1, 2, 3, "PERSON", "human", "Pedestrian", "rider")
    assert [truth.label_of(name, "") for name in names] == [0, 1, 0, 0, 0, 0, 1]
    assert "person is pedestrian, human is pedestrian" in truth.notes[-1]


def run(*words: object) -> dict:
    answer = CliRunner().invoke(main, [*map(str, words), "--json", "-"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


OPTIONS = ("--out-of-picture", "clip", "--bad-boxes", "skip", "--ignore-other-classes", "--map", "person=pedestrian")


def test_what_was_asked_for_stands_in_the_report(files) -> None:
    done = run("evaluate", *files, *OPTIONS, "--protocol", "coco")
    assert done["metrics"]["ap50"]["value"] == pytest.approx(1)
    assert done["truth"]["classes"] == ["pedestrian"] and done["truth"]["boxes"] == 3
    assert done["settings"] | {
        "out_of_picture": "clip", "bad_boxes": "skip", "ignore_other_classes": True,
        "class_map": {"person": "pedestrian"},
    } == done["settings"]  # fmt: skip
    assert any("cut at its edge: Annotation 6" in note for note in done["notes"])


def test_compare_and_explain_read_alike(files) -> None:
    truth, found = files
    compared = CliRunner().invoke(main, list(map(str, ["compare", truth, found, found, *OPTIONS, "--json", "-"])))
    assert json.loads(compared.stdout)["settings"]["out_of_picture"] == "clip", compared.output
    explained = run("explain", truth, found, *OPTIONS)
    assert explained["ours"] == pytest.approx(1) and explained["settings"]["class_map"] == {"person": "pedestrian"}


def test_classes_are_evaluated_alone(tmp_path: Path) -> None:
    document = TRUTH | {
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 10, 20]},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [40, 10, 10, 20]},
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(document))
    (tmp_path / "found.json").write_text(json.dumps([FOUND[0], FOUND[2]]))
    both = (tmp_path / "truth.json", tmp_path / "found.json")
    done = run("evaluate", *both, "--classes", "person", "--protocol", "coco")
    assert done["metrics"]["ap50"]["value"] == pytest.approx(1) and done["settings"]["classes"] == ["person"]
    assert run("explain", *both, "--classes", "person")["ours"] == pytest.approx(1)
    assert run("explain", *both, "--ignore-other-classes")["ours"] == pytest.approx(0.5)
    answer = CliRunner().invoke(main, ["evaluate", *map(str, both), "--classes", "dog"])
    assert answer.exit_code == 2 and "--classes: the truth has no 'dog'" in answer.output


def test_a_map_is_two_names(files) -> None:
    answer = CliRunner().invoke(main, ["evaluate", *map(str, files), "--map", "person"])
    assert answer.exit_code == 2 and "is not like person=pedestrian" in answer.output
