"""What a line can make the reader build is bounded, and what a message repeats of it is short."""

import json
import tracemalloc
from pathlib import Path

import pytest
from click.testing import CliRunner

from vru.cli import main
from vru.formats import FormatError, read_markers, read_predictions, read_signals, read_truth

NINES = "9" * 5000
KITTI = "Pedestrian 0.10 1 -10 1.0 2.0 11.0 22.0 -1 -1 -1 -1000 -1000 -1000 -10"
COCO = {
    "images": [{"id": 1, "width": 100, "height": 50, "file_name": "a.jpg"}],
    "categories": [{"id": 7, "name": "pedestrian"}],
    "annotations": [{"id": 5, "image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 20]}],
}


def put(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def refused(read, match: str) -> str:
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=match) as caught:
            read()
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert len(caught.value.message) < 500
    return caught.value.message


class TestOneLineBuildsLittle:
    def test_a_mot_frame_that_no_video_has(self, tmp_path: Path) -> None:
        path = put(tmp_path / "gt.txt", "1,1,2,3,4,5,1\n9999999,1,2,3,4,5,1\n")
        refused(lambda: read_truth(path), r"line 2 is about frame 9999999; at most 432000")

    def test_a_kitti_frame_that_no_video_has(self, tmp_path: Path) -> None:
        path = put(tmp_path / "0001.txt", f"9999999 1 {KITTI}\n")
        refused(lambda: read_truth(path), r"line 1 is about frame 9999999; at most 432000")

    @pytest.mark.parametrize("value", ["9999999", "0", "-5", NINES])
    @pytest.mark.parametrize("key", ["seqLength", "imWidth"])
    def test_what_seqinfo_says(self, tmp_path: Path, key: str, value: str) -> None:
        truth = put(tmp_path / "S1/gt/gt.txt", "1,1,2,3,4,5,1\n")
        put(tmp_path / "S1/seqinfo.ini", f"[Sequence]\n{key}={value}\n")
        refused(lambda: read_truth(truth), r"seqinfo\.ini")

    def test_many_sequences_that_end_late(self, tmp_path: Path) -> None:
        for name in range(6):
            put(tmp_path / f"all/S{name}/gt/gt.txt", "432000,1,2,3,4,5,1\n")
        with pytest.raises(FormatError, match="with it there are 2592000 frames; at most 2160000"):
            read_truth(tmp_path / "all")

    def test_the_option_frames(self, tmp_path: Path) -> None:
        put(tmp_path / "labels/000001.txt", KITTI)
        refused(lambda: read_truth(tmp_path / "labels", frames=10_000_000), "--frames says 10000000 frames")


class TestNumbersOfThousandsOfDigits:
    @pytest.mark.parametrize("digits", [NINES, NINES[:4000]])
    @pytest.mark.parametrize(
        "place", ["images.id", "images.width", "annotations.id", "annotations.track_id", "annotations.image_id",
                  "annotations.category_id", "categories.id", "annotations.area", "annotations.iscrowd"],
    )  # fmt: skip
    def test_coco(self, tmp_path: Path, place: str, digits: str) -> None:
        key, name = place.split(".")
        document = json.loads(json.dumps(COCO))
        document[key][0][name] = "@"
        path = put(tmp_path / "truth.json", json.dumps(document).replace('"@"', digits))
        refused(lambda: read_truth(path), r"truth\.json")

    @pytest.mark.parametrize("digits", [NINES, NINES[:4000], NINES[:30]])
    @pytest.mark.parametrize("name", ["image_id", "category_id", "score", "track_id", "bbox"])
    def test_coco_results(self, tmp_path: Path, name: str, digits: str) -> None:
        truth = read_truth(put(tmp_path / "truth.json", json.dumps(COCO)))
        row = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5, name: "@"}
        path = put(tmp_path / "results.json", json.dumps([row]).replace('"@"', digits))
        if name == "score" and digits == NINES[:30]:
            assert len(read_predictions(path, truth)) == 1
        else:
            refused(lambda: read_predictions(path, truth), r"results\.json")

    def test_a_file_name_of_digits_is_a_name(self, tmp_path: Path) -> None:
        document = COCO | {"images": [{"id": NINES}], "annotations": []}
        truth = read_truth(put(tmp_path / "truth.json", json.dumps(document)))
        assert truth.by_key() == {NINES: 0}

    @pytest.mark.parametrize("column", range(9))
    def test_mot(self, tmp_path: Path, column: int) -> None:
        columns = ["1", "1", "2", "3", "4", "5", "1", "1", "1"]
        columns[column] = NINES
        path = put(tmp_path / "gt.txt", ",".join(columns))
        refused(lambda: read_truth(path, format_="mot"), r"line 1")

    def test_kitti_and_yolo(self, tmp_path: Path) -> None:
        kitti = put(tmp_path / "kitti/000001.txt", KITTI.replace("0.10 1", f"0.10 {NINES}")).parent
        refused(lambda: read_truth(kitti, format_="kitti"), r"line 1")
        yolo = put(tmp_path / "yolo/000001.txt", f"{NINES} 0.5 0.5 0.1 0.1").parent
        refused(lambda: read_truth(yolo, format_="yolo"), r"line 1")

    def test_yaml(self, tmp_path: Path) -> None:
        put(tmp_path / "d/labels/a.txt", "0 0.5 0.5 0.1 0.1")
        put(tmp_path / "d/data.yaml", f"nc: {NINES}\nnames: [a]\n")
        refused(lambda: read_truth(tmp_path / "d/labels"), r"data\.yaml: this is no YAML")

    @pytest.mark.parametrize("digits", [NINES, NINES[:4000]])
    def test_signals_and_markers(self, tmp_path: Path, digits: str) -> None:
        signals = put(tmp_path / "s.csv", f"time_ns,kind\n{digits},udp\n")
        refused(lambda: read_signals(signals), r"s\.csv, line 2")
        lines = put(tmp_path / "s.jsonl", f'{{"time_ns": {digits}, "kind": "udp"}}\n')
        refused(lambda: read_signals(lines), r"s\.jsonl, line 1")
        markers = put(tmp_path / "m.csv", f"media_s,time_ns\n{digits},1\n")
        refused(lambda: read_markers(markers), r"m\.csv, line 2")

    def test_the_option_size(self, tmp_path: Path) -> None:
        answer = CliRunner().invoke(main, ["evaluate", "a", "b", "--size", f"{NINES}x10"])
        assert answer.exit_code == 2 and "is not like 1920x1080" in answer.output and len(answer.output) < 600
