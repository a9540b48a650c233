"""Imported predictions over HTTP, in a real database, read in the real sandbox."""

import hashlib
import io
import json
import uuid
import zipfile

import psycopg
import pytest

WIDTH, HEIGHT = 64, 48
CLASSES = ("pedestrian", "cyclist")


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def mot(boxes, start=1):
    lines = [f"{f + start},-1,{x},{y},{w},{h},{s},-1,-1,-1" for f, _, s, x, y, w, h in boxes]
    return "\n".join(lines) + "\n"


def kitti_line(kind, score, x, y, w, h):
    return f"{kind.capitalize()} 0 0 -10 {x} {y} {x + w} {y + h} -1 -1 -1 -1000 -1000 -1000 -10 {score}"


def results(boxes, start=0):
    return json.dumps(
        [
            {"image_id": f + start, "category_id": CLASSES.index(kind) + 1, "bbox": [x, y, w, h], "score": s}
            for f, kind, s, x, y, w, h in boxes
        ]
    )


def yolo(boxes, name):
    files = {}
    for f, kind, s, x, y, w, h in boxes:
        line = f"{CLASSES.index(kind)} {(x + w / 2) / WIDTH} {(y + h / 2) / HEIGHT} {w / WIDTH} {h / HEIGHT} {s}\n"
        files[name(f)] = files.get(name(f), "") + line
    return files


def kitti(boxes, name):
    files = {}
    for f, kind, s, *box in boxes:
        files[name(f)] = files.get(name(f), "") + kitti_line(kind, s, *box) + "\n"
    return files


def whole(recordings):
    """A whole COCO file: videos, images, categories and detections."""
    images, found = [], []
    for number, boxes in enumerate(recordings.values()):
        for f in range(20):
            image = {"id": 100 * number + f, "video_id": number, "frame_index": f, "file_name": f"{f}.jpg"}
            images.append(image)
        found += [
            {"image_id": 100 * number + f, "category_id": CLASSES.index(kind), "bbox": [x, y, w, h], "score": s}
            for f, kind, s, x, y, w, h in boxes
        ]
    return json.dumps(
        {
            "videos": [{"id": number, "name": name} for number, name in enumerate(recordings)],
            "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES)],
            "images": images,
            "annotations": found,
        }
    ).encode()


MADE = {
    "mot": lambda r: ({"class": "pedestrian"}, zipped({f"{n[:-4]}.txt": mot(b) for n, b in r.items()})),
    "mot folders": lambda r: ({"class": "pedestrian"}, zipped({f"{n}/det/det.txt": mot(b) for n, b in r.items()})),
    "kitti-tracking": lambda r: (
        {},
        zipped(
            {f"{n}.txt": "".join(f"{f} -1 {kitti_line(k, s, *box)}\n" for f, k, s, *box in b) for n, b in r.items()}
        ),
    ),
    "kitti": lambda r: (
        {},
        zipped({p: c for n, b in r.items() for p, c in kitti(b, lambda f, n=n: f"{n}/{f:06d}.txt").items()}),
    ),
    "yolo, as Ultralytics writes it": lambda r: (
        {"classes": "0=pedestrian,1=cyclist"},
        zipped({p: c for n, b in r.items() for p, c in yolo(b, lambda f, n=n: f"labels/{n[:-4]}_{f + 1}.txt").items()}),
    ),
    "yolo, with its names": lambda r: (
        {},
        zipped(
            {"data.yaml": "names: [pedestrian, cyclist]\n"}
            | {p: c for n, b in r.items() for p, c in yolo(b, lambda f, n=n: f"labels/{n}/{f:06d}.txt").items()}
        ),
    ),
    "coco results": lambda r: (
        {"classes": "1=person,2=cyclist"},
        zipped({f"{n[:-4]}.json": results(b) for n, b in r.items()}),
    ),
    "coco": lambda r: ({}, whole(r)),
}


@pytest.fixture
def project(api):
    return api.project()


@pytest.fixture
def data_set(api, project, record):
    """A data set of two recordings."""
    made = [record(project, name) for name in ("day.mp4", "night.mp4")]
    body = {"name": "Tests", "recordings": [{"video_id": item.video} for item in made]}
    answer = api.client.post(f"/projects/{project}/data-sets", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json() | {"truths": [item.truth for item in made], "videos": [item.video for item in made]}


@pytest.fixture
def boxes(api, data_set):
    """The truth as detections, by recording: frame, class, confidence, x, y, width, height."""
    found = {}
    for name, truth in zip(("day.mp4", "night.mp4"), data_set["truths"], strict=True):
        items = api.client.get(f"/ground-truths/{truth}/boxes").json()["items"]
        found[name] = [
            (b["frame_index"], "pedestrian", 0.5 + place / 100, b["x"], b["y"], b["width"], b["height"])
            for place, b in enumerate(items)
        ]
    return found


@pytest.fixture
def send(api, project, data_set):
    """``send(content, **parameters)`` imports predictions about the data set."""

    def post(content, **parameters):
        about = {} if "video_id" in parameters else {"data_set_id": data_set["id"]}
        given = {"name": "net", "version": "7", "made_by": "Supplier B", "file_name": "r"} | about | parameters
        return api.client.post(f"/projects/{project}/predictions", params=given, content=content)

    return post


def rows(settings, stored):
    with psycopg.connect(settings.database_conninfo) as connection:
        return connection.execute(
            "SELECT frame_index, road_user, score, x, y, width, height FROM predicted_boxes "
            "WHERE prediction_set_id = %s ORDER BY position",
            (stored["id"],),
        ).fetchall()


@pytest.mark.parametrize("form", MADE)
def test_every_format_gives_the_same_boxes(api, settings, send, boxes, form):
    parameters, content = MADE[form](boxes)
    answer = send(content, **parameters)
    assert answer.status_code == 201, answer.text
    stored = answer.json()
    assert (stored["format"], stored["box_count"]) == (form.split()[0].strip(","), 16)
    assert (stored["name"], stored["version"], stored["made_by"]) == ("net", "7", "Supplier B")
    assert stored["sha256"] == hashlib.sha256(content).hexdigest()
    assert stored["size_bytes"] == len(content)
    found = rows(settings, stored)
    expected = [box for recording in boxes.values() for box in recording]
    for mine, wanted in zip(found, expected, strict=True):
        assert mine[:2] == wanted[:2]
        assert mine[2:] == pytest.approx(wanted[2:], abs=1e-6)
    # Nothing of the file stays beside the videos.
    assert len(api.stored_files()) == 2


def test_what_was_imported_can_be_looked_up(api, project, send, boxes, data_set):
    stored = send(whole(boxes)).json()
    assert api.client.get(f"/predictions/{stored['id']}").json() == stored
    assert api.client.get(f"/projects/{project}/predictions").json() == {"items": [stored], "total": 1}
    recordings = api.client.get(f"/predictions/{stored['id']}/recordings").json()["items"]
    assert [(item["name"], item["box_count"]) for item in recordings] == [("day.mp4", 8), ("night.mp4", 8)]
    assert [item["video_id"] for item in recordings] == data_set["videos"]
    lines = [json.dumps(list(box), separators=(",", ":")) + "\n" for box in boxes["day.mp4"]]
    assert recordings[0]["sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    answer = api.client.delete(f"/videos/{data_set['videos'][0]}")
    assert answer.status_code == 409
    api.client.delete(f"/data-sets/{data_set['id']}")
    answer = api.client.delete(f"/videos/{data_set['videos'][0]}")
    assert answer.json()["detail"] == "Predictions about this video were imported."
    assert api.client.delete(f"/predictions/{stored['id']}").status_code == 204
    assert api.client.get(f"/predictions/{stored['id']}").status_code == 404
    assert api.client.delete(f"/videos/{data_set['videos'][0]}").status_code == 204


def test_it_does_not_change(settings, send, boxes):
    send(whole(boxes))
    for table, column in (("predicted_boxes", "score"), ("predicted_recordings", "box_count")):
        with (
            psycopg.connect(settings.database_conninfo, user="vru_api_gateway") as connection,
            pytest.raises(psycopg.errors.IntegrityConstraintViolation),
        ):
            connection.execute(f"UPDATE {table} SET {column} = 0")


def test_one_video_needs_no_name(api, settings, send, boxes, data_set):
    answer = send(mot(boxes["day.mp4"]).encode(), video_id=data_set["videos"][0], **{"class": "pedestrian"})
    assert answer.status_code == 201, answer.text
    assert [row[0] for row in rows(settings, answer.json())] == [box[0] for box in boxes["day.mp4"]]


def test_a_recording_that_is_missing_is_empty_only_on_request(send, boxes):
    content = zipped({"day.txt": mot(boxes["day.mp4"])})
    answer = send(content, **{"class": "pedestrian"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "1 of 2 recordings are not in the file: night.mp4."
    stored = send(content, missing="empty", **{"class": "pedestrian"}).json()
    assert stored["box_count"] == 8
    assert "They count as if nothing was found there, as was asked for." in stored["notes"][-1]
    # An empty file says it, too.
    empty = zipped({"day.txt": mot(boxes["day.mp4"]), "night.txt": ""})
    assert send(empty, **{"class": "pedestrian"}).json()["box_count"] == 8


def test_boxes_of_other_classes(send, boxes):
    recordings = {name: [(f, kind, *rest) for f, kind, *rest in found] for name, found in boxes.items()}
    content = whole(recordings).replace(b'"cyclist"', b'"tram"').replace(b'"category_id": 0', b'"category_id": 1', 1)
    answer = send(content)
    assert "class 'tram' is no road user that is known here" in answer.json()["detail"]
    stored = send(content, other_classes="leave_out").json()
    assert stored["box_count"] == 15
    assert "tram" in " ".join(stored["notes"])
    assert send(content, classes="tram=other").json()["box_count"] == 16


def test_frames_that_are_moved_by_one_are_refused(api, project, send, record):
    # A fast road user: a frame earlier its boxes do not overlap.
    video = record(project, "fast.mp4")
    truth = {
        "videos": [{"id": 1, "width": WIDTH, "height": HEIGHT, "frame_count": 20}],
        "categories": [{"id": 1, "name": "pedestrian"}],
        "images": [{"id": f, "video_id": 1, "frame_index": f, "width": WIDTH, "height": HEIGHT} for f in range(20)],
        "annotations": [
            {"id": f, "image_id": f, "category_id": 1, "track_id": 1, "bbox": [3 * f, 8, 4, 8]} for f in range(20)
        ],
    }
    answer = api.client.post(
        f"/videos/{video.video}/ground-truths", params={"name": "fast"}, content=json.dumps(truth).encode()
    )
    assert answer.status_code == 201, answer.text
    found = [(f, "pedestrian", 0.9, 3 * f, 8, 4, 8) for f in range(19)]
    parameters = {"video_id": video.video, "class": "pedestrian"}
    assert send(mot(found).encode(), **parameters).status_code == 201
    moved = mot(found, start=2).encode()
    answer = send(moved, **parameters)
    assert answer.status_code == 422
    assert "if they are moved by -1 frame" in answer.json()["detail"]
    assert "first_frame" in answer.json()["fix"]
    assert send(moved, shifted="keep", **parameters).status_code == 201
    kept = [(f + 1, *rest) for f, *rest in found]
    assert send(mot(kept, start=0).encode(), first_frame=0, **parameters).status_code == 422


@pytest.mark.parametrize(
    ("content", "parameters", "reason"),
    [
        (b"", {}, "The upload is empty."),
        (b"nothing at all", {}, "r holds no detections in a known format."),
        (b"PK\x03\x04 broken", {}, "r is no zip that can be read"),
        (zipped({}), {}, "r holds no detections in a known format."),
        (zipped({"readme.txt": "x"}), {}, "There is no file with detections."),
        (zipped({"dusk.txt": mot([(0, "", 0.5, 1, 1, 2, 2)])}), {"class": "child"}, "dusk.txt names no recording."),
        (zipped({"day.txt": mot([(0, "", 0.5, 1, 1, 2, 2)])}), {}, "day.txt: MOT text names no class."),
        (
            zipped({"day.txt": mot([(20, "", 0.5, 1, 1, 2, 2)]), "night.txt": ""}),
            {"class": "child"},
            "day.txt, line 1 is about frame 21, but the truth's last frame is 20.",
        ),
        (
            zipped({"day.txt": mot([(0, "", 0.5, 1, 1, 0, 2)]), "night.txt": ""}),
            {"class": "child"},
            "day.txt, line 1: the box is 0 wide and 2 high: it has no area.",
        ),
        (
            zipped({"day.txt": mot([(0, "", 35.2, 1, 1, 2, 2)]), "night.txt": ""}),
            {"class": "child"},
            "A confidence is 35.2",
        ),
        (
            zipped({"day.txt": mot([(0, "", "nan", 1, 1, 2, 2)]), "night.txt": ""}),
            {"class": "child"},
            "day.txt, line 1: the confidence is nan",
        ),
        (
            zipped({"day.json": results([(20, "cyclist", 0.5, 1, 1, 2, 2)]), "night.json": "[]"}),
            {"classes": "2=cyclist"},
            "results[0] is about frame 20 (from 0) of day.mp4, which has 20 frames.",
        ),
        (
            zipped({"day.json": results([(0, "cyclist", 0.5, 1, 1, 2, 2)]), "night.json": "[]"}),
            {},
            "class 2 is no road user that is known here",
        ),
        (
            zipped({"day.json": results([(0, "cyclist", 0.5, 1, 1, 2, 2)]), "night.txt": "1,-1,1,1,2,2,1,-1,-1,-1"}),
            {"classes": "2=cyclist"},
            "night.txt is mot, the files before are coco.",
        ),
        (results([(0, "cyclist", 0.5, 1, 1, 2, 2)]).encode(), {"classes": "2=cyclist"}, "r: image_id 0 names no"),
        (b"[", {}, "r:"),
        (b"{}", {}, "r: This is no list of COCO results."),
        (b"[]", {"classes": "2"}, "classes: '2' is no NAME=CLASS."),
        (b"[]", {"classes": "2=tram"}, "classes: Unknown class 'tram'."),
        (b"[]", {"data_set_version": 2}, None),
        (b"[]", {"video_id": str(uuid.uuid4())}, None),
        (b"[]", {"made_by": ""}, None),
        (b"[]", {"first_frame": 2}, None),
    ],
)
def test_what_cannot_be_imported_stores_nothing(api, project, send, content, parameters, reason):
    answer = send(content, **parameters)
    assert answer.status_code in (404, 422), answer.text
    if reason is not None:
        assert answer.status_code == 422
        assert reason in answer.json()["detail"]
    assert api.client.get(f"/projects/{project}/predictions").json()["total"] == 0


def test_what_says_that_it_unpacks_to_gigabytes_is_refused(send):
    content = bytearray(zipped({"day.txt": "1,-1,1,1,2,2,1,-1,-1,-1"}))
    # The size in the directory at the archive's end.
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = (3 << 30).to_bytes(4, "little")
    answer = send(bytes(content))
    assert answer.status_code == 422
    assert answer.json()["detail"] == "r would be larger than 2 GiB."
