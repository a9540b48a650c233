"""CVAT's files as its tasks, jobs and projects export them."""

from pathlib import Path

import pytest

from vru.formats import FormatError, read_predictions, read_truth

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
    with pytest.raises(FormatError, match=r"Line 9 \(track 0\): frames 1 to 1 have neither a box"):
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
