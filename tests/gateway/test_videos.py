"""Uploading videos: what is one, what is not, and that nothing is left behind."""

import hashlib
import os
import socket
import time
import uuid

import httpx2
import psycopg
import pytest


def count_videos(settings) -> int:
    with psycopg.connect(settings.database_conninfo) as connection:
        return connection.execute("SELECT count(*) FROM videos").fetchone()[0]


def test_upload_measures_every_frame(api, make_video, tmp_path):
    times = [0.0, 0.1, 0.2, 0.45, 0.5, 0.9]  # index / fps would be wrong
    path = make_video(tmp_path / "v.mp4", times=times)
    project_id = api.project()
    answer = api.upload(project_id, path, name="Straße 1.mp4")
    assert answer.status_code == 201, answer.text
    video = answer.json()
    assert video["name"] == "Straße 1.mp4"
    assert video["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert video["size_bytes"] == path.stat().st_size
    assert (video["codec"], video["width"], video["height"], video["frame_count"]) == ("h264", 64, 48, 6)
    assert video["duration_s"] >= 0.9
    assert api.client.get(f"/videos/{video['id']}").json() == video
    frame_times = api.client.get(f"/videos/{video['id']}/frame-times").json()
    assert frame_times["total"] == 6
    assert frame_times["items"] == pytest.approx(times, abs=1e-9)
    assert api.stored_files() == [f"videos/{video['id']}.mp4"]
    listed = api.client.get(f"/projects/{project_id}/videos").json()
    assert listed == {"items": [video], "total": 1}


def test_a_project_is_a_draft_until_it_has_a_video(api, make_video, tmp_path):
    path = make_video(tmp_path / "v.mp4")
    project_id = api.project()
    assert api.client.get(f"/projects/{project_id}").json()["state"] == "draft"
    assert api.upload(project_id, path).status_code == 201
    assert api.client.get(f"/projects/{project_id}").json()["state"] == "active"
    assert api.client.patch(f"/projects/{project_id}", json={"state": "archived"}).json()["state"] == "archived"
    assert api.upload(project_id, path, name="another.mp4").status_code == 201
    assert api.client.get(f"/projects/{project_id}").json()["state"] == "archived"


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "libx264"), (".avi", "mpeg4"), (".webm", "libvpx")])
def test_other_containers(api, make_video, tmp_path, suffix, codec):
    path = make_video(tmp_path / f"v{suffix}", codec=codec)
    answer = api.upload(api.project(), path, name=f"v{suffix}")
    assert answer.status_code == 201, answer.text
    assert answer.json()["frame_count"] == 20


def test_the_real_video(api, real_data):
    answer = api.upload(api.project(), real_data / "video.mp4")
    assert answer.status_code == 201, answer.text
    video = answer.json()
    assert (video["width"], video["height"], video["frame_count"]) == (768, 432, 1394)
    assert video["sha256"] == "a5964aa259099a482a8b360ffc2c57b5a30f84d5919236a4dad01f8e929ac07c"
    assert video["duration_s"] == pytest.approx(139.4)
    times = api.client.get(f"/videos/{video['id']}/frame-times").json()["items"]
    assert times == pytest.approx([index / 10 for index in range(1394)], abs=1e-9)


def no_videos(tmp_path, make_video):
    video = make_video(tmp_path / "good.mp4", frames=60).read_bytes()
    picture = make_video(tmp_path / "one.mp4", frames=1).read_bytes()
    return {
        "text": b"This is no video.\n" * 100,
        "text that looks like a playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "concat list": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "noise": os.urandom(20_000),
        "zeros": bytes(20_000),
        "html": b"<!doctype html><html><body>login</body></html>",
        "empty": b"",
        "cut video": video[: len(video) * 2 // 3],
        "damaged video": video[:2000] + os.urandom(1500) + video[3500:],
        "one frame": picture[:200],
    }


KINDS = [
    "text",
    "text that looks like a playlist",
    "concat list",
    "noise",
    "zeros",
    "html",
    "empty",
    "cut video",
    "damaged video",
    "one frame",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["video.mp4", "notes.txt"])
def test_what_is_no_video_is_refused_and_leaves_nothing(api, settings, make_video, tmp_path, kind, name):
    content = no_videos(tmp_path, make_video)[kind]
    answer = api.client.post(f"/projects/{api.project()}/videos", params={"name": name}, content=content)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["detail"] and problem["fix"]
    assert "/" not in problem["detail"].replace("/api", "")  # no path of the server
    assert api.stored_files() == []
    assert count_videos(settings) == 0


def test_only_sound_is_no_video(api, tmp_path):
    import av
    import numpy as np

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    answer = api.upload(api.project(), path)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "The file has no video stream."
    assert api.stored_files() == []


def test_changing_picture_size_is_refused(api, make_video, tmp_path):
    """Two H.264 streams one after the other, as a dash camera writes when its resolution is changed."""
    first, second = make_video(tmp_path / "a.h264"), make_video(tmp_path / "b.h264", width=128, height=96)
    path = tmp_path / "both.h264"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    answer = api.upload(api.project(), path)
    assert answer.status_code == 422
    assert api.stored_files() == []


def test_the_limits_are_told_before_anything_is_sent(start_gateway, connect):
    api = connect(start_gateway(max_upload_mb=7, max_ground_truth_mb=3))
    expected = {"video_bytes": 7_000_000, "ground_truth_bytes": 3_000_000, "signals_bytes": 7_000_000}
    assert api.client.get("/upload-limits").json() == expected


@pytest.mark.parametrize("announce", [True, False])
def test_above_the_limit(api, announce):
    def chunks():
        for _ in range(60):
            yield bytes(100_000)

    content = bytes(6_000_000) if announce else chunks()
    answer = api.client.post(f"/projects/{api.project()}/videos", params={"name": "big.mp4"}, content=content)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert "larger than 5 MB" in answer.json()["detail"]
    assert "VRU_MAX_UPLOAD_MB" in answer.json()["fix"]
    assert api.stored_files() == []


def test_aborted_upload_leaves_nothing(api, settings):
    project_id = api.project()
    url = api.client.base_url
    with socket.create_connection((url.host, url.port)) as connection:
        head = (
            f"POST /api/v1/projects/{project_id}/videos?name=v.mp4 HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {api.token}\r\nContent-Length: 3000000\r\n\r\n"
        )
        connection.sendall(head.encode() + bytes(1_500_000))
        end = time.monotonic() + 10
        while not api.stored_files() and time.monotonic() < end:
            time.sleep(0.01)
        assert len(api.stored_files()) == 1  # it is being written
    end = time.monotonic() + 10
    while api.stored_files() and time.monotonic() < end:
        time.sleep(0.01)
    assert api.stored_files() == []
    assert count_videos(settings) == 0
    assert api.client.get("/projects").status_code == 200


def test_what_a_killed_process_left_is_removed_at_the_next_start(settings, start_gateway):
    incoming = settings.media_dir / "incoming"
    incoming.mkdir()
    old, new = incoming / "old.part", incoming / "new.part"
    old.write_bytes(b"x")
    new.write_bytes(b"x")  # another gateway may be writing it
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    start_gateway()
    assert not old.exists()
    assert new.exists()


def test_unknown_project_is_told_before_anything_is_written(api, make_video, tmp_path):
    answer = api.upload(str(uuid.uuid4()), make_video(tmp_path / "v.mp4"))
    assert answer.status_code == 404
    assert api.stored_files() == []


def test_a_name_is_needed(api):
    assert api.client.post(f"/projects/{api.project()}/videos", content=b"x").status_code == 422


def test_file_comes_back_whole_and_in_parts(api, make_video, tmp_path):
    path = make_video(tmp_path / "v.mp4")
    data = path.read_bytes()
    video = api.upload(api.project(), path, name='odd "näme" ;.mp4').json()
    whole = api.client.get(f"/videos/{video['id']}/file")
    assert whole.content == data
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = api.client.get(f"/videos/{video['id']}/file", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.content == data[10:20]
    assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"
    beyond = api.client.get(f"/videos/{video['id']}/file", headers={"Range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416


def test_nginx_sends_the_file_if_asked(start_gateway, connect, make_video, tmp_path):
    api = connect(start_gateway(media_accel=True))
    video = api.upload(api.project(), make_video(tmp_path / "v.mp4")).json()
    answer = api.client.get(f"/videos/{video['id']}/file")
    assert answer.headers["x-accel-redirect"] == f"/_media/videos/{video['id']}.mp4"
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.content == b""


def test_missing_file_is_an_error_that_names_it(api, make_video, tmp_path):
    video = api.upload(api.project(), make_video(tmp_path / "v.mp4")).json()
    (api.media / "videos" / f"{video['id']}.mp4").unlink()
    answer = api.client.get(f"/videos/{video['id']}/file")
    assert answer.status_code == 404
    assert video["id"] in answer.json()["detail"]


def test_delete(api, make_video, tmp_path):
    video = api.upload(api.project(), make_video(tmp_path / "v.mp4")).json()
    assert api.client.delete(f"/videos/{video['id']}").status_code == 204
    assert api.stored_files() == []
    assert api.client.get(f"/videos/{video['id']}").status_code == 404
    assert api.client.delete(f"/videos/{video['id']}").status_code == 404


def test_stored_file_is_readable_for_nginx(api, make_video, tmp_path):
    video = api.upload(api.project(), make_video(tmp_path / "v.mp4")).json()
    assert (api.media / "videos" / f"{video['id']}.mp4").stat().st_mode & 0o777 == 0o644


def test_two_uploads_at_once(api, make_video, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    path = make_video(tmp_path / "v.mp4")
    project_id = api.project()
    with ThreadPoolExecutor(4) as pool:
        answers: list[httpx2.Response] = list(pool.map(lambda _: api.upload(project_id, path), range(4)))
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len(api.stored_files()) == 4
