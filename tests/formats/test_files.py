"""Files and folders as users have them, and everything that can be wrong with them: refused by name and place."""

import json
import math
from pathlib import Path

import pytest

from vru.formats import FormatError, read_predictions, read_truth
from vru.formats.json_stream import pieces

COCO = {
    "images": [{"id": 1, "width": 100, "height": 50}, {"id": 2, "width": 100, "height": 50}],
    "categories": [{"id": 7, "name": "pedestrian"}],
    "annotations": [{"id": 5, "image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 20], "area": 90, "iscrowd": 0}],
}
RESULT = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 20], "score": 0.5}
KITTI = "Pedestrian 0.10 1 -10 1.0 2.0 11.0 22.0 -1 -1 -1 -1000 -1000 -1000 -10"


@pytest.fixture
def put(tmp_path: Path):
    """``put(name, content)`` writes a file and returns its path; objects are written as JSON."""

    def write(name: str, content: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def truth(put):
    return read_truth(put("truth.json", COCO))


def changed(where: str, **values: object) -> dict:
    document = json.loads(json.dumps(COCO))
    document[where][0] |= values
    return document


class TestRealFiles:
    def test_four_formats_say_the_same(self, real_data: Path) -> None:
        coco = read_truth(real_data / "annotations.coco.json")
        cvat = read_truth(real_data / "annotations.cvat.xml")
        mot = read_truth(real_data / "gt.mot.txt", frames=1394)
        kitti = read_truth(real_data / "labels.kitti", frames=1394)

        def boxes(annotations, *, tracks: bool = True) -> set:
            return {
                (
                    annotations.pictures[row.picture].frame_index, row.track if tracks else None,
                    row.x, row.y, row.width, row.height,
                )
                for row in annotations.boxes.rows()
            }  # fmt: skip

        assert boxes(coco) == boxes(cvat) == boxes(mot)
        assert boxes(kitti, tracks=False) == boxes(coco, tracks=False)
        assert [len(item.pictures) for item in (coco, cvat, mot, kitti)] == [1394] * 4
        assert [item.format for item in (coco, cvat, mot, kitti)] == ["coco", "cvat", "mot", "kitti"]

    def test_real_tracks(self, real_tracks: Path) -> None:
        truth = read_truth(real_tracks)
        assert truth.sequences == ["TUD-Campus", "TUD-Stadtmitte"]
        assert len(truth.pictures) == 71 + 179
        single = read_truth(real_tracks / "TUD-Campus" / "gt.txt")
        assert len(read_predictions(real_tracks / "TUD-Campus" / "test.txt", single)) == 222
        with pytest.raises(
            FormatError, match=r"test\.txt, line \d+ is about frame 72, but the truth's last frame is 71"
        ):
            read_predictions(real_tracks / "TUD-Stadtmitte" / "test.txt", single)


class TestCoco:
    def test_it_is_read(self, truth) -> None:
        row = truth.boxes.row(0)
        assert (row.x, row.y, row.width, row.height, row.area) == (1, 2, 10, 20, 90)
        assert truth.sequences == ["1", "2"]

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            (changed("annotations", bbox=[95, 2, 10, 20]), "Annotation 5 reaches outside of the frame"),
            (changed("annotations", bbox=[1, 2, -10, 20]), "Annotation 5: the box is -10 wide"),
            (changed("annotations", bbox=[1, math.nan, 10, 20]), r"annotations\[0\]\.bbox\[1\] is nan, not a finite"),
            (changed("annotations", bbox=["a", 1, 10, 20]), r"annotations\[0\]\.bbox\[0\] is 'a', not a number"),
            (changed("annotations", image_id=3), "Annotation 5 is in image 3, which is not in the file"),
            (changed("annotations", category_id=3), "Annotation 5 is of category 3, which is not in the file"),
            (changed("annotations", area=-4), r"annotations\[0\]\.area: -4 is below 0"),
            (changed("annotations", occlusion=4), r"occlusion: 4 is no share"),
            (changed("annotations", iscrowd=2), "2 is neither 0 nor 1"),
            (changed("annotations", track_id="x"), r"track_id is 'x', not a whole number"),
            (changed("images", id=2), "Image 2 is in the file twice"),
            (COCO | {"annotations": COCO["annotations"] * 2}, "Annotation 5 is in the file twice"),
            (COCO | {"categories": COCO["categories"] * 2}, "Category 7 is in the file twice"),
            (changed("images", video_id=3) | {"videos": [{"id": 1}, {"id": 2}]}, "Image 1 is of video 3"),
            ({"images": [], "annotations": []}, "categories: Field required"),
            ([RESULT], "a list, not a COCO file"),
            ("{", "it ends too early|a name is missing"),
            ('{"images": [', "Line 1: this is no JSON"),
            ('{"images": [],\n "images": []}', "Line 2: 'images' is in the file twice"),
            ("{}x", "something follows"),
            ('{"a": ' + "[" * 100_000, "nested too deeply|no JSON"),
        ],
    )
    def test_what_is_wrong_is_named(self, put, document, message) -> None:
        with pytest.raises(FormatError, match=message) as caught:
            read_truth(put("truth.json", document))
        assert "truth.json" in caught.value.message

    @pytest.mark.parametrize(
        ("results", "message"),
        [
            ([RESULT, RESULT | {"image_id": 9}], r"results\[1\] is about image 9, which the truth does not have"),
            ([RESULT | {"category_id": 9}], r"results\[0\]: unknown class 9.*truth has: pedestrian"),
            ([RESULT | {"score": math.nan}], r"results\[0\]\.score is nan, not a finite number"),
            ([RESULT | {"bbox": [1, 2, -1, 4]}], r"results\[0\]: the box is -1 wide"),
            ([RESULT | {"bbox": [1, 2, 3]}], "bbox: Input should be a list of four numbers"),
            ([{"image_id": 1}], r"results\[0\] has no category_id"),
            ([RESULT | {"track_id": 1}] * 2, r"results\[1\] is the second box of track 1 of the detections in Image 1"),
            ({"x": 1}, "no list of COCO results"),
            ([3], r"results\[0\] is no object"),
        ],
    )
    def test_wrong_detections_are_named(self, put, truth, results, message) -> None:
        with pytest.raises(FormatError, match=message):
            read_predictions(put("results.json", results), truth)

    def test_no_detections_are_an_answer(self, put, truth) -> None:
        assert len(read_predictions(put("results.json", []), truth)) == 0

    def test_pieces_do_not_depend_on_where_the_reading_is_cut(self, put, monkeypatch) -> None:
        path = put(
            "x.json", json.dumps({"a": [1, 22, {"b": "é\n"}], "c": -12.5, "d": []}, ensure_ascii=False, indent=1)
        )
        with path.open("rb") as stream:
            whole = list(pieces(stream))
        monkeypatch.setattr("vru.formats.json_stream._CHUNK", 1)
        with path.open("rb") as stream:
            assert list(pieces(stream)) == whole
        assert [(key, at, value) for key, at, value in whole] == [
            ("a", -1, None), ("a", 0, 1), ("a", 1, 22), ("a", 2, {"b": "é\n"}), ("c", None, -12.5), ("d", -1, None),
        ]  # fmt: skip


class TestMot:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("1,1,2,3,4", r"gt\.txt, line 1 has 5 columns"),
            ("1,1,2,3,4,5,1\n-1,1,2,3,4,5,1", "line 2 is about frame -1"),
            ("1,1,2,3,4,nan,1", "line 1: column 6 is nan, not a finite number"),
            ("1,1,2,3,-4,5,1", "line 1: the box is -4 wide"),
            ("1,1,2,3,4,5,1,99,0.5", "line 1: unknown class 99"),
            ("1,1,2,3,4,5,1,1,7", "the visibility is 7"),
            ("1,1,2,3,4,5,1\n1,1,2,3,4,5,1", "line 2 is the second box of track 1 of the truth in frame 1"),
            ("1,x,2,3,4,5,1", "the id is 'x', not a whole number"),
            ("1,1,2,3,4,5,1\n\xff", "line 2"),
        ],
    )
    def test_what_is_wrong_is_named(self, put, text, message) -> None:
        with pytest.raises(FormatError, match=message):
            read_truth(put("gt.txt", text))

    def test_seqinfo_says_how_long_and_large_it_is(self, put) -> None:
        truth = put("S1/gt/gt.txt", "1,1,2,3,4,5,1\n")
        put("S1/seqinfo.ini", "[Sequence]\nname=S1\nseqLength=9\nimWidth=100\nimHeight=50\n")
        read = read_truth(truth)
        assert len(read.pictures) == 9 and read.sequences == ["S1"] and read.pictures[0].width == 100
        assert len(read_predictions(put("results.txt", "9,1,2,3,4,5,0.5\n"), read)) == 1
        with pytest.raises(FormatError, match=r"line 1 is about frame 10"):
            read_predictions(put("results.txt", "10,1,2,3,4,5,0.5\n"), read)
        put("S1/gt/gt.txt", "1,1,200,3,4,5,1\n")
        with pytest.raises(FormatError, match="lies outside of the frame"):
            read_truth(truth)

    def test_text_names_no_class_so_there_must_be_one_only(self, put) -> None:
        document = COCO | {"categories": [*COCO["categories"], {"id": 8, "name": "cyclist"}]}
        document["images"] = [image | {"frame_index": image["id"]} for image in COCO["images"]]
        with pytest.raises(FormatError, match="names no class, but the truth has 2"):
            read_predictions(put("results.txt", "1,1,2,3,4,5,0.5"), read_truth(put("truth.json", document)))

    def test_a_folder_s_other_sequence_is_refused(self, put, tmp_path: Path) -> None:
        for name in ("S1", "S2"):
            put(f"truth/{name}/gt/gt.txt", "1,1,2,3,4,5,1\n")
        truth = read_truth(tmp_path / "truth")
        put("found/S1.txt", "1,1,2,3,4,5,1\n")
        with pytest.raises(FormatError, match="1 of 2 sequences have no file of detections: S2"):
            read_predictions(tmp_path / "found", truth)
        found = read_predictions(tmp_path / "found", truth, missing_sequences="empty")
        assert len(found) == 1 and "count as all missed: S2" in found.notes[0]
        put("found/S3.txt", "1,1,2,3,4,5,1\n")
        with pytest.raises(FormatError, match="sequence 'S3', which the truth does not have"):
            read_predictions(tmp_path / "found", truth)


class TestKittiAndYolo:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (KITTI + "\n" + KITTI.replace("Pedestrian", "Unicorn"), r"000001\.txt, line 2: unknown class 'Unicorn'"),
            (KITTI.replace("22.0", "1.0"), "line 1: the box is 10 wide and -1 high"),
            (KITTI.replace(" 1 ", " 9 "), "occluded is 9"),
            (KITTI.replace("11.0", "inf"), "column 7 is inf, not a finite number"),
        ],
    )
    def test_what_is_wrong_in_a_label_is_named(self, put, tmp_path: Path, text, message) -> None:
        put("labels/000001.txt", text)
        with pytest.raises(FormatError, match=message):
            read_truth(tmp_path / "labels", format_="kitti")

    def test_labels_and_detections(self, put, tmp_path: Path) -> None:
        put("labels/000001.txt", KITTI + "\n" + KITTI.replace("Pedestrian 0.10 1", "DontCare -1 -1"))
        put("labels/000002.txt", "")
        truth = read_truth(tmp_path / "labels")
        first, region = truth.boxes.rows()
        assert (first.truncation, first.level, first.occluded) == (0.1, 1, True)
        assert region.crowd and region.level == -1 and math.isnan(region.truncation)
        put("found/000002.txt", KITTI + " 0.7")
        assert next(iter(read_predictions(tmp_path / "found", truth).rows())).score == 0.7
        put("found/000003.txt", KITTI + " 0.7")
        with pytest.raises(FormatError, match=r"000003\.txt.* is about picture 000003"):
            read_predictions(tmp_path / "found", truth)

    def test_yolo(self, put, tmp_path: Path) -> None:
        put("labels/a.txt", "1 0.5 0.5 0.2 0.4")
        put("classes.txt", "pedestrian\ncyclist\n")
        truth = read_truth(tmp_path / "labels", size=(100, 50))
        row = truth.boxes.row(0)
        assert (row.x, row.y, row.width, row.height) == pytest.approx((40, 15, 20, 20))
        assert truth.labels[row.label] == "cyclist"
        put("found/a.txt", "0 0.5 0.5 0.2 0.4 0.9")
        assert next(iter(read_predictions(tmp_path / "found", truth).rows())).label == 0
        put("found/a.txt", "2 0.5 0.5 0.2 0.4 0.9")
        with pytest.raises(FormatError, match=r"a\.txt, line 1: unknown class 2"):
            read_predictions(tmp_path / "found", truth)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("1 0.5 0.5 0.2 0.4\n9 0.5 0.5 0.2 0.4", "line 2: unknown class 9. There are 2 names"),
            ("1 0.95 0.5 0.2 0.4", "line 1 reaches outside of the frame"),
            ("1 0.5 0.5 0.2 -0.4", "line 1: the box is 0.2 wide and -0.4 high"),
            ("1 0.5 0.5 0.2 0.4\n1 0.5", "line 2 has 2 columns, not 5"),
        ],
    )
    def test_what_is_wrong_in_yolo_is_named(self, put, tmp_path: Path, text, message) -> None:
        put("labels/a.txt", text)
        put("labels/classes.txt", "pedestrian\ncyclist\n")
        with pytest.raises(FormatError, match=message):
            read_truth(tmp_path / "labels")


class TestFiles:
    def test_too_large_a_file_is_refused_unread(self, tmp_path: Path) -> None:
        path = tmp_path / "large.json"
        with path.open("wb") as stream:
            stream.truncate(2 << 30)  # a hole: it takes no space
        with pytest.raises(FormatError, match=r"large\.json has 2147 MB, more than the 1074 MB"):
            read_truth(path)

    @pytest.mark.parametrize(("content", "message"), [("", "is empty"), ("what is this", "no file with ground truth")])
    def test_nothing_and_nonsense(self, put, content, message) -> None:
        with pytest.raises(FormatError, match=message):
            read_truth(put("x.txt", content))

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match="does not exist"):
            read_truth(tmp_path / "nothing")
        with pytest.raises(FormatError, match="no file of labels"):
            read_truth(tmp_path)

    def test_a_bomb_is_refused(self, put) -> None:
        bomb = (
            '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotations>&b;</annotations>'
        )
        with pytest.raises(FormatError, match="DTD or entities"):
            read_truth(put("bomb.xml", bomb))

    def test_another_number_of_frames_is_refused(self, real_data: Path) -> None:
        with pytest.raises(FormatError, match="has 1394 frames, not 1000"):
            read_truth(real_data / "annotations.cvat.xml", frames=1000)


LABEL_STUDIO = [{"id": 1, "annotations": [{"completed_by": 1, "result": [{"type": "rectanglelabels"}]}], "data": {}}]


@pytest.mark.parametrize(
    ("name", "content", "what", "fix"),
    [
        ("export.zip", b"PK\x03\x04rest", "an archive", "Unpack it"),
        ("export.tar.gz", b"\x1f\x8brest", "an archive", "Unpack it"),
        ("results.pkl", b"\x80\x04rest", "as MMDetection writes it", "outfile_prefix"),
        ("anno_val.mat", b"MATLAB 5.0", "a MATLAB file", "COCO"),
        ("project-1.json", json.dumps(LABEL_STUDIO).encode(), "Label Studio's own JSON", "as COCO, or as YOLO"),
        ("via.json", b'{"a.jpg1": {"regions": [{"shape_attributes": {}}]}}', "VGG Image Annotator", "COCO"),
        ("ann.json", b'{"objects": [{"geometryType": "rectangle", "classTitle": "x"}]}', "Supervisely", "COCO"),
    ],
)
def test_what_is_known_and_not_read_is_refused_with_the_way_to_a_file_that_is(
    tmp_path: Path, name: str, content: bytes, what: str, fix: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError) as caught:
        read_truth(tmp_path / name)
    assert what in caught.value.message and name in caught.value.message and fix in caught.value.fix
