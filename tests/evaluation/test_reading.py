"""Files that were measured wrongly and said nothing: read right now, or refused with what to do about it."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from vru.cli import main


def vru(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def figures(*arguments: object) -> dict[str, Any]:
    result = vru(*arguments, "--json", "-")
    assert result.exit_code in (0, 1, 3), result.output
    return json.loads(result.stdout)


def dump(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def walking(names: Sequence[str], speed: float = 2.0) -> dict[str, Any]:
    """Three pedestrians in each image, a little further on in each."""
    images = [{"id": n + 1, "file_name": name, "width": 1280, "height": 720} for n, name in enumerate(names)]
    boxes = [
        {"id": n * 3 + k + 1, "image_id": n + 1, "category_id": 1}
        | {"bbox": [10 + speed * (n % 10) + 400 * k, 50, 40, 100]}
        for n in range(len(names))
        for k in range(3)
    ]  # fmt: skip
    return {"images": images, "categories": [{"id": 1, "name": "pedestrian"}], "annotations": boxes}


def found_of(truth: dict[str, Any], without: Sequence[int] = ()) -> list[dict[str, Any]]:
    keys = ("image_id", "category_id", "bbox")
    return [
        {key: box[key] for key in keys} | {"score": 0.9} for box in truth["annotations"] if box["id"] not in without
    ]


CRITERIA = "- {metric: recall, comparator: '>=', threshold: 0.95}"


class TestUnits:
    """300 frames of three pedestrians, one of them missed in five frames, as people's tools store a video."""

    def folder(self, tmp_path: Path, names: Sequence[str]) -> tuple[Path, Path, Path]:
        truth = walking(names)
        return (
            dump(tmp_path / "truth.json", truth),
            dump(tmp_path / "found.json", found_of(truth, without=[1, 4, 7, 10, 13])),
            dump(tmp_path / "criteria.yaml", CRITERIA),
        )

    def test_numbered_frames_of_one_video_decide_nothing(self, tmp_path: Path) -> None:
        truth, found, criteria = self.folder(tmp_path, [f"frame_{n:06d}.PNG" for n in range(300)])
        result = vru(truth, found, "--criteria", criteria)
        assert result.exit_code == 3, result.output
        assert "INCONCLUSIVE: recall is 0.9944 from 1 sequence" in result.output
        assert "frames of 1 recording, by their numbered names" in result.output

    def test_what_nothing_tells_is_said_in_the_verdict(self, tmp_path: Path) -> None:
        names = [f"{n:012d}.jpg" for n in sorted(random.Random(1).sample(range(600_000), 300))]
        truth, found, criteria = self.folder(tmp_path, names)
        content = figures(truth, found, "--criteria", criteria)
        assert content["units"] == "images" and content["verdict"] == "PASS"
        assert "taken as independent: nothing in the files says otherwise" in content["criteria"][0]["reason"]
        assert content["settings"]["assumption"].startswith("The images are taken as independent")

    def test_the_user_s_word_is_recorded(self, tmp_path: Path) -> None:
        names = [f"drive{n % 30}_{n:06d}.jpg" for n in range(300)]
        truth, found, criteria = self.folder(tmp_path, names)
        alone = figures(truth, found, "--criteria", criteria, "--independent-images")
        assert alone["units"] == "images" and alone["settings"]["independent_images"] is True
        assert "as was asked for" in alone["criteria"][0]["reason"]
        drives = figures(truth, found, "--criteria", criteria, "--sequence-from", "^(drive[0-9]+)")
        assert drives["truth"]["sequences"] == 30 and drives["settings"]["sequence_from"] == "^(drive[0-9]+)"
        assert drives["criteria"][0]["n"] == 30


class TestWhatIsSaid:
    def test_a_box_that_is_said_not_to_be_hidden_is_not_unknown(self, tmp_path: Path) -> None:
        truth = walking([f"f_{n:04d}.jpg" for n in range(4)])
        for box in truth["annotations"]:
            box |= {"occluded": int(box["id"] == 5), "truncated": 0}
        paths = dump(tmp_path / "t.json", truth), dump(tmp_path / "p.json", found_of(truth))
        notes = figures(*paths, "--protocol", "caltech", "--slices", "occlusion,truncation")["notes"]
        assert not any("do not say whether they reach out" in note for note in notes)
        # How much of the one that is marked is hidden, nobody says.
        assert [note for note in notes if "how much of them is hidden" in note] == [
            "1 truth boxes do not say how much of them is hidden: they count as not hidden."
        ]
        for box in truth["annotations"]:
            del box["occluded"], box["truncated"]
        notes = figures(dump(tmp_path / "t.json", truth), paths[1], "--protocol", "caltech")["notes"]
        assert any("12 truth boxes do not say how much" in note for note in notes)

    def test_each_note_is_said_once(self, tmp_path: Path) -> None:
        truth = walking([f"f_{n:04d}.jpg" for n in range(200)])
        for n, image in enumerate(truth["images"]):
            image["timestamp_s"] = n / 5
        paths = dump(tmp_path / "t.json", truth), dump(tmp_path / "p.json", found_of(truth))
        notes = figures(*paths, "--protocol", "default")["notes"]
        assert len(notes) == len(set(notes)) > 2


def test_what_is_assumed_of_units_that_were_not_seen_can_be_said(tmp_path: Path) -> None:
    names = [f"{n:012d}.jpg" for n in sorted(random.Random(2).sample(range(600_000), 80))]
    truth = walking(names)
    paths = dump(tmp_path / "t.json", truth), dump(tmp_path / "p.json", found_of(truth))
    criteria = ("--criteria", dump(tmp_path / "c.yaml", CRITERIA))
    assert figures(*paths, *criteria)["verdict"] == "INCONCLUSIVE"
    said = figures(*paths, *criteria, "--unseen-truth", 1)
    assert said["verdict"] == "PASS" and said["settings"]["unseen_truth"] == 1
    assert any("at most 1 times the truth of the fullest one seen" in note for note in said["notes"])


class TestForms:
    NAMES: tuple[str, ...] = tuple(f"f_{n:04d}.jpg" for n in range(60))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x, y, w, h: [x, y, x + w, y + h], "corners: x1, y1, x2, y2"),
            (lambda x, y, w, h: [x / 1280, y / 720, w / 1280, h / 720], "shares of the picture's size"),
            (lambda x, y, w, h: [(x + w / 2) / 1280, (y + h / 2) / 720, w / 1280, h / 720], "shares of the picture"),
            (lambda x, y, w, h: [x / 1280, y / 720, (x + w) / 1280, (y + h) / 720], "shares of the picture's size"),
            (lambda x, y, w, h: [y / 720, x / 1280, (y + h) / 720, (x + w) / 1280], "shares of the picture's size"),
            (lambda x, y, w, h: [y, x, y + h, x + w], "corners: y1, x1, y2, x2"),
            (lambda x, y, w, h: [x + w / 2, y + h / 2, w, h], "begin with the centre"),
        ],
        ids=["corners", "shares", "centred shares", "corner shares", "row shares", "row corners", "centres"],
    )
    def test_boxes_in_another_form_are_named(self, tmp_path: Path, change: Any, message: str) -> None:
        truth = walking(self.NAMES)
        found = found_of(truth)
        for row in found:
            row["bbox"] = change(*row["bbox"])
        result = vru(dump(tmp_path / "t.json", truth), dump(tmp_path / "p.json", found))
        assert result.exit_code == 2 and message in " ".join(result.output.split()), result.output

    def test_frames_moved_by_one_are_named_and_can_be_moved_back(self, tmp_path: Path) -> None:
        truth = walking(self.NAMES, speed=40.0)
        found = found_of(truth)
        for row in found:
            row["image_id"] += 1
        paths = dump(tmp_path / "t.json", truth), dump(tmp_path / "p.json", [r for r in found if r["image_id"] <= 60])
        result = vru(*paths)
        assert result.exit_code == 2 and "--shift-frames -1" in result.output, result.output
        content = figures(*paths, "--shift-frames", "-1")
        assert content["metrics"]["precision"]["value"] == 1 and content["settings"]["shift_frames"] == -1

    @pytest.mark.parametrize(("speed", "count"), [(40.0, 60), (40.0, 3), (13.0, 60)], ids=["fast", "few", "slow"])
    def test_a_shift_is_found_in_few_detections_and_where_frames_overlap(
        self, tmp_path: Path, speed: float, count: int
    ) -> None:
        """At 13 pixels a frame a box of 40 still covers half of where it was: all match, a frame late."""
        truth = walking(self.NAMES, speed=speed)
        found = [row | {"image_id": row["image_id"] + 1} for row in found_of(truth) if row["image_id"] <= count]
        found = [row for row in found if row["image_id"] <= 60]
        paths = dump(tmp_path / "t.json", truth), dump(tmp_path / "p.json", found)
        result = vru(*paths)
        assert result.exit_code == 2 and "--shift-frames -1" in result.output, result.output
        assert figures(*paths, "--shift-frames", "0")["settings"]["shift_frames"] == 0

    def test_a_tracker_that_is_right_is_not_asked(self, tmp_path: Path) -> None:
        """Where nobody moves, every frame is like the next: that tells nothing."""
        for name, speed in (("still", 0.0), ("slow", 3.0), ("fast", 40.0)):
            truth = walking(self.NAMES, speed=speed)
            found = [row | {"bbox": [row["bbox"][0] + 4, *row["bbox"][1:]]} for row in found_of(truth)]
            content = figures(dump(tmp_path / f"{name}.json", truth), dump(tmp_path / f"p{name}.json", found))
            assert content["metrics"]["recall"]["value"] == 1

    def test_a_poor_detector_is_measured(self, tmp_path: Path) -> None:
        truth = walking(self.NAMES)
        found = [row | {"bbox": [900, 500, 30, 30]} for row in found_of(truth)]
        content = figures(dump(tmp_path / "t.json", truth), dump(tmp_path / "p.json", found))
        assert content["metrics"]["recall"]["value"] == 0


class TestMot:
    def sequence(self, folder: Path, name: str, label: int, lines: Sequence[str] = ()) -> None:
        rows = [f"{n},1,{11 * n},20,40,80,1,{label},1.0" for n in range(1, 11)]
        dump(folder / name / "gt" / "gt.txt", "\n".join([*rows, *lines]) + "\n")

    def tracker(self, path: Path, boxes: Sequence[tuple[int, int]]) -> Path:
        return dump(path, "".join(f"{n},1,{x},20,40,80,0.9,-1,-1,-1\n" for n, x in boxes))

    def test_labels_beside_the_truth_name_its_classes(self, tmp_path: Path) -> None:
        cars = [f"{n},2,{300 + n},20,40,80,1,1,1.0" for n in range(1, 11)]
        self.sequence(tmp_path, "S", 3, cars)
        dump(tmp_path / "S" / "gt" / "labels.txt", "car\ncyclist\npedestrian\n")
        good = self.tracker(tmp_path / "good.txt", [(n, 11 * n) for n in range(1, 11)])
        assert figures(tmp_path / "S", good, "--protocol", "mot")["metrics"]["mota"]["value"] == 1
        only_cars = self.tracker(tmp_path / "cars.txt", [(n, 300 + n) for n in range(1, 11)])
        assert figures(tmp_path / "S", only_cars, "--protocol", "mot")["metrics"]["mota"]["value"] == -1

    def test_mot20_has_a_distractor_more(self, tmp_path: Path) -> None:
        vehicle = ["1,7,600,20,40,80,0,6,1.0"]
        for name in ("MOT17-01", "MOT20-01"):
            self.sequence(tmp_path / name[:5], name, 1, vehicle)
            found = [(n, 11 * n) for n in range(1, 11)]
            path = self.tracker(tmp_path / f"{name}.txt", found)
            path.write_text(path.read_text() + "1,2,600,20,40,80,0.9,-1,-1,-1\n")
        mot17 = figures(tmp_path / "MOT17", tmp_path / "MOT17-01.txt")
        mot20 = figures(tmp_path / "MOT20", tmp_path / "MOT20-01.txt")
        assert mot17["metrics"]["mota"]["value"] == pytest.approx(0.9) and mot20["metrics"]["mota"]["value"] == 1
        assert mot20["protocol"]["name"] == "mot20"


KITTI = "{} {} {} -1.5 {} {} {} {} 1.7 0.6 0.8 1 1 10 0{}\n"


@pytest.mark.parametrize("protocol", ["default", "coco", "caltech", "kitti"])
def test_dont_care_excuses_under_every_protocol(tmp_path: Path, protocol: str) -> None:
    for number in range(3):
        own = KITTI.format("Pedestrian", 0, 0, 10, 10, 50, 90, "")
        region = KITTI.format("DontCare", -1, -1, 300, 10, 400, 90, "")
        dump(tmp_path / "truth" / f"{number:06d}.txt", own + region)
        found = KITTI.format("Pedestrian", -1, -1, 10, 10, 50, 90, " 0.9")
        excused = KITTI.format("Pedestrian", -1, -1, 310, 20, 340, 80, " 0.8")
        dump(tmp_path / "found" / f"{number:06d}.txt", found + excused)
        dump(tmp_path / "without" / f"{number:06d}.txt", found)
    with_them, without = (
        figures(tmp_path / "truth", tmp_path / name, "--protocol", protocol, "--score", 0.5)["metrics"]
        for name in ("found", "without")
    )
    assert {name: of["value"] for name, of in with_them.items()} == {name: of["value"] for name, of in without.items()}
    if protocol != "kitti":
        assert with_them["precision"]["value"] == with_them["recall"]["value"] == 1


def test_kitti_tracking_with_dont_care_is_measured_in_time(tmp_path: Path) -> None:
    rows = "".join(
        f"{n} 1 {KITTI.format('Pedestrian', 0, 0, 10, 10, 50, 90, '')}"
        f"{n} -1 {KITTI.format('DontCare', -1, -1, 300, 10, 400, 90, '')}"
        for n in range(20)
    )
    found = "".join(
        f"{n} 1 {KITTI.format('Pedestrian', -1, -1, 10, 10, 50, 90, ' 0.9')}"
        f"{n} 2 {KITTI.format('Pedestrian', -1, -1, 310, 20, 340, 80, ' 0.9')}"
        for n in range(20)
    )
    metrics = figures(dump(tmp_path / "0000.txt", rows), dump(tmp_path / "found" / "0000.txt", found))["metrics"]
    assert metrics["precision"]["value"] == 1 and metrics["recall"]["value"] == 1


Drive = dict[str, list[dict[str, Any]]]


def drive(name: str, video: int, first: int, *, shown: bool = True, other: bool = False) -> Drive:
    """Twenty seconds at 5 frames a second of one video; a pedestrian, or nobody, and perhaps a car."""
    images = [
        {"id": first + n, "video_id": video, "frame_index": n, "timestamp_s": n / 5, "width": 640, "height": 480}
        for n in range(100)
    ]
    boxes = [
        {"image_id": first + n, "category_id": 1, "track_id": 1, "bbox": [100 + n, 100, 40, 90]}
        for n in range(20, 60)
        if shown
    ]
    cars = [
        {"image_id": first + n, "category_id": 2, "track_id": 9, "bbox": [400, 100, 90, 60]}
        for n in range(100)
        if other
    ]
    return {"videos": [{"id": video, "name": name}], "images": images, "annotations": boxes + cars}


def together(*drives: Drive) -> dict[str, Any]:
    joined: dict[str, Any] = {key: [item for one in drives for item in one[key]] for key in drives[0]}
    return joined | {"categories": [{"id": 1, "name": "pedestrian"}, {"id": 2, "name": "car"}]}


TIME = ("track_recall", "latency_median_ms", "latency_p95_ms", "false_alarms_per_minute", "longest_gap_p95_ms")


class TestFiguresThatVanished:
    def measured(self, tmp_path: Path, truth: dict[str, Any], late: int = 5) -> dict[str, Any]:
        """Everybody is found after so many frames, and there is one false box in each video."""
        known = {image["id"]: image["frame_index"] for image in truth["images"]}
        found = [
            {"image_id": box["image_id"], "category_id": box["category_id"], "bbox": box["bbox"], "score": 0.9}
            for box in truth["annotations"]
            if known[box["image_id"]] >= 20 + late
        ]
        found += [
            {"image_id": image["id"], "category_id": 1, "bbox": [10, 400, 30, 60], "score": 0.9}
            for image in truth["images"]
            if image["frame_index"] == 3
        ]
        paths = dump(tmp_path / "truth.json", truth), dump(tmp_path / "found.json", found)
        return figures(*paths, "--protocol", "default")

    def test_a_drive_without_a_pedestrian_has_false_alarms(self, tmp_path: Path) -> None:
        content = self.measured(tmp_path, together(drive("A", 1, 1, shown=False)))
        assert content["metrics"]["false_alarms_per_minute"]["value"] == pytest.approx(3)

    def test_a_car_beside_is_set_aside_and_named(self, tmp_path: Path) -> None:
        content = self.measured(tmp_path, together(drive("A", 1, 1, other=True)))
        assert set(TIME) <= set(content["metrics"])
        assert content["metrics"]["latency_median_ms"]["value"] == pytest.approx(1000)
        assert "Figures of time leave out what is no road user: car." in content["notes"]

    def test_two_videos_are_pooled(self, tmp_path: Path) -> None:
        content = self.measured(tmp_path, together(drive("A", 1, 1), drive("B", 2, 1001)))
        assert [track["recording"] for track in content["tracks"]] == ["A", "B"]
        assert set(TIME) <= set(content["metrics"]), content["notes"]
        assert content["metrics"]["track_recall"] | {"low": 0, "high": 0} == {
            "value": 1.0, "low": 0, "high": 0, "n": 2, "units": "sequences",
        }  # fmt: skip
        assert content["metrics"]["latency_median_ms"]["value"] == pytest.approx(1000)
        assert content["metrics"]["false_alarms_per_minute"]["value"] == pytest.approx(3)
        assert len(content["tracks"]) == 2

    def test_without_track_ids_it_is_said(self, tmp_path: Path) -> None:
        truth = together(drive("A", 1, 1))
        for box in truth["annotations"]:
            del box["track_id"]
        content = self.measured(tmp_path, truth)
        assert content["metrics"]["false_alarms_per_minute"]["value"] == pytest.approx(3)
        assert "track_recall" not in content["metrics"]
        assert any("has no track ids" in note for note in content["notes"])

    def test_without_times_it_is_said(self, tmp_path: Path) -> None:
        truth = together(drive("A", 1, 1))
        for image in truth["images"]:
            del image["timestamp_s"]
        assert any("have no times" in note for note in self.measured(tmp_path, truth)["notes"])


def test_boxes_that_are_said_not_to_be_cut_off_are_not_unknown(tmp_path: Path) -> None:
    truth = walking([f"f_{n}.jpg" for n in range(5)])
    for box in truth["annotations"]:
        box["truncated"] = 0
    paths = dump(tmp_path / "t.json", truth), dump(tmp_path / "p.json", found_of(truth))
    assert not any("do not say" in note for note in figures(*paths, "--slices", "truncation")["notes"])
    del truth["annotations"][0]["truncated"]
    dump(tmp_path / "t.json", truth)
    assert any("1 truth boxes do not say" in note for note in figures(*paths, "--slices", "truncation")["notes"])
