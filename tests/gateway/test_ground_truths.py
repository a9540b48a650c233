"""Ground truth over HTTP, in a real database."""

import hashlib
import time
import uuid

import psycopg
import pytest


@pytest.fixture
def video(api, make_video, tmp_path):
    return api.upload(api.project(), make_video(tmp_path / "v.mp4")).json()


def upload(api, video, content, **parameters):
    return api.client.post(
        f"/videos/{video['id']}/ground-truths", params={"name": "truth.json"} | parameters, content=content
    )


_BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><annotations>&b;</annotations>'


def count(settings, table):
    with psycopg.connect(settings.database_conninfo) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_upload_and_read_back(api, video, coco):
    content = coco()
    answer = upload(api, video, content)
    assert answer.status_code == 201, answer.text
    truth = answer.json()
    assert truth["sha256"] == hashlib.sha256(content).hexdigest()
    assert (truth["format"], truth["source"], truth["track_count"], truth["box_count"]) == ("coco", "manual", 2, 8)
    assert truth["approved_by"] is None
    assert api.client.get(f"/ground-truths/{truth['id']}").json() == truth
    assert api.client.get(f"/videos/{video['id']}/ground-truths").json() == {"items": [truth], "total": 1}

    boxes = api.client.get(f"/ground-truths/{truth['id']}/boxes").json()["items"]
    assert len(boxes) == 8
    assert boxes[0] == {
        "track_id": 1,
        "frame_index": 2,
        "time_s": 0.2,
        "road_user": "pedestrian",
        "x": 4.5,
        "y": 8,
        "width": 8,
        "height": 16,
        "occluded": True,
        "truncated": False,
        "ignore": False,
    }
    some = api.client.get(f"/ground-truths/{truth['id']}/boxes", params={"first_frame": 3, "last_frame": 4}).json()
    assert [(item["frame_index"], item["track_id"]) for item in some["items"]] == [(3, 1), (3, 2), (4, 1), (4, 2)]
    # The annotation file itself is not kept: its boxes and its hash are.
    assert api.stored_files() == [f"videos/{video['id']}.mp4"]


def test_the_real_files(api, real_data, settings):
    video = api.upload(api.project(), real_data / "video.mp4").json()
    coco = upload(api, video, (real_data / "annotations.coco.json").read_bytes()).json()
    cvat = upload(api, video, (real_data / "annotations.cvat.xml").read_bytes()).json()
    assert (coco["format"], cvat["format"]) == ("coco", "cvat")
    assert (coco["track_count"], coco["box_count"]) == (cvat["track_count"], cvat["box_count"]) == (6, 1097)
    boxes = [api.client.get(f"/ground-truths/{item['id']}/boxes").json() for item in (coco, cvat)]
    assert boxes[0] == boxes[1]


def test_what_is_for_another_video_stores_nothing(api, settings, video, coco):
    for content, reason in [
        (coco(21), "has 21 frames, but the video has 20"),
        (coco(width=128, height=96), "is 128x96 pixels, but the video is 64x48"),
        (
            coco(change=lambda f: [i.update(timestamp_s=i["frame_index"] / 25) for i in f["images"]]),
            "the video has it at",
        ),
        (coco(change=lambda f: f["annotations"][-1].update(bbox=[60, 40, 20, 20])), "reaches outside of the frame"),
        (
            coco(change=lambda f: f["annotations"][0].update(bbox=[1, 1, -5, 5])),
            "Box (1.0, 1.0, -5.0, 5.0) has no area",
        ),
        (coco(change=lambda f: f["annotations"][0].update(bbox=[1, float("nan"), 5, 5])), "not a finite number"),
        (coco(change=lambda f: f["annotations"][1].update(id=f["annotations"][0]["id"])), "is in the file twice"),
        (coco(change=lambda f: f["categories"][0].update(name="lamp post")), "lamp post"),
        (_BOMB, "entit"),
        (b"<annotations>" + b"<a>" * 100_000, ""),
        (b"x,y,w,h", "neither COCO JSON nor CVAT XML"),
        (b"", "The upload is empty"),
    ]:
        answer = upload(api, video, content)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert reason in answer.json()["detail"]
        assert answer.json()["fix"]
    assert count(settings, "ground_truths") == 0
    assert count(settings, "truth_boxes") == 0
    assert len(api.stored_files()) == 1


def test_source_is_recorded_and_checked(api, video, coco):
    assert upload(api, video, coco(), source="model:opencv-hog").json()["source"] == "model:opencv-hog"
    assert upload(api, video, coco(), source="synthetic").json()["source"] == "synthetic"
    for wrong in ("yolo", "model:", "", "manual\x00"):
        assert upload(api, video, coco(), source=wrong).status_code == 422


def test_approval_names_who_vouches(api, video, coco):
    truth = upload(api, video, coco()).json()
    approved = api.client.post(f"/ground-truths/{truth['id']}/approve")
    assert approved.status_code == 200
    assert approved.json()["approved_by"] == "admin@example.com"
    again = api.client.post(f"/ground-truths/{truth['id']}/approve").json()
    assert again == approved.json()  # whoever did so first remains


def test_too_large(api, video):
    answer = upload(api, video, b"{" + b" " * 6_000_000)
    assert answer.status_code == 413
    assert "VRU_MAX_GROUND_TRUTH_MB" in answer.json()["fix"]
    assert len(api.stored_files()) == 1


def test_unknown_ids(api, coco):
    unknown = uuid.uuid4()
    assert upload(api, {"id": unknown}, coco()).status_code == 404
    for method, path in [
        ("GET", f"/videos/{unknown}/ground-truths"),
        ("GET", f"/ground-truths/{unknown}"),
        ("DELETE", f"/ground-truths/{unknown}"),
        ("POST", f"/ground-truths/{unknown}/approve"),
        ("GET", f"/ground-truths/{unknown}/boxes"),
    ]:
        answer = api.client.request(method, path)
        assert answer.status_code == 404, path
        assert str(unknown) in answer.json()["detail"]


def test_delete(api, settings, video, coco):
    truth = upload(api, video, coco()).json()
    assert api.client.delete(f"/ground-truths/{truth['id']}").status_code == 204
    assert count(settings, "truth_boxes") == 0


def test_forty_thousand_boxes(api, tmp_path, make_video, coco):
    """The size that many minutes of a busy street have."""
    video = api.upload(api.project(), make_video(tmp_path / "long.mp4", frames=1000)).json()

    def many(file):
        file["annotations"] = [
            {"id": n, "image_id": 100 + n // 40, "category_id": 1, "track_id": n % 40, "bbox": [1, 2, 3, 4]}
            for n in range(40_000)
        ]

    began = time.monotonic()
    answer = upload(api, video, coco(1000, change=many))
    assert answer.status_code == 201, answer.text
    assert answer.json()["box_count"] == 40_000
    assert time.monotonic() - began < 30
    boxes = api.client.get(f"/ground-truths/{answer.json()['id']}/boxes").json()["items"]
    assert len(boxes) == 40_000
