"""Which pictures belong to one recording, and whose names join truth and detections, in files as tools write them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from vru.formats import Annotations, FormatError, Picture, read_predictions, read_truth
from vru.formats.annotations import Boxes
from vru.formats.recordings import INDEPENDENT, group_recordings

Put = Callable[[str, Any], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def named(*names: str) -> Annotations:
    pictures = [Picture(place, f"Image {place}", place, name=name) for place, name in enumerate(names)]
    return Annotations("coco", [], {}, pictures, list(names), Boxes(lambda boxes, at: ""), declared=False)


def recordings(*names: str, **options: Any) -> list[str]:
    grouped = group_recordings(named(*names), **options)
    return [grouped.sequences[picture.sequence] for picture in grouped.pictures]


# Ids of COCO's own images: scattered, of twelve digits.
NIGHT_AND_NOON = ["night_walk"] * 2 + ["noon"] * 2
TWO_VIDEOS = ["video_01_frame"] * 2 + ["video_02_frame"] * 2
TWO_CITIES = ["aachen #_leftImg#bit"] * 3 + ["ulm #_leftImg#bit"] * 3
SCATTERED = ("000000000139", "000000000285", "000000000632", "000000000724", "000000000776", "000000581781")


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        # CVAT, ffmpeg, Label Studio: numbered frames.
        (["frame_000000.PNG", "frame_000001.PNG", "frame_000002.PNG"], ["frame"] * 3),
        (["night_walk_00000.jpg", "night_walk_00001.jpg", "noon_00000.jpg", "noon_00001.jpg"], NIGHT_AND_NOON),
        (["video_01_frame_03", "video_01_frame_08", "video_02_frame_03", "video_02_frame_08"], TWO_VIDEOS),
        # Every tenth frame, and a split by chance.
        (["000010.png", "000020.png", "000030.png"], ["the recording"] * 3),
        (["clip-3.jpg", "clip-17.jpg", "clip-22.jpg", "clip-91.jpg"], ["clip"] * 4),
        # Roboflow renames.
        (["ride_mp4-0001_jpg.rf.0a1b2c.jpg", "ride_mp4-0002_jpg.rf.99ffee.jpg"], ["ride_mp4"] * 2),
        # KITTI's object set: numbered, from drives that nobody names.
        (["000000", "000001", "000002"], ["the recording"] * 3),
        # Cityscapes and CityPersons: one frame of each snippet, numbered in each city.
        ([f"{city}_{k:06d}_000019_leftImg8bit.png" for city in ("aachen", "ulm") for k in range(3)], TWO_CITIES),
        # Time stamps of a camera in even steps.
        ([f"n015__FRONT__{1533151603512404 + 50_000 * k + 900 * (k % 3)}.jpg" for k in range(6)], ["n015__FRONT"] * 6),
        # A clock: at a frame a second neither minutes nor seconds are recordings; a drive 20 minutes later is one.
        ([f"2024-05-01_12-{k // 60:02d}-{k % 60:02d}.jpg" for k in range(180)], ["the recording"] * 180),
        ([f"20240501_12{clock}_F.jpg" for clock in ("0001", "0002", "2003", "2004")], ["F (1)"] * 2 + ["F (2)"] * 2),
        # Uneven time stamps are no ids.
        ([f"cam_{1533151603000 + 37 * k * k}.png" for k in range(9)], ["cam"] * 9),
        ([f"{1533151603 + k // 10}.{k % 10}00000.png" for k in range(40)], ["the recording"] * 40),
        ([f"ride_{k / 2}.jpg" for k in range(9)], ["ride"] * 9),
        ([f"ride_t{k // 60:02d}m{k % 60:02d}s.jpg" for k in range(0, 180, 7)], ["ride_t"] * 26),
        # The frame's number stands first.
        ([f"frame_{k}_video_{v}.jpg" for v in "12" for k in range(3)], ["frame video_1"] * 3 + ["frame video_2"] * 3),
        ([f"frame_{k}_crop{c}.jpg" for k in range(3) for c in range(3)], ["frame crop#"] * 9),
        # A frame of each of many videos.
        ([f"video_{v:04d}_frame_7.jpg" for v in range(9)], None),
        # The frames of one video, in three folders; several videos begin anew.
        ([f"{folder}/frame_{k}.jpg" for k, folder in enumerate(["train", "val", "test"] * 3)], ["frame"] * 9),
        ([f"cam{c}/{k:06d}.jpg" for c in "12" for k in range(3)], ["cam1"] * 3 + ["cam2"] * 3),
        # A video beside more images that say nothing.
        (["f_0.jpg", "f_1.jpg", "a.jpg", "b.jpg", "c.jpg"], ["f"] * 2 + ["a.jpg", "b.jpg", "c.jpg"]),
        # The same picture three times, altered.
        ([f"dog{k}_jpg.rf.{a}e{a}.jpg" for k in "ab" for a in range(3)], ["doga"] * 3 + ["dogb"] * 3),
        # COCO's own.
        ([f"{name}.jpg" for name in SCATTERED], None),
        (["3f2a.jpg", "9bc1.jpg", "77de.jpg"], None),
        (["monday/a.jpg", "monday/b.jpg", "tuesday/x.jpg", "tuesday/y.jpg"], ["monday"] * 2 + ["tuesday"] * 2),
        (["images/a.jpg", "images/b.jpg"], None),
        # One folder, whose name says that it is a recording.
        (["ride_7/qa.jpg", "ride_7/zb.jpg"], ["ride_7"] * 2),
        (["street.mp4/qa.jpg", "street.mp4/zb.jpg"], ["street.mp4"] * 2),
        (["holiday/qa.jpg", "holiday/zb.jpg"], None),
        # Label Studio puts a part of a UUID before the name of each upload.
        ([f"images/{Random(k).getrandbits(32):08x}-frame_{k:05d}.jpg" for k in range(40)], ["images/frame"] * 40),
        ([f"20240501-1200{k:02d}.jpg" for k in range(5)], ["the recording"] * 5),
        # Counters to the base of 16.
        ([f"cam_{k:08x}.png" for k in range(0, 120, 3)], ["cam"] * 40),
    ],
)  # fmt: skip
def test_names_tell_a_video(names: list[str], groups: list[str] | None) -> None:
    annotations = named(*names)
    # Only numbered frames would say it by themselves.
    unnumbered = [replace(picture, frame_index=None) for picture in annotations.pictures]
    grouped = group_recordings(replace(annotations, pictures=unnumbered))
    if groups is None:
        assert grouped.assumption == INDEPENDENT and len(grouped.sequences) == len(names)
    else:
        assert [grouped.sequences[picture.sequence] for picture in grouped.pictures] == groups
        assert "--independent-images" in grouped.assumption


HASHES = [f"{Random(k).getrandbits(64):016x}.jpg" for k in range(300)]


def test_two_hashes_that_resemble_numbered_names_by_chance_do_not_hide_the_others() -> None:
    grouped = group_recordings(named(*HASHES))
    assert "others as independent, of which nothing tells" in grouped.assumption
    assert len(grouped.sequences) > 290


@pytest.mark.parametrize("where", ["track_id", "attributes"])
def test_track_ids_tell_a_video_whatever_its_frames_are_called(where: str, put: Put) -> None:
    images = [{"id": k, "file_name": name, "width": 9, "height": 9} for k, name in enumerate(HASHES[:60])]
    tracks = [{"track_id": k % 3} if where == "track_id" else {"attributes": {"track_id": k % 3}} for k in range(60)]
    boxes = [{"image_id": k, "category_id": 1, "bbox": [1, 1, 2, 2], **track} for k, track in enumerate(tracks)]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "pedestrian"}]}
    truth = read_truth(put("t.json", document))
    assert len(truth.sequences) == 3 and "track ids" in truth.assumption


def test_folders_tell_a_recording_of_the_frames_whose_names_do_not() -> None:
    assert len(set(recordings(*[f"{k // 30:02d}/{name}" for k, name in enumerate(HASHES)]))) <= 11


def test_images_of_no_video_beside_videos_are_not_each_a_recording(put: Put) -> None:
    videos = [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}]
    images = [{"id": k, "file_name": f"ride_{k}.jpg"} for k in range(9)]
    document = {"videos": videos, "images": images, "annotations": [], "categories": [{"id": 1, "name": "pedestrian"}]}
    assert read_truth(put("none.json", document)).sequences == ["ride"]
    images[0]["video_id"] = images[1]["video_id"] = 2
    assert read_truth(put("some.json", document)).sequences == ["B", "ride"]


def test_frames_of_one_video_are_of_one_size() -> None:
    annotations = named("f_1", "f_2", "f_3", "f_4")
    sized = [replace(picture, width=640 + place // 2) for place, picture in enumerate(annotations.pictures)]
    grouped = group_recordings(replace(annotations, pictures=sized))
    assert [picture.sequence for picture in grouped.pictures] == [0, 0, 1, 1]


def test_one_recording_without_times_says_what_would_help() -> None:
    assert "With the time of each frame" in group_recordings(named("f_1", "f_2")).assumption
    assert "With the time" not in group_recordings(named("f_1", "f_2", "g_1", "g_2")).assumption
    timed = named("f_1", "f_2")
    timed.pictures = [replace(picture, time_s=float(place)) for place, picture in enumerate(timed.pictures)]
    assert "With the time" not in group_recordings(timed).assumption


def test_the_user_says_it() -> None:
    assert recordings("a_1.jpg", "a_2.jpg", independent=True) == ["a_1.jpg", "a_2.jpg"]
    assert recordings("drive7-x1", "drive7-x2", "drive8-x1", pattern="^(drive[0-9]+)") == ["drive7", "drive7", "drive8"]
    with pytest.raises(FormatError, match="finds nothing in its name 'b'"):
        recordings("drive7-x1", "b", pattern="^(drive[0-9]+)")
    with pytest.raises(FormatError, match="no regular expression"):
        recordings("a", "b", pattern="(")
    with pytest.raises(FormatError, match="one of the two options"):
        recordings("a", "b", pattern="a", independent=True)


def test_images_without_names_tell_nothing() -> None:
    assert group_recordings(named(*[""] * 3)).assumption == INDEPENDENT
    assert recordings("f_1", "f_2", "", "") == ["f", "f", "2", "3"]


def coco(names: list[str | None], **more: Any) -> dict[str, Any]:
    """One pedestrian in each image; names of files where they are not None."""
    images = [
        {"id": place + 1, "width": 640, "height": 480} | ({"file_name": name} if name else {})
        for place, name in enumerate(names)
    ]
    boxes = [
        {"id": place + 1, "image_id": place + 1, "category_id": 1, "bbox": [10 * place, 10, 40, 80]}
        for place in range(len(names))
    ]
    return {"images": images, "categories": [{"id": 1, "name": "pedestrian"}], "annotations": boxes} | more


def test_track_ids_and_sources_tell_a_video(put: Put) -> None:
    document = coco(["ab.jpg", "xy.jpg"])
    assert read_truth(put("none.json", document)).assumption == INDEPENDENT
    for box in document["annotations"]:
        box["attributes"] = {"track_id": 7}
    tracked = read_truth(put("tracked.json", document))
    assert len(tracked.sequences) == 1 and "track ids" in tracked.assumption
    assert [row.track for row in tracked.boxes.rows()] == [7, 7]
    sourced = coco(["ab.jpg", "xy.jpg", "cd.jpg"])
    for image, video in zip(sourced["images"], "ppq", strict=True):
        image["video_name"] = video
    assert read_truth(put("sourced.json", sourced)).sequences == ["p", "q"]


def test_what_a_file_declares_holds(put: Put) -> None:
    document = coco(["f_1.jpg", "f_2.jpg"], videos=[{"id": 1, "name": "A"}, {"id": 2, "name": "B"}])
    for image in document["images"]:
        image["video_id"] = image["id"]
    truth = read_truth(put("truth.json", document))
    assert truth.sequences == ["A", "B"] and truth.assumption == ""


def test_a_folder_of_yolo_or_kitti_is_a_recording(put: Put, tmp_path: Path) -> None:
    for place in range(3):
        put(f"yolo/{place:06d}.txt", "0 0.5 0.5 0.2 0.4")
        put(f"kitti/{place:06d}.txt", "Pedestrian 0 0 -1.5 10 10 50 90 1.7 0.6 0.8 1 1 10 0")
    for kind in ("yolo", "kitti"):
        assert len(read_truth(tmp_path / kind).sequences) == 1
        assert len(read_truth(tmp_path / kind, independent_images=True).sequences) == 3


def whole(names: list[str], category: str = "pedestrian", **ids: int) -> dict[str, Any]:
    """Detections as a whole COCO file with ids of its own."""
    start = ids.get("start", 100)
    return {
        "images": [{"id": start - place, "file_name": name} for place, name in enumerate(names)],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": category}],
        "annotations": [
            {"image_id": start - place, "category_id": 2, "bbox": [10 * place, 10, 40, 80], "score": 0.9}
            for place in range(len(names))
        ],
    }


class TestCocoResults:
    NAMES: tuple[str, ...] = ("x/aa.jpg", "x/bb.jpg", "x/cc.jpg")

    def test_names_of_images_and_categories_come_before_ids(self, put: Put) -> None:
        truth = read_truth(put("truth.json", coco(list(self.NAMES))))
        found = read_predictions(put("found.json", whole(["aa.png", "bb.png", "cc.png"], "Pedestrian")), truth)
        assert list(found.picture) == [0, 1, 2] and list(found.label) == [0, 0, 0] and not found.notes

    def test_a_class_of_another_name_is_refused(self, put: Put) -> None:
        truth = read_truth(put("truth.json", coco(list(self.NAMES))))
        with pytest.raises(FormatError, match=r"results\[0\]: unknown class 'truck'"):
            read_predictions(put("found.json", whole(["aa.jpg", "bb.jpg", "cc.jpg"], "truck")), truth)

    def test_an_image_of_another_name_is_refused(self, put: Put) -> None:
        truth = read_truth(put("truth.json", coco(list(self.NAMES))))
        with pytest.raises(FormatError, match="about image 98, which the truth does not have"):
            read_predictions(put("found.json", whole(["aa.jpg", "bb.jpg", "zz.jpg"])), truth)

    def test_without_names_ids_join_and_it_is_said(self, put: Put) -> None:
        truth = read_truth(put("truth.json", coco([None, None, None])))
        found = read_predictions(put("found.json", whole(["7.jpg", "8.jpg", "9.jpg"], start=3)), truth)
        assert list(found.picture) == [2, 1, 0]
        assert found.notes == ["The truth does not name the images: they were joined by id."]

    def rows(self, *ids: int | str) -> list[dict[str, Any]]:
        return [{"image_id": one, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5} for one in ids]

    def test_numbers_of_files_as_ids(self, put: Put) -> None:
        """Files 0 to 3 with ids 1 to 4: what a detector calls image 0 is the first file."""
        truth = read_truth(put("truth.json", coco([f"{place:06d}.jpg" for place in range(4)])))
        by_stem = read_predictions(put("stems.json", self.rows(0, 1, 3)), truth)
        assert list(by_stem.picture) == [0, 1, 3] and "numbers of the truth's files" in by_stem.notes[0]
        assert list(read_predictions(put("ids.json", self.rows(4, 1)), truth).picture) == [3, 0]
        with pytest.raises(FormatError, match="fit the truth's ids as well as the numbers of its files"):
            read_predictions(put("both.json", self.rows(1, 2, 3)), truth)
        names = read_predictions(put("names.json", self.rows("000001", "000002")), truth)
        assert list(names.picture) == [1, 2]


def test_classes_that_differ_in_case_are_one(put: Put) -> None:
    document = coco(["a", "b"]) | {"categories": [{"id": 1, "name": "Pedestrian"}, {"id": 2, "name": "pedestrian"}]}
    document["annotations"][1]["category_id"] = 2
    truth = read_truth(put("truth.json", document))
    assert truth.labels == ["Pedestrian"] and list(truth.boxes.label) == [0, 0]
    assert truth.notes == ["Pedestrian and pedestrian are taken as one class."]


def test_yolo_detections_by_the_names_of_their_own_classes(put: Put, tmp_path: Path) -> None:
    put("truth/labels/a.txt", "1 0.5 0.5 0.2 0.4")
    put("truth/classes.txt", "car\npedestrian\n")
    put("found/labels/a.txt", "0 0.5 0.5 0.2 0.4 0.9")
    put("found/data.yaml", "names: [pedestrian, truck]")
    truth = read_truth(tmp_path / "truth" / "labels")
    assert list(read_predictions(tmp_path / "found" / "labels", truth).label) == [1]
    (tmp_path / "found" / "data.yaml").unlink()
    unnamed = read_predictions(tmp_path / "found" / "labels", truth)
    assert list(unnamed.label) == [0] and "do not name their classes" in unnamed.notes[0]


class TestMot:
    def test_labels_beside_the_truth_name_its_classes(self, put: Put) -> None:
        put("S/gt/labels.txt", "car\npedestrian\n")
        truth = read_truth(put("S/gt/gt.txt", "1,1,2,3,4,5,1,2,1.0\n1,2,20,3,4,5,1,1,1.0\n").parents[1])
        assert [truth.labels[row.label] for row in truth.boxes.rows()] == ["pedestrian", "car"]
        found = read_predictions(put("t.txt", "1,1,2,3,4,5,0.9,-1,-1,-1\n"), truth)
        assert truth.labels[found.label[0]] == "pedestrian"
        assert found.notes == ["The detections name no class: all are taken to be pedestrians."]
        classed = read_predictions(put("c.txt", "1,1,2,3,4,5,0.9,1,1.0\n"), truth)
        assert truth.labels[classed.label[0]] == "car"
        assert "do not name their classes" in classed.notes[0]

    def test_labels_beside_the_detections_name_theirs(self, put: Put) -> None:
        put("S/gt/labels.txt", "car\npedestrian\n")
        truth = read_truth(put("S/gt/gt.txt", "1,1,2,3,4,5,1,2,1.0\n").parents[1])
        put("found/labels.txt", "pedestrian\ntram\n")
        found = read_predictions(put("found/S.txt", "1,1,2,3,4,5,0.9,1,1.0\n").parent, truth)
        assert truth.labels[found.label[0]] == "pedestrian" and not found.notes
        with pytest.raises(FormatError, match="unknown class 'tram'"):
            read_predictions(put("found/S.txt", "1,1,2,3,4,5,0.9,2,1.0\n").parent, truth)
        with pytest.raises(FormatError, match=r"unknown class 3. labels.txt has 1 to 2"):
            read_predictions(put("found/S.txt", "1,1,2,3,4,5,0.9,3,1.0\n").parent, truth)

    def test_frames_from_0_and_from_1(self, put: Put) -> None:
        one = read_truth(put("A/gt/gt.txt", "1,1,2,3,4,5,1\n2,1,2,3,4,5,1\n3,1,2,3,4,5,1\n").parents[1])
        moved = read_predictions(put("zero.txt", "0,1,2,3,4,5,0.9\n2,1,2,3,4,5,0.9\n"), one)
        assert list(moved.picture) == [0, 2] and "counts its frames from 0" in moved.notes[0]
        zero = read_truth(put("B/gt/gt.txt", "0,1,2,3,4,5,1\n1,1,2,3,4,5,1\n").parents[1])
        assert len(zero.pictures) == 2 and "counts its frames from 0" in zero.notes[0]
        last = read_predictions(put("one.txt", "1,1,2,3,4,5,0.9\n2,1,2,3,4,5,0.9\n"), zero)
        assert list(last.picture) == [0, 1] and "counts its frames from 1" in last.notes[0]
        same = read_predictions(put("same.txt", "0,1,2,3,4,5,0.9\n1,1,2,3,4,5,0.9\n"), zero)
        assert list(same.picture) == [0, 1] and not same.notes

    def test_no_confidence_is_said(self, put: Put) -> None:
        truth = read_truth(put("S/gt/gt.txt", "1,1,2,3,4,5,1\n").parents[1])
        found = read_predictions(put("det.txt", "1 -1 2 3 4 5 -1 -1 -1 -1\n"), truth)
        assert list(found.score) == [1.0] and "no confidence" in found.notes[0]


def test_person_is_not_guessed_to_be_sitting(put: Put) -> None:
    row = "{} 0 0 -1.5 10 10 50 90 1.7 0.6 0.8 1 1 10 0"
    with pytest.raises(FormatError, match="is it a Pedestrian, or a Person_sitting"):
        read_truth(put("a.txt", row.format("person")))
    tracking = read_truth(put("b.txt", f"0 1 {row.format('Person')}"))
    assert tracking.labels[tracking.boxes.label[0]] == "Person_sitting"


def test_detections_of_which_some_have_no_confidence_are_refused(put: Put) -> None:
    truth = read_truth(put("truth.json", coco(["a.jpg", "b.jpg"])))
    rows = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": score} for score in (0.5, -1)]
    with pytest.raises(FormatError, match=r"1 of 2 detections have no confidence \(-1\), the first at results\[1\]"):
        read_predictions(put("some.json", rows), truth)
    # Scores that are no shares.
    rows[0]["score"] = 7.5
    assert list(read_predictions(put("raw.json", rows), truth).score) == [7.5, -1]


def test_recordings_in_which_nothing_was_found_are_named(put: Put) -> None:
    truth = read_truth(put("truth.json", coco(["a_1.jpg", "a_2.jpg", "b_1.jpg", "b_2.jpg"])))
    rows = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}]
    assert read_predictions(put("p.json", rows), truth).notes == ["Nothing was found in 1 of 2 recordings: b."]
