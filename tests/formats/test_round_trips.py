"""What is written is read back the same, track ids above all."""

import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vru.formats import (
    Annotations,
    Boxes,
    BoxRow,
    FormatError,
    Picture,
    write_coco,
    write_cvat,
    write_kitti_tracking,
    write_mot,
)
from vru.formats.coco import read_coco
from vru.formats.cvat import read_cvat
from vru.formats.kitti import TextFile, read_kitti_tracking
from vru.formats.mot import MotSequence, read_mot

WIDTH, HEIGHT, FRAMES = 200, 100, 12


@st.composite
def videos(draw: st.DrawFn) -> Annotations:
    """One video with tracks of pedestrians and cars."""
    boxes = Boxes(lambda boxes, position: f"box {position}")
    for track in draw(st.sets(st.integers(0, 10_000), max_size=4)):
        label = draw(st.integers(0, 1))
        for frame in sorted(draw(st.sets(st.integers(0, FRAMES - 1), min_size=1, max_size=5))):
            row = BoxRow(
                frame, label,
                draw(st.integers(0, 150)) / 2, draw(st.integers(0, 100)) / 4, draw(st.integers(1, 100)) / 2,
                draw(st.integers(1, 100)) / 4, track,
                occluded=draw(st.booleans()), truncated=draw(st.booleans()), ignore=draw(st.booleans()),
            )  # fmt: skip
            boxes.add(row, frame)
    pictures = [Picture(frame, f"frame {frame}", 0, frame, frame / 10, WIDTH, HEIGHT) for frame in range(FRAMES)]
    return Annotations("coco", ["pedestrian", "car"], {}, pictures, ["a video"], boxes)


def essence(annotations: Annotations, *fields: str) -> list[tuple]:
    """Frame, track, class and box of each box, and the named fields; in order of track and frame."""
    return sorted(
        (
            annotations.pictures[row.picture].frame_index, row.track, annotations.labels[row.label].lower(),
            *(round(value, 9) for value in (row.x, row.y, row.width, row.height)),
            *(getattr(row, field) for field in fields),
        )
        for row in annotations.boxes.rows()
    )  # fmt: skip


def written(write, annotations: Annotations) -> bytes:
    out = io.StringIO()
    write(annotations, out)
    return out.getvalue().encode()


@given(videos())
def test_coco(video: Annotations) -> None:
    again = read_coco(io.BytesIO(written(write_coco, video)))
    assert essence(again, "occluded", "truncated", "ignore") == essence(video, "occluded", "truncated", "ignore")
    assert [picture.time_s for picture in again.pictures] == [picture.time_s for picture in video.pictures]
    assert again.sequences == video.sequences


@given(videos())
def test_cvat(video: Annotations) -> None:
    data = written(write_cvat, video)
    if not len(video.boxes):
        with pytest.raises(FormatError, match="no track"):
            read_cvat(io.BytesIO(data))
        return
    again = read_cvat(io.BytesIO(data))
    assert essence(again, "occluded", "truncated", "ignore") == essence(video, "occluded", "truncated", "ignore")
    assert len(again.pictures) == FRAMES


@given(videos())
def test_mot(video: Annotations) -> None:
    data = written(write_mot, video)
    if not data:
        return
    again = read_mot([MotSequence("a video", io.BytesIO(data), frames=FRAMES)])
    assert essence(again, "ignore") == essence(video, "ignore")


@given(videos())
def test_kitti_tracking(video: Annotations) -> None:
    again = read_kitti_tracking([TextFile("0000", io.BytesIO(written(write_kitti_tracking, video)))], frames=FRAMES)
    # What does not count becomes a region there.
    counted = [row for row in essence(video, "ignore", "occluded", "truncated") if not row[7]]
    assert [row for row in essence(again, "crowd", "occluded", "truncated") if not row[7]] == counted
    assert len(again.boxes) == len(video.boxes)


@given(videos())
def test_a_chain_of_formats_keeps_the_tracks(video: Annotations) -> None:
    if not len(video.boxes):
        return
    chained = read_cvat(io.BytesIO(written(write_cvat, video)))
    chained = read_coco(io.BytesIO(written(write_coco, chained)))
    chained = read_mot([MotSequence("", io.BytesIO(written(write_mot, chained)), frames=FRAMES)])
    assert essence(chained) == essence(video)


def test_shares_of_occlusion_survive() -> None:
    boxes = Boxes(lambda boxes, position: "")
    boxes.add(BoxRow(0, 0, 1, 2, 3, 4, 5, occlusion=0.25, truncation=0.5), 0)
    boxes.add(BoxRow(0, 0, 1, 2, 3, 4, 6), 0)
    video = Annotations("coco", ["pedestrian"], {}, [Picture(1, "", 0, 0)], [""], boxes)
    first, second = read_coco(io.BytesIO(written(write_coco, video))).boxes.rows()
    assert (first.occlusion, first.truncation) == (0.25, 0.5)
    assert math.isnan(second.occlusion) and math.isnan(second.truncation)
    first, second = read_mot([MotSequence("", io.BytesIO(written(write_mot, video)))]).boxes.rows()
    assert first.occlusion == 0.25 and math.isnan(second.occlusion)


@pytest.mark.parametrize("write", [write_mot, write_kitti_tracking, write_cvat])
def test_boxes_without_a_track_are_not_written_as_tracks(write) -> None:
    boxes = Boxes(lambda boxes, position: "box 0")
    boxes.add(BoxRow(0, 0, 1, 2, 3, 4), 0)
    video = Annotations("coco", ["pedestrian"], {}, [Picture(1, "", 0, 0)], [""], boxes)
    with pytest.raises(FormatError, match="box 0 has no track"):
        written(write, video)


def test_distance_attributes_and_source_survive() -> None:
    boxes = Boxes(lambda boxes, position: "")
    boxes.add(BoxRow(0, 0, 1, 2, 3, 4, 5, distance=12.5), 0)
    boxes.add(BoxRow(0, 0, 1, 2, 3, 4, 6), 0)
    pictures = [Picture(1, "", 0, 0, attributes={"light": "night"}), Picture(2, "", 0, 1)]
    for approved_by in ("someone@example.org", "", None):
        video = Annotations("coco", ["cyclist"], {}, pictures, [""], boxes, source="model:a", approved_by=approved_by)
        again = read_coco(io.BytesIO(written(write_coco, video)))
        first, second = again.boxes.rows()
        assert first.distance == 12.5 and math.isnan(second.distance)
        assert [picture.attributes for picture in again.pictures] == [{"light": "night"}, {}]
        assert (again.source, again.approved_by) == ("model:a", approved_by)


def test_the_distance_of_a_kitti_label_is_its_z() -> None:
    label = "Pedestrian 0.00 0 -10 10 10 30 70 1.8 0.6 0.8 2.1 1.6 {} -10"
    text = "\n".join(f"{number} 1 " + label.format(z) for number, z in enumerate(("23.5", "-1000")))
    first, second = read_kitti_tracking([TextFile("0000", io.BytesIO(text.encode()))]).boxes.rows()
    assert first.distance == 23.5 and math.isnan(second.distance)
