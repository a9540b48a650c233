"""Recordings of signals over HTTP, in a real database and a real media store."""

import hashlib
import time
import uuid

import psycopg
import pytest

SIGNALS = b"time_ns,kind,class,video\n3000000000,udp,pedestrian,video\n3100000000,udp,,video.mp4\n"
MARKERS = b"media_s,time_ns\n" + b"".join(b"%d,%d\n" % (n, (3 + n) * 10**9) for n in range(5))
OFFSET = {"offset_ns": 3_000_000_000, "offset_uncertainty_ms": 2.5}


@pytest.fixture
def video(api, make_video, tmp_path):
    return api.upload(api.project(), make_video(tmp_path / "v.mp4")).json()


def upload(api, video, content=SIGNALS, **parameters):
    return api.client.post(
        f"/videos/{video['id']}/signals", params={"name": "signals.csv"} | parameters, content=content
    )


def count(settings):
    with psycopg.connect(settings.database_conninfo) as connection:
        return connection.execute("SELECT count(*) FROM signal_recordings").fetchone()[0]


def test_upload_and_read_back(api, video):
    answer = upload(api, video, poll_ms=4)
    assert answer.status_code == 201, answer.text
    recording = answer.json()
    assert recording["sha256"] == hashlib.sha256(SIGNALS).hexdigest()
    assert (recording["name"], recording["signal_count"], recording["poll_ms"]) == ("signals.csv", 2, 4)
    assert (recording["first_ns"], recording["last_ns"]) == (3_000_000_000, 3_100_000_000)
    assert recording["offset_ns"] is None and recording["marker_count"] is None
    assert api.client.get(f"/signals/{recording['id']}").json() == recording
    assert api.client.get(f"/videos/{video['id']}/signals").json() == {"items": [recording], "total": 1}
    # The file is evidence: it is kept as it came.
    kept = api.media / "signals" / f"{recording['id']}.signals"
    assert kept.read_bytes() == SIGNALS


def test_markers_join_the_clocks_anew_until_a_run_was_made(api, video, settings):
    recording = upload(api, video).json()
    path = f"/signals/{recording['id']}/markers"
    joined = api.client.post(path, content=MARKERS)
    assert joined.status_code == 200, joined.text
    assert joined.json()["marker_count"] == 5
    assert joined.json()["markers_sha256"] == hashlib.sha256(MARKERS).hexdigest()
    assert api.client.get(f"/signals/{recording['id']}").json() == joined.json()
    files = api.stored_files()
    more = MARKERS + b"9.0,12000000000\n"
    again = api.client.post(path, content=more)
    assert again.status_code == 200 and again.json()["marker_count"] == 6, again.text
    assert len(api.stored_files()) == len(files), "the markers before are gone"
    given = upload(api, video, **OFFSET).json()
    assert (given["offset_ns"], given["offset_uncertainty_ms"]) == (3_000_000_000, 2.5)
    joined = api.client.post(f"/signals/{given['id']}/markers", content=MARKERS).json()
    assert (joined["marker_count"], joined["offset_ns"], joined["offset_uncertainty_ms"]) == (5, None, None)

    add_run(settings, video, recording)
    files = api.stored_files()
    refused = api.client.post(path, content=MARKERS)
    assert refused.status_code == 409 and "Runs were made with recording signals.csv" in refused.json()["detail"]
    assert api.stored_files() == files


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"time_ns,kind\n5,udp\n4,udp\n", "signals.csv, line 3: 4 ns is earlier than the 5 ns of the line before"),
        (b"time_ns,kind\n1.5,udp\n", "signals.csv, line 2: time_ns is '1.5', not a whole number of nanoseconds"),
        (b"time_ns,kind\n1,smoke\n", "signals.csv, line 2: there is no kind 'smoke'"),
        (b"time_ns,kind,class\n1,udp,tram\n", "signals.csv, line 2: "),
        (b"time_ns,kind,video\n1,udp,other.mp4\n", "signals.csv, line 2 is of video 'other.mp4'"),
        (b'{"time_ns": 1, "kind": "udp", "id": "a"}\n{"time_ns": 2, "kind": "udp", "id": "a"}\n', "line 2: the id a"),
        (b"time_ns,kind\n", "signals.csv holds nothing"),
        (b"\xff\xfe\x00\x01", "is no UTF-8 text"),
        (b"", "The upload is empty"),
        (b"time_ns,kind\n" + b"7,udp\n" * 1_000_001, "line 1000002: there are more than 1,000,000 signals"),
    ],
    ids=["order", "float", "kind", "class", "video", "twice", "none", "binary", "empty", "many"],
)
def test_what_is_wrong_stores_nothing(start_gateway, connect, settings, make_video, tmp_path, content, reason):
    api = connect(start_gateway(max_upload_mb=20))
    video = api.upload(api.project(), make_video(tmp_path / "v.mp4")).json()
    before = api.stored_files()
    answer = upload(api, video, content)
    assert answer.status_code == 422 and reason in answer.json()["detail"], answer.text
    assert answer.json()["detail"].count(str(api.media)) == 0
    assert api.stored_files() == before and count(settings) == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"media_s,time_ns\n1,5\n1,6\n", "m.csv, line 3: the marker is not later than the one before"),
        (b"media_s,time_ns\nnan,5\n", "m.csv, line 2: media_s"),
        (b"time_ns,kind\n5,udp\n", "m.csv, line 1 has no media_s"),
        (b"media_s,time_ns\n1,5\n", "m.csv: clocks are joined by at least 5 markers; it has 1"),
        (
            b"media_s,time_ns\n" + b"".join(b"%d,%d\n" % (n, n * 2_000_000_000) for n in range(6)),
            "the clocks run apart by -500000 ppm",
        ),
    ],
)
def test_wrong_markers_change_nothing(api, video, content, reason):
    recording = upload(api, video).json()
    before = api.stored_files()
    answer = api.client.post(f"/signals/{recording['id']}/markers", params={"name": "m.csv"}, content=content)
    assert answer.status_code == 422 and reason in answer.json()["detail"], answer.text
    assert api.stored_files() == before
    assert api.client.get(f"/signals/{recording['id']}").json() == recording


def test_parameters_that_cannot_be(api, video, settings):
    for parameters in ({"offset_ns": 5}, {"offset_uncertainty_ms": 5}, {"poll_ms": -1}, OFFSET | {"offset_ns": 2**63}):
        assert upload(api, video, **parameters).status_code == 422
    assert upload(api, video | {"id": uuid.uuid4()}).status_code == 404
    for answer in (
        api.client.get(f"/signals/{uuid.uuid4()}"),
        api.client.delete(f"/signals/{uuid.uuid4()}"),
        api.client.post(f"/signals/{uuid.uuid4()}/markers", content=MARKERS),
        api.client.get(f"/videos/{uuid.uuid4()}/signals"),
    ):
        assert answer.status_code == 404
    assert count(settings) == 0


def test_a_file_that_is_too_large(start_gateway, connect, make_video, tmp_path, settings):
    api = connect(start_gateway(max_upload_mb=1))
    video = api.upload(api.project(), make_video(tmp_path / "v.mp4")).json()
    before = api.stored_files()
    assert upload(api, video, SIGNALS + b"9000000000,udp,,\n" * 70_000).status_code == 413
    assert api.stored_files() == before and count(settings) == 0


def test_nobody_may_without_a_login(api, video):
    recording = upload(api, video).json()
    del api.client.headers["Authorization"]
    assert upload(api, video).status_code == 401
    assert api.client.get(f"/signals/{recording['id']}").status_code == 401
    assert api.client.delete(f"/signals/{recording['id']}").status_code == 401


@pytest.mark.parametrize("whole", ["recording", "video", "project"])
def test_deleting_takes_the_files_along(api, video, settings, whole):
    recording = upload(api, video).json()
    api.client.post(f"/signals/{recording['id']}/markers", content=MARKERS)
    assert len(api.stored_files()) == 3
    path = {
        "recording": f"/signals/{recording['id']}",
        "video": f"/videos/{video['id']}",
        "project": f"/projects/{video['project_id']}",
    }[whole]
    assert api.client.delete(path).status_code == 204
    assert api.stored_files() == ([f"videos/{video['id']}.mp4"] if whole == "recording" else [])
    assert count(settings) == 0


def add_run(settings, video, recording):
    with psycopg.connect(settings.database_conninfo) as connection:
        truth, run = uuid.uuid4(), uuid.uuid4()
        connection.execute(
            "INSERT INTO ground_truths (id, video_id, name, format, sha256, source, track_count, box_count) "
            "VALUES (%s, %s, 't', 'coco', '0', 'manual', 0, 0)",
            (truth, video["id"]),
        )
        connection.execute(
            "INSERT INTO runs (id, project_id, kind, video_id, ground_truth_id, signals_id, settings, criteria, state, "
            "frames_total, frames_done, priority, revision, deaths, created_by) "
            "VALUES (%s, %s, 'camera', %s, %s, %s, '{}', '[]', 'completed', 0, 0, 0, 0, 0, 'me')",
            (run, video["project_id"], video["id"], truth, recording["id"]),
        )


def test_a_recording_that_a_run_was_made_with_stays(api, video, settings):
    recording = upload(api, video, **OFFSET).json()
    add_run(settings, video, recording)
    answer = api.client.delete(f"/signals/{recording['id']}")
    assert answer.status_code == 409 and "part of their evidence" in answer.json()["detail"]
    assert len(api.stored_files()) == 2


def test_a_million_signals(start_gateway, connect, make_video, tmp_path):
    api = connect(start_gateway(max_upload_mb=100))
    video = api.upload(api.project(), make_video(tmp_path / "v.mp4")).json()
    rows = b"time_ns,kind\n" + b"1000000000,can\n" * 1_000_000
    began = time.monotonic()
    answer = upload(api, video, rows, **OFFSET)
    assert answer.status_code == 201, answer.text
    assert answer.json()["signal_count"] == 1_000_000
    assert time.monotonic() - began < 30
