"""CVAT's files as its tasks, jobs and projects export them."""

from pathlib import Path

import pytest

from vru.formats import FormatError, read_predictions, read_truth
from vru.formats.cvat import read_cvat

HERE = Path(__file__).parent / "examples"


def boxes(truth) -> dict[tuple[int | None, int], tuple[float, float]]:
    return {
        (row.track, truth.pictures[row.picture].frame_index): (row.x, row.width) for row in truth.boxes.rows()
    }  # fmt: skip


def test_key_frames_only_are_interpolated_as_cvat_does() -> None:
    truth = read_truth(HERE / "cvat-keyframes/annotations.xml")
    assert boxes(truth) == {
        (0, 0): (10, 30), (0, 1): (15, 30), (0, 2): (20, 30), (0, 3): (20, 30),
        **{(1, frame): (100, 30) for frame in range(1, 6)},
    }  # fmt: skip
    assert truth.notes == ["The file has key frames only: 6 boxes between them were interpolated, as CVAT does."]


def test_a_gap_among_interpolated_boxes_is_refused(tmp_path: Path) -> None:
    text = (HERE / "cvat-keyframes/annotations.xml").read_text().replace('keyframe="1"', 'keyframe="0"', 1)
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(
        FormatError, match=r"Line 9 \(track 0\): frame 1 has neither a box nor an outside mark, but other"
    ):
        read_truth(tmp_path / "x.xml")


def test_a_task_about_a_part_keeps_the_video_s_frame_numbers(tmp_path: Path) -> None:
    truth = read_truth(HERE / "cvat-part/annotations.xml")
    assert [picture.frame_index for picture in truth.pictures] == [100, 102, 104]
    assert boxes(truth)[0, 104] == (pytest.approx(-1), pytest.approx(60))
    assert "frames 100 to 104 of a longer video, in steps of 2" in truth.notes[0]
    assert "1 boxes are rotated" in truth.notes[1]
    (tmp_path / "found.json").write_text(
        '[{"image_id": 102, "category_id": "person", "bbox": [12,20,30,60], "score": 1}]'
    )
    assert read_predictions(tmp_path / "found.json", truth).picture[0] == 1


def test_a_frame_that_the_filter_skips_is_refused(tmp_path: Path) -> None:
    text = (HERE / "cvat-part/annotations.xml").read_text().replace('frame="102"', 'frame="101"')
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(FormatError, match="about frame 101, but the video's frames are 100 to 104, each 2"):
        read_truth(tmp_path / "x.xml")


def test_images_of_a_project_s_tasks_are_different_ones() -> None:
    truth = read_truth(HERE / "cvat-project-images/annotations.xml")
    assert [picture.key for picture in truth.pictures] == ["7/0", "8/0"]


def test_a_job_has_the_size_of_its_frames_beside_it() -> None:
    truth = read_truth(HERE / "cvat-job/annotations.xml")
    assert [picture.frame_index for picture in truth.pictures] == [10, 11, 12]
    assert {(picture.width, picture.height) for picture in truth.pictures} == {(200, 100)}


def test_the_tasks_of_a_project_are_recordings_whose_frames_count_from_their_own_first() -> None:
    truth = read_truth(HERE / "cvat-project/annotations.xml")
    assert truth.sequences == ["day", "night"] and truth.declared and truth.labels == ["person"]
    frames = [(picture.sequence, picture.frame_index) for picture in truth.pictures]
    assert frames == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2)]
    assert [frames[row.picture] for row in truth.boxes.rows()] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('task_id="8"', 'task_id="9"', "of no task"),
        ('frame="4"', 'frame="3"', "about frame 3, but the video's frames are 4 to 6"),
        ("<size>3</size>", "", "has no <size>"),
        (
            "<subset>default</subset><start_frame>0</start_frame><stop_frame>2",
            "<subset>b</subset><stop_frame>2",
            "frame 4",
        ),
    ],
)
def test_a_project_that_contradicts_itself_is_refused(before: str, after: str, message: str, tmp_path: Path) -> None:
    text = (HERE / "cvat-project/annotations.xml").read_text()
    assert before in text
    (tmp_path / "x.xml").write_text(text.replace(before, after, 1))
    with pytest.raises(FormatError, match=message):
        read_truth(tmp_path / "x.xml")


def test_frames_count_anew_in_each_subset_of_a_project(tmp_path: Path) -> None:
    text = (HERE / "cvat-project/annotations.xml").read_text()
    first, _, second = text.rpartition("<subset>default</subset>")
    for frame in (4, 5, 6):
        second = second.replace(f'frame="{frame}"', f'frame="{frame - 4}"')
    (tmp_path / "x.xml").write_text(f"{first}<subset>test</subset>{second}")
    truth = read_truth(tmp_path / "x.xml")
    assert [truth.pictures[row.picture].key for row in truth.boxes.rows()][3:] == ["night/0", "night/1", "night/2"]


def test_deleted_frames_are_not_measured() -> None:
    truth = read_truth(HERE / "cvat-deleted/annotations.xml")
    assert [picture.frame_index for picture in truth.pictures] == [0, 1, 3, 4]
    assert [truth.pictures[row.picture].frame_index for row in truth.boxes.rows()] == [0, 1, 3, 4, 1, 3]
    assert any("Frames that no track has" in note and "not measured: 2." in note for note in truth.notes)


@pytest.mark.parametrize("name", ["cvat-project", "cvat-deleted", "cvat-frames"])
def test_the_gateway_s_reader_takes_whole_videos_only(name: str) -> None:
    with (HERE / name / "annotations.xml").open("rb") as stream, pytest.raises(FormatError):
        read_cvat(stream)


def test_frames_that_were_uploaded_as_images_have_no_size() -> None:
    truth = read_truth(HERE / "cvat-frames/annotations.xml")
    assert truth.pictures[0].width is None and any("size of the frames" in note for note in truth.notes)


def test_detections_in_deleted_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    truth = read_truth(HERE / "cvat-deleted/annotations.xml")
    (tmp_path / "t.txt").write_text("".join(f"{frame},1,10,20,30,60,0.9,-1,-1,-1\n" for frame in range(1, 6)))
    found = read_predictions(tmp_path / "t.txt", truth)
    assert [truth.pictures[picture].frame_index for picture in found.picture] == [0, 1, 3, 4]
    assert "1 detections in frames that the truth leaves out" in found.notes[0]
    (tmp_path / "t.txt").write_text("6,1,10,20,30,60,0.9,-1,-1,-1\n")
    with pytest.raises(FormatError, match="about frame 6, but the truth's last frame is 5"):
        read_predictions(tmp_path / "t.txt", truth)
