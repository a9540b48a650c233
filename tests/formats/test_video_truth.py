"""COCO and CVAT files about one video: what they say, and what they must not say."""

import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vru.domain import VruClass, VruError
from vru.formats import FormatError, Timeline, read_video_truth, video_truth
from vru.formats.coco import read_coco
from vru.formats.cvat import read_cvat

TIMELINE = Timeline(64, 48, [index / 10 for index in range(20)])


def parse_coco(data, timeline, source="manual"):
    return video_truth(read_coco(io.BytesIO(data)), timeline, source)


def parse_cvat(data, timeline):
    return video_truth(read_cvat(io.BytesIO(data)), timeline)


def read_ground_truth(data, timeline):
    return read_video_truth(io.BytesIO(data), timeline)


def cvat(body="", *, size=20, width=64, height=48, extra="", root="annotations"):
    return f"""<?xml version="1.0" encoding="utf-8"?>
<{root}>
  <version>1.1</version>
  <meta><task><size>{size}</size><start_frame>0</start_frame><stop_frame>{size - 1}</stop_frame>{extra}
    <original_size><width>{width}</width><height>{height}</height></original_size></task></meta>
{body}
</{root}>""".encode()


def box(frame, *, outside=0, occluded=0, xtl=1.0, ytl=2.0, xbr=11.0, ybr=22.0, attributes="", more=""):
    return (
        f'<box frame="{frame}" outside="{outside}" occluded="{occluded}" keyframe="1" '
        f'xtl="{xtl}" ytl="{ytl}" xbr="{xbr}" ybr="{ybr}" z_order="0" {more}>{attributes}</box>\n'
    )


def track(*boxes, track_id=0, label="pedestrian"):
    return f'<track id="{track_id}" label="{label}" source="manual">\n{"".join(boxes)}</track>\n'


class TestTheRealFiles:
    def test_both_formats_say_the_same(self, real_data):
        with (real_data / "gt.mot.txt").open() as lines:
            mot = {
                (int(track_id), int(frame) - 1): (*map(float, (x, y, width, height)), flag == "0")
                for frame, track_id, x, y, width, height, flag, *_ in (line.strip().split(",") for line in lines)
            }
        timeline = Timeline(768, 432, [index / 10 for index in range(1394)])
        truths = []
        for name, expected in (("annotations.coco.json", "coco"), ("annotations.cvat.xml", "cvat")):
            format_, truth = read_ground_truth((real_data / name).read_bytes(), timeline)
            assert format_ == expected
            truths.append(truth)
            found = {
                (track.track_id, item.frame_index): (*item.box.as_tuple(), item.ignore) for track, item in truth.boxes()
            }
            assert found == mot
            assert len(found) == 1097
            assert [len(track.boxes) for track in truth.tracks] == [140, 223, 199, 126, 281, 128]
            assert all(item.time_s == item.frame_index / 10 for _, item in truth.boxes())
        assert truths[0] == truths[1]

    def test_another_video_s_times_are_refused(self, real_data):
        times = [index / 10 for index in range(1394)]
        times[700] += 0.02
        with pytest.raises(FormatError, match=r"Image 701 says that frame 700 is at 70\.0.*video has it at 70\.02"):
            parse_coco((real_data / "annotations.coco.json").read_bytes(), Timeline(768, 432, times))


class TestCoco:
    def test_boxes_flags_and_classes(self, coco):
        truth = parse_coco(coco(), TIMELINE, "model:yolo")
        assert (truth.width, truth.height, truth.frame_count, truth.source) == (64, 48, 20, "model:yolo")
        assert [(item.track_id, item.road_user) for item in truth.tracks] == [
            (1, VruClass.PEDESTRIAN),
            (2, VruClass.CYCLIST),
        ]
        boxes = truth.tracks[0].boxes
        assert [item.frame_index for item in boxes] == [2, 3, 4, 5]
        assert [(item.occluded, item.truncated, item.ignore) for item in boxes] == [
            (True, False, False),
            (False, True, False),
            (False, False, True),
            (False, False, False),
        ]
        assert boxes[0].box.as_tuple() == (4.5, 8, 8, 16)
        assert boxes[0].time_s == 0.2

    def test_times_are_the_video_s_not_the_file_s(self, coco):
        exact = [index / 10 + 0.0004 for index in range(20)]
        truth = parse_coco(coco(), Timeline(64, 48, exact))
        assert truth.tracks[0].boxes[0].time_s == exact[2]

    def test_a_video_without_anybody_is_truth_too(self, coco):
        assert parse_coco(coco(change=lambda file: file["annotations"].clear()), TIMELINE).tracks == ()

    def test_crowd_counts_as_ignore(self, coco):
        truth = parse_coco(coco(change=lambda file: file["annotations"][0].update(iscrowd=1)), TIMELINE)
        assert truth.tracks[0].boxes[0].ignore

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda f: f["videos"][0].update(width=65), "Video 1 of the file is 65x48 pixels, but the video is 64x48"),
            (lambda f: f["videos"][0].update(frame_count=21), "has 21 frames, but the video has 20"),
            (lambda f: f["videos"].append({"id": 2}), "about 2 videos"),
            (lambda f: f["images"][3].update(height=47), "Image 103 is 64x47 pixels"),
            (lambda f: f["images"][3].update(timestamp_s=0.4), "Image 103 says that frame 3 is at 0.4"),
            (lambda f: f["images"][3].update(frame_index=20), "Image 103 is about frame 20.*frames are 0 to 19"),
            (lambda f: f["images"][3].update(frame_index=-1), "Image 103 is about frame -1"),
            (lambda f: f["images"][3].update(frame_index=4, timestamp_s=0.4), r"frame 4\) is in the file twice"),
            (lambda f: f["images"][3].pop("frame_index"), "Image 103 has no frame_index"),
            (lambda f: f["images"][3].update(frame_index="x"), r"images\[3\]\.frame_index"),
            (lambda f: f["images"].pop(), "lists 19 frames, but the video has 20"),
            (lambda f: f["annotations"][0].update(bbox=[60, 8, 8, 16]), "Annotation 1021 reaches outside of the frame"),
            (lambda f: f["annotations"][0].update(bbox=[-1, 8, 8, 16]), "Annotation 1021 reaches outside of the frame"),
            (lambda f: f["annotations"][0].update(bbox=[1, 8, 0, 16]), "Annotation 1021: .*no area"),
            (lambda f: f["annotations"][0].update(bbox=[1, 8, 8]), r"annotations\[0\]\.bbox"),
            (lambda f: f["annotations"][0].update(bbox=[1, math.nan, 8, 8]), r"annotations\[0\]\.bbox\[1\].*finite"),
            (lambda f: f["annotations"][0].update(bbox=[1, math.inf, 8, 8]), r"annotations\[0\]\.bbox\[1\].*finite"),
            (
                lambda f: f["annotations"][2].update(image_id=102),
                "Annotation 1031 is the second box of track 1 in frame 2",
            ),
            (lambda f: f["annotations"][0].update(image_id=7), "Annotation 1021 is in image 7, which is not"),
            (lambda f: f["annotations"][0].update(category_id=9), "Annotation 1021 is of category 9, which is not"),
            (
                lambda f: f["annotations"][2].update(category_id=2),
                "makes track 1 a cyclist.*before it was a pedestrian",
            ),
            (lambda f: f["annotations"][0].pop("track_id"), "Annotation 1021 has no track_id"),
            (lambda f: f["annotations"][0].update(track_id=-5), "Annotation 1021 has track id -5"),
            (lambda f: f["annotations"][0].update(track_id=2**40), "Annotation 1021 has track id"),
            (lambda f: f["categories"][0].update(name="tree"), "Annotation 1021: Unknown class 'tree'.*pedestrian"),
            (lambda f: f.pop("images"), "no COCO file: images: Field required"),
            (lambda f: f.update(annotations={}), "no COCO file: annotations"),
        ],
    )
    def test_what_is_wrong_is_named(self, coco, change, message):
        with pytest.raises(FormatError, match=message) as caught:
            parse_coco(coco(change=change), TIMELINE)
        assert caught.value.fix

    def test_rounding_at_the_edge_is_no_error(self, coco):
        truth = parse_coco(coco(change=lambda f: f["annotations"][0].update(bbox=[56.004, 8, 8, 16])), TIMELINE)
        assert truth.tracks[0].boxes[0].box.x == 56.004  # as given, not moved

    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_any_bytes_give_an_answer_or_a_clear_error(self, data):
        for content in (data, b"{" + data, b"<" + data):
            try:
                read_ground_truth(content, TIMELINE)
            except VruError as error:
                assert error.fix

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "x", "bbox"]), inner),
            max_leaves=20,
        ),
        st.sampled_from(["videos", "categories", "images", "annotations"]),
    )
    def test_any_json_in_any_place_gives_an_answer_or_a_clear_error(self, value, place):
        file = {"videos": [], "categories": [], "images": [], "annotations": [], place: value}
        try:
            parse_coco(json.dumps(file).encode(), TIMELINE)
        except VruError as error:
            assert error.fix


class TestCvat:
    def test_boxes_flags_and_outside(self):
        attributes = '<attribute name="truncated">true</attribute><attribute name="ignore">True</attribute>'
        truth = parse_cvat(
            cvat(
                track(box(3), box(4, occluded=1, attributes=attributes), box(5, outside=1), box(9), track_id=7)
                + track(box(0), label="cyclist", track_id=8)
            ),
            TIMELINE,
        )
        first, second = truth.tracks
        assert (first.track_id, first.road_user, second.road_user) == (7, VruClass.PEDESTRIAN, VruClass.CYCLIST)
        assert [item.frame_index for item in first.boxes] == [3, 4, 9]
        assert first.boxes[0].box.as_tuple() == (1, 2, 10, 20)
        assert first.boxes[1].occluded and first.boxes[1].truncated and first.boxes[1].ignore
        assert not (first.boxes[0].occluded or first.boxes[0].truncated or first.boxes[0].ignore)
        assert first.boxes[2].time_s == 0.9

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (cvat(track(box(1)), size=21), "has 21 frames, but the video has 20"),
            (cvat(track(box(1)), width=65), "is 65x48 pixels, but the video is 64x48"),
            (cvat(track(box(1)), extra="<frame_filter>step=2</frame_filter>"), "filter: step=2"),
            (cvat(track(box(1), box(1))), r"Line 8 \(track 0\) is the second box of track 0 in frame 1"),
            (cvat(track(box(1), box(4))), r"Line 8 .*frames 2 to 3 have neither a box nor an outside mark"),
            (cvat(track(box(20))), r"Line 7 \(track 0\) is about frame 20"),
            (cvat(track(box(1, outside=1), box(25, outside=1))), "is about frame 25"),
            (cvat(track(box(1, xbr=65))), r"Line 7 \(track 0\) reaches outside of the frame"),
            (cvat(track(box(1, xbr=1))), r"Line 7 .*no area"),
            (cvat(track(box(1, xbr="nan"))), r"Line 7 .*not a finite number"),
            (cvat(track(box(1, xbr="wide"))), r"Line 7 .*xbr is 'wide', not a number"),
            (cvat(track(box("x"))), r"Line 7: frame is 'x', not a whole number"),
            (cvat(track(box(1, occluded="maybe"))), r"occluded is 'maybe'"),
            (cvat(track(box(1, more='rotation="15.0"'))), "is rotated"),
            (cvat(track(box(1)) + track(box(1))), "track 0 is in the file twice"),
            (cvat(track(box(1), label="tree")), "Unknown class 'tree'"),
            (
                cvat('<track id="1" label="pedestrian"><polygon frame="0" points="1,2;3,4"/></track>'),
                "<polygon> is not read",
            ),
            (cvat('<image id="0" name="a.jpg" width="64" height="48"/>'), "CVAT file for images"),
            (cvat(), "has no track"),
            (b"<annotations><track id='1' label='pedestrian'/></annotations>", "before <meta>"),
            (b"<annotations></annotations>", "has no <meta>"),
            (b"<annotations><meta><task><size>20</size></task></meta></annotations>", "no <original_size/width>"),
            (b"<html></html>", "root is <html>"),
            (b"<annotations>", "XML is broken"),
            (b"<annotations", "XML is broken"),
        ],
    )
    def test_what_is_wrong_is_named(self, data, message):
        with pytest.raises(FormatError, match=message) as caught:
            parse_cvat(data, TIMELINE)
        assert caught.value.fix

    def test_entities_are_refused(self):
        bomb = (
            b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
            b"<annotations>&b;</annotations>"
        )
        with pytest.raises(FormatError, match="DTD"):
            parse_cvat(bomb, TIMELINE)

    def test_a_rotation_of_zero_is_none(self):
        assert parse_cvat(cvat(track(box(1, more='rotation="0.0"'))), TIMELINE).tracks

    def test_a_job_s_export_is_read_too(self):
        data = cvat(track(box(1))).replace(b"task>", b"job>")
        assert len(parse_cvat(data, TIMELINE).tracks) == 1


def test_format_is_detected(coco):
    assert read_ground_truth(b"\xef\xbb\xbf  " + coco(), TIMELINE)[0] == "coco"
    assert read_ground_truth(b"\n" + cvat(track(box(1)))[39:], TIMELINE)[0] == "cvat"
    for data in (b"", b"frame,x,y", b"[1]", b"\x00\x01"):
        with pytest.raises(FormatError, match="neither COCO JSON nor CVAT XML"):
            read_ground_truth(data, TIMELINE)
