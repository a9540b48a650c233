"""What went wrong, one by one: from files to the lists, the matrices and every format."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from defusedxml import ElementTree

from vru.evaluation.cli.evaluate import evaluate

Box = tuple[int, int, int, int]
CLASSES = ("pedestrian", "cyclist")


def truth_file(path: Path, boxes: list[tuple[int, int, str, Box]], images: list[dict[str, object]]) -> Path:
    """``boxes`` are (image id, track, class, box)."""
    annotations = [
        {"id": number, "image_id": image, "category_id": CLASSES.index(name) + 1, "bbox": list(box), "track_id": track,
         "area": box[2] * box[3], "iscrowd": 0}
        for number, (image, track, name, box) in enumerate(boxes, start=1)
    ]  # fmt: skip
    videos = [{"id": number, "file_name": f"drive{number}.mp4"} for number in {image["video_id"] for image in images}]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    content = {"videos": videos, "images": images, "categories": categories, "annotations": annotations}
    path.write_text(json.dumps(content))
    return path


def results_file(path: Path, boxes: list[tuple[int, str, Box, float]]) -> Path:
    rows = [
        {"image_id": image, "category_id": CLASSES.index(name) + 1, "bbox": list(box), "score": score}
        for image, name, box, score in boxes
    ]
    path.write_text(json.dumps(rows))
    return path


def frames(video: int, count: int, first: int = 1, **more: object) -> list[dict[str, object]]:
    return [
        {"id": first + number, "video_id": video, "frame_index": number, "timestamp_s": number / 10,
         "file_name": f"drive{video}/{number:06d}.jpg", "width": 640, "height": 480, **more}
        for number in range(count)
    ]  # fmt: skip


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(evaluate, [*map(str, arguments), "--resamples", "0"])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def two_drives(tmp_path: Path) -> tuple[Path, Path]:
    """Drive 1: one pedestrian in 10 frames, missed in 2-4 and 8; drive 2: a cyclist taken for a pedestrian once, and
    three false alarms.
    """
    images = frames(1, 10, attributes={"light": "day", "scenario": "crossing"})
    images += frames(2, 5, first=11, attributes={"light": "night", "scenario": "turn"})
    walker = [(number + 1, 7, "pedestrian", (100 + number, 100, 40, 80)) for number in range(10)]
    rider = [(number + 11, 8, "cyclist", (300, 100, 60, 80)) for number in range(5)]
    truth = truth_file(tmp_path / "truth.json", [*walker, *rider], images)
    found = [(image, name, box, 0.9) for image, _, name, box in walker if image not in (3, 4, 5, 9)]
    found += [(4, "pedestrian", (103, 100, 40, 80), 0.3)]  # below the operating point
    found += [(image, name, box, 0.8) for image, _, name, box in rider if image != 13]
    found += [(13, "pedestrian", (300, 100, 60, 80), 0.7)]
    found += [(14, "pedestrian", (10, 10, 40, 80), 0.95), (15, "cyclist", (500, 300, 40, 80), 0.6)]
    found += [(15, "cyclist", (310, 110, 60, 80), 0.55)]  # a duplicate
    return truth, results_file(tmp_path / "results.json", found)


@pytest.fixture
def document(two_drives: tuple[Path, Path], tmp_path: Path) -> dict[str, object]:
    run(*two_drives, "--protocol", "default", "--json", tmp_path / "out.json")
    return json.loads((tmp_path / "out.json").read_text())


def test_missed_stretches_break_where_the_road_user_was_found(document) -> None:
    stretches = [
        (row["recording"], row["track_id"], row["class"], row["from"]["frame"], row["to"]["frame"], row["frames"])
        for row in document["findings"]["missed_stretches"]
    ]
    assert stretches == [
        ("drive1.mp4", 7, "pedestrian", 2, 4, 3),
        ("drive1.mp4", 7, "pedestrian", 8, 8, 1),
        ("drive2.mp4", 8, "cyclist", 2, 2, 1),
    ]
    assert document["findings"]["missed_stretches"][0]["from"]["time_s"] == 0.2


def test_every_stretch_is_among_the_first_misses(document) -> None:
    misses = document["findings"]["misses"]
    assert misses["count"] == 5
    firsts = {(row["recording"], row["frame"]) for row in misses["worst"][:3]}
    assert ("drive1.mp4", 8) in firsts and ("drive2.mp4", 2) in firsts
    (seen_too_unsurely,) = [row for row in misses["worst"] if row["frame"] == 3]
    assert seen_too_unsurely["nearest"] == {"class": "pedestrian", "score": 0.3, "overlap": 1.0}


def test_false_alarms_come_with_time_box_score_and_what_is_near(document) -> None:
    alarms = document["findings"]["false_alarms"]
    assert alarms["count"] == 4
    assert [row["score"] for row in alarms["worst"]] == [0.95, 0.7, 0.6, 0.55]
    first, confused, _, duplicate = alarms["worst"]
    assert (first["time_s"], first["frame"], first["box"], first["nearest"]) == (0.3, 3, [10, 10, 40, 80], None)
    assert confused["nearest"] == {"class": "cyclist", "track_id": 8, "overlap": 1.0}
    assert duplicate["nearest"]["overlap"] == pytest.approx(50 * 70 / (2 * 4800 - 50 * 70))


def test_the_confusion_matrix_sums_to_the_figures(document) -> None:
    confusion = document["findings"]["confusion"]
    assert confusion["classes"] == ["pedestrian", "cyclist", "background"]
    assert confusion["counts"] == [[6, 0, 4], [1, 4, 0], [1, 2, 0]]
    metrics = document["metrics"]
    assert metrics["recall"]["value"] == pytest.approx(10 / 15)
    assert metrics["precision"]["value"] == pytest.approx(10 / 14)


def test_recordings_come_worst_first(document) -> None:
    rows = document["findings"]["recordings"]
    assert [(row["recording"], row["truth"], row["missed"], row["false_alarms"]) for row in rows] == [
        ("drive2.mp4", 5, 1, 4),
        ("drive1.mp4", 10, 4, 0),
    ]


def test_scenarios_by_attribute(document) -> None:
    scenarios = document["findings"]["scenarios"]
    assert scenarios["attributes"] == ["scenario", "light"] and scenarios["distances"] == []
    names = ("values", "images", "truth", "missed", "false_alarms")
    assert [tuple(row[name] for name in names) for row in scenarios["rows"]] == [
        (["crossing", "day"], 10, [10], [4], 0),
        (["turn", "night"], 5, [5], [1], 4),
    ]  # fmt: skip


def test_scenarios_by_distance(tmp_path: Path) -> None:
    images = [image | {"file_name": f"crossing-{image['id']}"} for image in frames(1, 2)]
    truth = truth_file(
        tmp_path / "t.json", [(1, 1, "pedestrian", (0, 0, 20, 40)), (2, 1, "pedestrian", (0, 0, 9, 20))], images
    )
    content = json.loads(truth.read_text())
    content["annotations"][0]["distance_m"], content["annotations"][1]["distance_m"] = 10, 70
    truth.write_text(json.dumps(content))
    results = results_file(tmp_path / "r.json", [(1, "pedestrian", (0, 0, 20, 40), 0.9)])
    run(truth, results, "--protocol", "default", "--json", tmp_path / "out.json", "--html", tmp_path / "out.html")
    scenarios = json.loads((tmp_path / "out.json").read_text())["findings"]["scenarios"]
    assert [name.split()[0] for name in scenarios["distances"]] == ["near", "medium", "far", "distance"]
    assert (scenarios["rows"][0]["truth"], scenarios["rows"][0]["missed"]) == ([1, 0, 1, 0], [0, 0, 1, 0])
    assert "1.000 (1 of 1)" in (tmp_path / "out.html").read_text()


def test_pages_and_tables_have_them(two_drives: tuple[Path, Path], tmp_path: Path) -> None:
    run(*two_drives, "--html", tmp_path / "r.html", "--pdf", tmp_path / "r.pdf", "--csv", tmp_path / "r.csv")
    page = (tmp_path / "r.html").read_text()
    for heading in ("Missed stretches", "False alarms", "Confusion matrix", "Recordings", "Scenarios"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("<caption>") >= 5
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF-")
    with (tmp_path / "r.false-alarms.csv").open() as file:
        alarms = list(csv.DictReader(file))
    assert [(float(row["score"]), float(row["x"])) for row in alarms] == [
        (0.95, 10),
        (0.7, 300),
        (0.6, 500),
        (0.55, 310),
    ]
    with (tmp_path / "r.misses.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 5


def test_kitti_has_no_operating_point_and_says_nothing(tmp_path: Path) -> None:
    for name, line in (
        ("truth", "Pedestrian 0 0 0 10 10 60 110 1.7 0.5 0.5 0 0 10 0\n"),
        ("found", "Pedestrian -1 -1 -10 10 10 60 110 -1 -1 -1 -1000 -1000 -1000 -10 0.9\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "000001.txt").write_text(line)
    run(tmp_path / "truth", tmp_path / "found", "--protocol", "kitti", "--json", tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["findings"] is None


def test_who_and_what_are_told_or_not_stated(two_drives: tuple[Path, Path], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    told = ("--made-by", "Ada", "--model-name", "ssd", "--model-digest", "sha256:ab", "--hardware", "a laptop")
    outputs = ("--json", tmp_path / "out.json", "--html", tmp_path / "out.html", "--junit", tmp_path / "out.xml")
    run(*two_drives, *told, *outputs)
    document = json.loads((tmp_path / "out.json").read_text())
    page = (tmp_path / "out.html").read_text()
    assert "<dt>made by</dt><dd>Ada</dd><dt>made at</dt><dd>2023-11-14 22:13:20 UTC</dd>" in page
    assert document["under_test"] == {
        "name": "ssd", "version": "not stated", "digest": "sha256:ab", "hardware": "a laptop", "software": "not stated",
        "confidence_from": 0.5, "overlap_from": 0.5,
    }  # fmt: skip
    suite = ElementTree.fromstring((tmp_path / "out.xml").read_text())[0]
    taken = [float(part.get("value")) for part in suite.iter("property") if part.get("name").startswith("seconds of")]
    assert len(taken) == 2 and min(taken) > 0 and float(suite.get("time")) == pytest.approx(sum(taken), abs=1e-5)


def test_figure_and_criterion_of_one_number_have_one_interval(two_drives: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "criteria.yaml").write_text("[{metric: recall, comparator: '>=', threshold: 0.9}]")
    arguments = (*two_drives, "--criteria", tmp_path / "criteria.yaml", "--json", tmp_path / "out.json")
    result = CliRunner().invoke(evaluate, [*map(str, arguments)])
    assert result.exit_code in (1, 3), result.output
    document = json.loads((tmp_path / "out.json").read_text())
    (criterion,), figure = document["criteria"], document["metrics"]["recall"]
    assert (figure["low"], figure["high"]) == (criterion["low"], criterion["high"])
    assert figure["confidence_level"] == 0.9 and "confidence_level" not in document["metrics"]["f1"]
    assert "at 90 %" in result.output
