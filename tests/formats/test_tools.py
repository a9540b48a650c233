"""The table of tools in docs/formats.md, row by row: a file as the tool documents it, and what is read of it."""

import copy
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from vru.cli import main
from vru.formats import FormatError, read_predictions, read_truth
from vru.formats.names import FORMATS
from vru.formats.rules import Rules

HERE = Path(__file__).parent / "examples"
DOCS = Path(__file__).parents[2] / "docs" / "formats.md"
ROW = re.compile(
    r"^\| (?P<tool>[^|]+) \| (?P<writes>[^|]+) \| (?P<read>[^|]+) \| (?P<lost>[^|]+) \| `(?P<file>[^`]+)` \|$"
)
ROWS = [match.groupdict() for match in map(ROW.match, DOCS.read_text().splitlines()) if match]
JUNK = (None, 5, -1, True, "x", [], {}, [[1]], 1e400, int("9" * 3000))


def test_the_table_and_the_examples_are_the_same() -> None:
    assert {row["file"].partition("/")[0] for row in ROWS} == {folder.name for folder in HERE.iterdir()}
    assert len(ROWS) >= 15


@pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])
def test_each_row_is_read_or_refused_as_it_says(row: dict[str, str]) -> None:
    path = HERE / row["file"]
    if row["read"].strip().startswith("refused"):
        with pytest.raises(FormatError) as caught:
            read_truth(path)
        assert caught.value.fix
        return
    truth = read_truth(path)
    read = re.findall(r"`([^`]+)`", row["read"])
    assert truth.format == read[0] and truth.format in FORMATS
    first = truth.boxes.row(0)
    scale = (200, 100, 200, 100) if truth.normalised else (1, 1, 1, 1)
    sides = [side * by for side, by in zip((first.x, first.y, first.width, first.height), scale, strict=True)]
    assert sides == pytest.approx((10, 20, 30, 60)), row["file"]
    assert truth.labels[first.label].lower() in ("person", "pedestrian", "human.pedestrian.adult")


class TestWhatIsReadOfEach:
    def test_eurocity_s_stages_riders_and_depictions(self) -> None:
        truth = read_truth(HERE / "eurocity")
        rows = list(truth.boxes.rows())
        assert [truth.labels[row.label] for row in rows] == ["pedestrian", "rider", "bicycle", "pedestrian"]
        assert [(row.occlusion, row.truncation, row.ignore) for row in rows] == [
            (0.25, 0, False), (0, 0.6, False), (0, 0, False), (0.9, 0, True),
        ]  # fmt: skip
        assert truth.pictures[0].name == "amsterdam/amsterdam_00001.png"

    def test_the_protocol_eurocity_reads_its_own_data_set(self, tmp_path: Path) -> None:
        found = [{"image_id": "amsterdam_00001", "category_id": "pedestrian", "bbox": [10, 20, 30, 60], "score": 0.9}]
        (tmp_path / "found.json").write_text(json.dumps(found))
        words = ["evaluate", str(HERE / "eurocity"), str(tmp_path / "found.json")]
        answer = CliRunner().invoke(main, [*words, "--json", "-"])
        assert answer.exit_code == 0, answer.output
        done = json.loads(answer.stdout)
        assert done["protocol"]["name"] == done["truth"]["format"] == "eurocity"
        assert done["metrics"]["lamr"]["value"] < 0.01

    def test_citypersons_visible_part_and_regions(self) -> None:
        rows = list(read_truth(HERE / "citypersons").boxes.rows())
        assert [row.occlusion for row in rows] == pytest.approx([0.5, 2 / 3, 0])
        assert [row.crowd for row in rows] == [False, False, True]

    def test_bdd100k_tracks_are_of_one_video(self) -> None:
        truth = read_truth(HERE / "bdd100k-track")
        assert truth.sequences == ["b1c66a42"] and truth.declared
        assert [row.track for row in truth.boxes.rows()] == [1, 1]
        attributes = read_truth(HERE / "bdd100k-det").pictures[1].attributes
        assert attributes["timeofday"] == "night"

    def test_bdd100k_ignored_does_not_count(self, tmp_path: Path) -> None:
        document = json.loads((HERE / "bdd100k-det/det_val.json").read_text())
        (labelled,) = [label for frame in document for label in frame["labels"] or () if label.get("box2d")]
        labelled["attributes"] = {"ignored": True}
        (tmp_path / "det.json").write_text(json.dumps(document))
        assert [row.ignore for row in read_truth(tmp_path / "det.json").boxes.rows()] == [True]

    def test_voc_s_difficult_does_not_count(self) -> None:
        assert [row.ignore for row in read_truth(HERE / "voc").boxes.rows()] == [False, True]

    def test_other_shapes_are_counted_and_said(self) -> None:
        truth = read_truth(HERE / "cvat-images/annotations.xml")
        rotated = truth.boxes.row(1)
        assert (rotated.x, rotated.y, rotated.width, rotated.height) == pytest.approx((90, 30, 40, 20))
        assert len(truth.boxes) == 3 and len(truth.notes) == 3 and "points" in truth.notes[-1]

    def test_open_images_names_and_groups(self) -> None:
        truth = read_truth(HERE / "openimages/validation-annotations-bbox.csv", size=(200, 100))
        assert truth.labels == ["Person"] and [row.crowd for row in truth.boxes.rows()] == [False, True]
        assert truth.boxes.row(0).width == pytest.approx(30)

    def test_nuimages_key_frames_and_drives(self) -> None:
        truth = read_truth(HERE / "nuimages")
        assert [(picture.name, picture.source) for picture in truth.pictures] == [
            ("samples/CAM_FRONT/a.jpg", "n013-2018-08-01-16-58-41+0800")
        ]

    def test_nuimages_amodal_boxes_may_reach_out(self, tmp_path: Path) -> None:
        shutil.copytree(HERE / "nuimages", tmp_path / "v1.0-val")
        table = tmp_path / "v1.0-val/object_ann.json"
        rows = json.loads(table.read_text())
        rows[0]["bbox"] = [-5, 20, 40, 120]
        table.write_text(json.dumps(rows))
        first = read_truth(tmp_path / "v1.0-val").boxes.row(0)
        assert (first.x, first.y, first.width, first.height) == (-5, 20, 45, 100)

    def test_openlabel_tracks(self) -> None:
        truth = read_truth(HERE / "openlabel")
        assert truth.sequences == ["street"] and [row.x for row in truth.boxes.rows()] == [10, 11]
        assert [row.track for row in truth.boxes.rows()] == [1, 1] and truth.pictures[0].width == 200

    def test_datumaro_s_video_frames_and_turned_boxes(self) -> None:
        truth = read_truth(HERE / "datumaro-video")
        assert truth.sequences == ["street.mp4"] and [picture.frame_index for picture in truth.pictures] == [0, 1]
        turned = truth.boxes.row(1)
        assert (turned.x, turned.y, turned.width, turned.height) == pytest.approx((45, 35, 60, 30))
        assert any("rotated" in note for note in truth.notes)

    @pytest.mark.parametrize("name", ["yolo-cvat", "yolo-cvat-ultralytics"])
    def test_cvat_lists_images_that_need_not_be_there(self, name: str) -> None:
        truth = read_truth(HERE / name)
        assert [picture.key for picture in truth.pictures] == ["frame_000000", "frame_000001"]
        assert len(truth.boxes) == 1 and truth.labels == ["car", "person"]
        assert any("was read: 2 images" in note for note in truth.notes)

    @pytest.mark.parametrize(
        ("rotation", "sides", "said"),
        [
            (90.0, (-5, 35, 60, 30), True),
            (450, (-5, 35, 60, 30), True),
            (-30.0, (-2.990381, 16.519238, 55.980762, 66.961524), True),
            (360.0, (10, 20, 30, 60), False),
            ("left", (10, 20, 30, 60), False),
        ],
    )
    def test_cvat_s_coco_turns_boxes_around_their_centre(
        self, rotation: Any, sides: tuple, said: bool, tmp_path: Path
    ) -> None:
        document = json.loads((HERE / "coco-cvat/instances_default.json").read_text())
        document["annotations"][0]["attributes"]["rotation"] = rotation
        (tmp_path / "truth.json").write_text(json.dumps(document))
        truth = read_truth(tmp_path / "truth.json", rules=Rules(out_of_picture="keep"))
        first = truth.boxes.row(0)
        assert (first.x, first.y, first.width, first.height) == pytest.approx(sides)
        assert any("rotated" in note for note in truth.notes) == said and first.track == 0

    def test_ultralytics_names_images_by_their_stems(self, tmp_path: Path) -> None:
        truth = read_truth(HERE / "coco-torchvision/instances.json")
        row = {"image_id": "a", "file_name": "a.jpg", "category_id": 1, "bbox": [10, 20, 30, 60], "score": 0.9}
        (tmp_path / "predictions.json").write_text(json.dumps([row]))
        assert list(read_predictions(tmp_path / "predictions.json", truth).picture) == [0]

    def test_a_detector_s_det_txt_has_no_tracks(self, tmp_path: Path) -> None:
        text = "0,-1,10,20,30,60,0.9,-1,-1,-1\n1, -1, 12, 20, 30, 60, 0.8, -1, -1, -1\n"
        (tmp_path / "det.txt").write_text(text)
        found = read_predictions(tmp_path / "det.txt", read_truth(HERE / "mot-zero/gt.txt"))
        assert [(row.track, row.score) for row in found.rows()] == [(None, 0.9), (None, 0.8)]

    def test_two_pictures_of_one_name_are_refused(self, tmp_path: Path) -> None:
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "1.json").write_bytes((HERE / "labelme/street_1.json").read_bytes())
        with pytest.raises(FormatError, match="two pictures 1"):
            read_truth(tmp_path)


def places(value: Any, at: tuple = ()) -> Iterator[tuple]:
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*at, key))


JSON = sorted(path for path in HERE.rglob("*.json") if not path.parent.name.startswith(("coco", "nuimages")))


@pytest.mark.parametrize("path", JSON, ids=[str(path.relative_to(HERE)) for path in JSON])
def test_whatever_stands_in_a_place_is_read_or_refused_in_one_sentence(path: Path, tmp_path: Path) -> None:
    document = json.loads(path.read_text())
    target = tmp_path / path.name
    kind = read_truth(path).format
    refused = 0
    for at in places(document):
        for junk in JUNK:
            changed = copy.deepcopy(document)
            owner = changed
            for key in at[:-1]:
                owner = owner[key]
            owner[at[-1]] = junk
            target.write_text(json.dumps(changed).replace("Infinity", "1e400"))
            try:
                read_truth(target, format_=kind)
            except FormatError as error:
                refused += 1
                assert len(error.message) < 600 and "\n" not in error.message
    assert refused


@pytest.mark.parametrize("name", ["voc/Annotations/000001.xml", "cvat-images/annotations.xml"])
@pytest.mark.parametrize(
    "bomb",
    ['<!DOCTYPE a [<!ENTITY b "c">]>', "<a>" * 100_000, "<annotation><object>"],
    ids=["entities", "depth", "cut off"],
)
def test_hostile_xml_is_refused(name: str, bomb: str, tmp_path: Path) -> None:
    kind = read_truth(HERE / name).format
    (tmp_path / "x.xml").write_text(bomb + (HERE / name).read_text().partition("?>")[2])
    with pytest.raises(FormatError):
        read_truth(tmp_path / "x.xml", format_=kind)
