"""Slices of data sets: what belongs to each, which figures it has, and what is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from vru.cli import main
from vru.domain import VruError
from vru.evaluation.core.tables import DataSet, found_table, truth_table
from vru.evaluation.dataset.conditions import Calibration, Conditions, conditions_of
from vru.evaluation.dataset.evaluate import evaluate_dataset
from vru.evaluation.dataset.protocol import Protocol, load_protocol
from vru.evaluation.dataset.slice_views import kinds_of, slice_views
from vru.evaluation.detection.outcomes import View
from vru.formats import read_truth

POINT = Protocol("point", "Counts", "this test", "detection", ("point",))
CAMERA = Calibration(focal_px=1000, principal_row_px=500, height_m=1.5)
Box = tuple[float, float, float, float]
SMALL, MEDIUM, LARGE = (0.0, 0.0, 20.0, 30.0), (100.0, 0.0, 40.0, 60.0), (300.0, 0.0, 100.0, 200.0)


def dataset(truth: list[tuple[int, Box]], found: list[tuple[int, Box]], pictures: int = 4, **columns: list) -> DataSet:
    return DataSet(
        ("pedestrian",),
        tuple(map(str, range(pictures))),
        np.arange(pictures),
        np.zeros(pictures, dtype=np.int64),
        truth_table([row[0] for row in truth], [0] * len(truth), [row[1] for row in truth], **columns),
        found_table([row[0] for row in found], [0] * len(found), [row[1] for row in found], [0.9] * len(found)),
    )


def measured(data: DataSet, *kinds: str, protocol: Protocol = POINT, conditions: Conditions | None = None) -> dict:
    figures = evaluate_dataset(data, protocol, resamples=100, slices=kinds, conditions=conditions)
    return {
        name: {metric: estimate.value for metric, estimate in part.items()} for name, part in figures.slices.items()
    }


def test_sizes_count_what_is_of_their_size() -> None:
    elsewhere = (600.0, 0.0, 20.0, 30.0)
    data = dataset([(0, SMALL), (0, MEDIUM), (1, LARGE)], [(0, MEDIUM), (1, LARGE), (2, elsewhere)])
    found = measured(data, "size")
    assert [found[f"size:{size}"]["recall"] for size in ("small", "medium", "large")] == [0, 1, 1]
    # The false positive is small, so it is one of the small slice only.
    assert [found[f"size:{size}"]["precision"] for size in ("small", "medium", "large")] == [0, 1, 1]
    assert found["all"]["precision"] == pytest.approx(2 / 3)


def test_occlusion_by_share_by_level_and_by_flag() -> None:
    boxes = [(0, (100.0 * number, 0.0, 40.0, 60.0)) for number in range(8)]
    data = dataset(
        boxes,
        boxes[:1] + boxes[2:3],
        occlusion=[0, 0.2, 0.35, 0.6, math.nan, math.nan, math.nan, math.nan],
        occlusion_level=[-1, -1, -1, -1, 1, 2, 3, -1],
    )
    base = View("all", np.ones(8, dtype=bool), np.ones(2, dtype=bool))
    chosen, notes = slice_views(data, base, ["occlusion"], Conditions())
    members = {cut.view.name: np.flatnonzero(cut.view.truth_counts).tolist() for cut in chosen}
    # Level 3 is KITTI's "unknown": it is in none.
    assert members == {"occlusion:none": [0, 7], "occlusion:partial": [1, 2, 4], "occlusion:heavy": [3, 5]}
    assert notes == ["1 truth boxes do not say how much of them is hidden: they count as not hidden."]
    found = measured(data, "occlusion")
    assert found["occlusion:none"]["recall"] == 0.5 and found["occlusion:heavy"]["recall"] == 0
    # Nobody can say whether a false positive is occluded.
    assert found["occlusion:none"]["precision"] is found["occlusion:none"]["fppi"] is None


def test_truncation_by_share_and_by_mark() -> None:
    boxes = [(0, (100.0 * number, 0.0, 40.0, 60.0)) for number in range(3)]
    data = dataset(boxes, boxes[:1], truncation=[0, 0.3, math.nan], truncated=[False, False, True])
    found = measured(data, "truncation")
    assert found["truncation:none"]["recall"] == 1 and found["truncation:partial"]["recall"] == 0


@given(st.floats(1, 400), st.floats(0, 20), st.floats(0.5, 5), st.floats(200, 3000))
def test_distance_is_the_inverse_of_the_projection(metres: float, pitch: float, height: float, focal: float) -> None:
    camera = Calibration(focal, 500, height, pitch)
    # A point on the ground, projected: down by the height, rotated by the pitch, divided by the depth.
    angle = math.radians(pitch)
    down = height * math.cos(angle) - metres * math.sin(angle)
    depth = height * math.sin(angle) + metres * math.cos(angle)
    row = 500 + focal * down / depth
    found = camera.distance(np.array([[0.0, row - 80, 30, 80]]))[0]
    assert found == pytest.approx(metres, rel=1e-6)


def test_nobody_stands_at_the_horizon() -> None:
    assert np.isnan(CAMERA.distance(np.array([[0.0, 400, 30, 100], [0.0, 300, 30, 100]]))).all()


def test_distance_from_the_calibration_tells_false_positives_apart() -> None:
    # Feet at 150, 50 and 15 rows below the horizon: 10, 30 and 100 m away.
    near, medium, far = ((100.0 * number, 400.0, 40.0, 100.0 + row) for number, row in enumerate((150, 50, 15)))
    wrong = (800.0, 400.0, 40.0, 115.0)
    data = dataset([(0, near), (0, medium), (1, far)], [(0, near), (0, wrong)])
    found = measured(data, "distance", conditions=Conditions(calibration=CAMERA))
    assert [found[f"distance:{name}"]["recall"] for name in ("near", "medium", "far")] == [1, 0, 0]
    assert found["distance:near"]["precision"] == 1 and found["distance:far"]["precision"] == 0
    # What the truth says comes before what the geometry says, and tells nothing about false positives.
    said = measured(dataset([(0, near)], [(0, near)], distance=[70.0]), "distance")
    assert said["distance:far"]["recall"] == 1 and said["distance:far"]["precision"] is None


def test_attributes_take_whole_pictures() -> None:
    data = dataset([(0, MEDIUM), (1, MEDIUM), (2, MEDIUM)], [(0, MEDIUM), (1, LARGE), (3, LARGE), (3, SMALL)])
    light = Conditions({"light": ("day", "night", None, "night")})
    figures = evaluate_dataset(data, POINT, resamples=100, slices=("light",), conditions=light)
    day, night = figures.slices["light:day"], figures.slices["light:night"]
    assert day["recall"].value == day["precision"].value == 1 and day["fppi"].value == 0
    assert night["recall"].value == 0 and night["fppi"].value == 1.5 and night["fppi"].n == 2
    assert "1 images do not say their light: they are in none of its slices." in figures.notes


@pytest.mark.parametrize("name", ["coco", "caltech", "default"])
def test_a_slice_of_everything_is_the_whole(name: str) -> None:
    rng = np.random.default_rng(3)
    boxes = [(int(picture), (40.0 * spot, 0.0, 30.0, 80.0)) for picture in range(30) for spot in range(6)]
    hits = [row for row in boxes if rng.random() < 0.7] + [(5, (900.0, 0.0, 30.0, 80.0))]
    conditions = Conditions({"weather": ("dry",) * 30})
    data = dataset(boxes, hits, pictures=30)
    found = evaluate_dataset(
        data, load_protocol(name), resamples=100, slices=("weather",), conditions=conditions
    ).slices
    part = found["weather:dry"]
    assert set(part) == {"recall", "precision", "f1", "fppi"} | (
        {"lamr"} if name == "caltech" else {"ap", "ap50"} | ({"lamr"} if name == "default" else set())
    )
    for metric, estimate in part.items():
        whole = found["all"][metric]
        assert estimate.value == pytest.approx(whole.value) and estimate.n == whole.n
        assert estimate.bounds(0.95) == pytest.approx(whole.bounds(0.95))


@pytest.mark.parametrize(
    ("kind", "message"),
    [("light", "No image has the attribute 'light'"), ("distance", "the camera is not calibrated")],
)
def test_what_the_data_do_not_say_is_refused(kind: str, message: str) -> None:
    with pytest.raises(VruError, match=message):
        measured(dataset([(0, MEDIUM)], []), kind)


def test_kinds_are_taken_from_criteria() -> None:
    assert kinds_of(["all", "light:night", "class:cyclist", "size:small", "light:day"]) == ("light", "size")


class TestFiles:
    @pytest.fixture
    def files(self, tmp_path: Path) -> tuple[Path, Path]:
        images = [
            {"id": number, "video_id": 1 + number // 15, "frame_index": number % 15, "width": 1000, "height": 800}
            for number in range(30)
        ]
        images[3]["attributes"] = {"light": "dusk", "lux": 3}
        truth = {
            "videos": [{"id": 1, "name": "one", "attributes": {"light": "day"}}, {"id": 2, "name": "two"}],
            "images": images,
            "categories": [{"id": 1, "name": "pedestrian"}],
            "annotations": [
                {"id": number, "image_id": number, "category_id": 1, "bbox": [10, 400, 30, 150], "track_id": number}
                for number in range(30)
            ],
        }
        found = [
            {"image_id": number, "category_id": 1, "bbox": [10, 400, 30, 150], "score": 0.9, "track_id": 7}
            for number in range(20)
        ]
        (tmp_path / "truth.json").write_text(json.dumps(truth))
        (tmp_path / "found.json").write_text(json.dumps(found))
        return tmp_path / "truth.json", tmp_path / "found.json"

    def run(self, *arguments: object) -> Result:
        return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])

    def test_attributes_of_images_videos_and_the_file(self, files: tuple[Path, Path], tmp_path: Path) -> None:
        truth = read_truth(files[0])
        assert [truth.pictures[place].attributes for place in (0, 3, 20)] == [{"light": "day"}, {"light": "dusk"}, {}]
        beside = tmp_path / "attributes.yaml"
        beside.write_text('all: {weather: "rain"}\nsequences: {two: {light: night}}\nimages: {"0": {light: dawn}}\n')
        light = conditions_of(truth, beside).attributes["light"]
        assert [light[place] for place in (0, 1, 3, 20)] == ["dawn", "day", "dusk", "night"]
        assert set(conditions_of(truth, beside).attributes["weather"]) == {"rain"}

    def test_slices_on_the_command_line(self, files: tuple[Path, Path], tmp_path: Path) -> None:
        beside = tmp_path / "attributes.yaml"
        beside.write_text(
            "sequences: {two: {light: night}}\ncalibration: {focal_px: 1000, principal_row_px: 500, height_m: 1.5}\n"
        )
        criteria = tmp_path / "criteria.yaml"
        criteria.write_text('- {metric: recall, comparator: ">=", threshold: 0.9, slice: "light:night"}\n')
        arguments = (*files, "--attributes", beside, "--slices", "size,distance", "--criteria", criteria)
        result = self.run(*arguments, "--resamples", 100)
        assert result.exit_code == 3, result.output
        assert "recall (light:night) is 0.3333 from 1 sequence" in result.output.replace("sequences", "sequence")
        shown = [line for line in result.output.splitlines() if "light:" in line or "distance:" in line]
        places = {
            name: next(i for i, line in enumerate(shown) if name in line) for name in ("light:night", "light:day")
        }
        assert places["light:night"] < places["light:day"] and "Worst slice first" in result.output
        assert "(too few)" in shown[places["light:night"]]
        document = json.loads(self.run(*arguments, "--resamples", 0, "--json", "-").stdout)
        assert next(iter(document["slices"])) == "light:night" and "attributes_sha256" in document["truth"]
        # 1.5 m above the ground, feet 50 rows below the horizon: 30 m.
        assert document["slices"]["distance:medium"]["recall"]["value"] == pytest.approx(2 / 3)

    def test_tracking_takes_whole_sequences(self, files: tuple[Path, Path], tmp_path: Path) -> None:
        arguments = (*files, "--protocol", "mot", "--slices", "light")
        assert "changes within sequence 'one'" in self.run(*arguments).output
        beside = tmp_path / "attributes.yaml"
        beside.write_text('images: {"3": {light: day}}\nsequences: {two: {light: night}}\n')
        document = json.loads(self.run(*arguments, "--attributes", beside, "--json", "-").stdout)
        assert document["slices"]["light:day"]["mota"]["value"] > document["slices"]["light:night"]["mota"]["value"]
        assert document["slices"]["light:day"]["mota"]["n"] == 1
        assert "no slices of size" in self.run(*files, "--protocol", "mot", "--slices", "size").output

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("light: night", "there is no key 'light'"),
            ("sequences: {three: {light: night}}", "the truth has no sequence 'three'"),
            ("images: {'99': {light: night}}", "the truth has no image '99'"),
            ("all: {light: 3}", "no name with a text"),
            ("all: {size: big}", "cannot be called 'size'"),
            ("calibration: {focal_px: 1000}", "has no principal_row_px"),
            ("calibration: {focal_px: 0, principal_row_px: 1, height_m: 1}", "above 0"),
            ("[", "neither YAML nor JSON"),
        ],
    )
    def test_a_wrong_file_is_named(self, files: tuple[Path, Path], tmp_path: Path, text: str, message: str) -> None:
        beside = tmp_path / "attributes.yaml"
        beside.write_text(text)
        result = self.run(*files, "--attributes", beside)
        assert result.exit_code == 2 and message in result.output
