import json
import subprocess
import sys
from pathlib import Path

from vru.domain import VruClass
from vru.scenes import ground_truth, scene, to_coco


def test_ground_truth_holds_every_box_of_every_frame() -> None:
    chosen = scene("occluded", duration_s=4)
    truth = ground_truth(chosen)
    assert (truth.width, truth.height, truth.frame_count, truth.source) == (640, 360, 40, "synthetic")
    assert truth.approved_by is None
    expected = {(frame.index, number): box for frame in chosen.frames() for number, box in frame.truths.items()}
    assert {(box.frame_index, track.track_id): box for track, box in truth.boxes()} == expected


def test_coco_says_the_same_as_the_ground_truth() -> None:
    chosen = scene("occluded", duration_s=8)
    truth = ground_truth(chosen)
    document = json.loads(json.dumps(to_coco(truth, "video.mp4", chosen.times)))
    assert document["videos"] == [
        {"id": 1, "file_name": "video.mp4", "width": 640, "height": 360, "frame_count": 80, "time_base": "1/90000"}
    ]
    images = {image["id"]: image for image in document["images"]}
    assert [image["frame_index"] for image in document["images"]] == list(range(80))
    assert [image["timestamp_s"] for image in document["images"]] == list(chosen.times)
    assert [image["pts"] for image in document["images"]] == list(chosen.pts)
    names = {category["id"]: category["name"] for category in document["categories"]}
    assert set(names.values()) == {"pedestrian", "child"}
    said = {
        (
            images[note["image_id"]]["frame_index"],
            note["track_id"],
            names[note["category_id"]],
            *note["bbox"],
            note["occluded"],
            note["truncated"],
            note["ignore"],
        )
        for note in document["annotations"]
    }
    meant = {
        (
            box.frame_index,
            track.track_id,
            str(track.road_user),
            *box.box.as_tuple(),
            int(box.occluded),
            int(box.truncated),
            int(box.ignore),
        )
        for track, box in truth.boxes()
    }
    assert said == meant
    assert len({note["id"] for note in document["annotations"]}) == len(document["annotations"]) == len(meant)


def test_an_empty_scene_has_a_valid_document() -> None:
    chosen = scene("empty", duration_s=0.2)
    document = to_coco(ground_truth(chosen), "video.mp4", chosen.times)
    assert document["annotations"] == []
    assert [category["name"] for category in document["categories"]] == [str(VruClass.PEDESTRIAN)]
    assert len(document["images"]) == 2


def test_command_writes_a_video_and_its_truth(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vru.scenes"]
    subprocess.run([*command, "empty", tmp_path / "out"], check=True)
    assert (tmp_path / "out" / "video.mp4").stat().st_size > 10_000
    assert len(json.loads((tmp_path / "out" / "annotations.coco.json").read_text())["images"]) == 100
    refused = subprocess.run([*command, "nowhere", tmp_path], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "There is no scene 'nowhere'" in refused.stderr
