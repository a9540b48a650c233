"""YOLO data sets as people have them on disk, and predictions as Ultralytics writes them."""

from pathlib import Path

import pytest

from vru.formats import FormatError, read_predictions, read_truth

HERE = Path(__file__).parent / "examples"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", ["", "data.yaml", "images/../labels/val"])
def test_an_image_without_labels_shows_nobody(path: str) -> None:
    truth = read_truth(HERE / "yolo-dataset" / path)
    assert [picture.key for picture in truth.pictures] == ["a", "background"] and len(truth.boxes) == 1
    assert truth.labels == ["person", "bicycle"]


def test_the_split_is_said() -> None:
    assert "The split val of data.yaml was read: 2 images." in read_truth(HERE / "yolo-dataset").notes
    roboflow = read_truth(HERE / "yolo-roboflow")
    assert len(roboflow.pictures) == 1 and roboflow.labels == ["person"]
    assert read_truth(HERE / "yolo-dataset/labels/train").labels[1] == "bicycle"


def test_a_list_of_images_is_read(tmp_path: Path) -> None:
    put(tmp_path / "data.yaml", "val: val.txt\nnames: [person]\n")
    put(tmp_path / "val.txt", "./images/a.jpg\n./images/b.jpg\n")
    put(tmp_path / "labels/a.txt", "0 0.5 0.5 0.1 0.1\n")
    assert [picture.key for picture in read_truth(tmp_path).pictures] == ["a", "b"]


def test_polygons_and_turned_boxes_are_the_box_around_them() -> None:
    truth = read_truth(HERE / "yolo-segment", size=(200, 100))
    assert "1 of 2 lines are polygons or turned boxes" in truth.notes[-1]
    assert [round(row.width) for row in truth.boxes.rows()] == [30, 20]
    turned = read_truth(HERE / "yolo-obb/labels", size=(200, 100)).boxes.row(0)
    assert (turned.x, turned.y, turned.width, turned.height) == pytest.approx((10, 20, 30, 60))


def test_keypoints_are_left_out() -> None:
    truth = read_truth(HERE / "yolo-pose")
    assert len(truth.boxes) == 1 and truth.notes[-1] == "Keypoints were left out."


class TestPredictions:
    @pytest.fixture
    def truth(self):
        return read_truth(HERE / "yolo-dataset", size=(200, 100))

    def read(self, tmp_path: Path, truth, text: str):
        put(tmp_path / "predict/labels/a.txt", text)
        put(tmp_path / "predict/labels/classes.txt", "person\n")
        return read_predictions(tmp_path / "predict", truth)

    @pytest.mark.parametrize("text", ["0 0.125 0.5 0.15 0.6 0.9", "0 0.05 0.2 0.2 0.3 0.1 0.8 0.1 0.7 0.9"])
    def test_with_confidence(self, tmp_path: Path, truth, text: str) -> None:
        row = self.read(tmp_path, truth, text).row(0)
        assert (row.x, row.y, row.width, row.height, row.score) == pytest.approx((10, 20, 30, 60, 0.9))

    def test_without_confidence_all_are_equally_sure(self, tmp_path: Path, truth) -> None:
        found = self.read(tmp_path, truth, "0 0.125 0.5 0.15 0.6\n0 0.3 0.5 0.15 0.6")
        assert list(found.score) == [1, 1]
        assert any("no confidence" in note and "save_conf=True" in note for note in found.notes)

    def test_a_confidence_on_some_lines_only_is_refused(self, tmp_path: Path, truth) -> None:
        with pytest.raises(FormatError, match=r"a\.txt, line 2: some lines have a confidence"):
            self.read(tmp_path, truth, "0 0.125 0.5 0.15 0.6\n0 0.3 0.5 0.15 0.6 0.5")

    def test_tracking_writes_an_id_behind(self, tmp_path: Path, truth) -> None:
        row = self.read(tmp_path, truth, "0 0.125 0.5 0.15 0.6 0.9 17").row(0)
        assert (row.track, row.score, row.width) == (17, 0.9, pytest.approx(30))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"data.yaml": "names: [a]"}, "names no val, test or train"),
        ({"data.yaml": "val: images\nnames: [a]"}, "images does not exist"),
        ({"data.yaml": "val: 5"}, "val is no folder"),
        ({"data.yaml": "val: images", "images/a.jpg": "", "labels/b.txt": "0 0.5 0.5 0.1 0.1"}, "b.txt has no image"),
        ({"labels/train/a.txt": "0 0.5 0.5 0.1 0.1", "labels/val/a.txt": ""}, "no labels but folders: train, val"),
        (
            {"data.yaml": "val: [images/x, images/y]", "images/x/a.jpg": "", "images/y/a.jpg": ""},
            "two images a",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        put(tmp_path / name, text)
    with pytest.raises(FormatError, match=message):
        read_truth(tmp_path)
