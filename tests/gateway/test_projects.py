"""Projects over HTTP."""

import uuid

import psycopg
import pytest


def test_defaults(api):
    answer = api.client.post("/projects", json={"name": "Front camera"})
    assert answer.status_code == 201
    body = answer.json()
    assert body["state"] == "draft"
    assert {criterion["metric"]: criterion["threshold"] for criterion in body["criteria"]} == {
        "precision": 0.90,
        "recall": 0.95,
        "f1": 0.92,
        "latency_median_ms": 50,
        "latency_p95_ms": 100,
        "false_alarms_per_minute": 0.1,
    }
    assert api.client.get(f"/projects/{body['id']}").json() == body


def test_everything_given_is_kept(api):
    given = {
        "name": "Überwachung 前",
        "description": "d",
        "camera_model": "A-100",
        "lens": "6 mm",
        "resolution": "1920x1080",
        "frame_rate": 29.97,
        "signal_type": "can",
        "criteria": [{"metric": "recall", "comparator": ">=", "threshold": 0.5, "slice": "class:cyclist"}],
        "state": "active",
    }
    body = api.client.post("/projects", json=given).json()
    assert {key: body[key] for key in given if key != "criteria"} == {
        key: value for key, value in given.items() if key != "criteria"
    }
    assert body["criteria"][0]["slice"] == "class:cyclist"
    assert body["criteria"][0]["confidence_level"] == 0.95


def test_list_is_paged_and_newest_first(api):
    for number in range(3):
        api.project(f"P{number}")
    page = api.client.get("/projects", params={"limit": 2}).json()
    assert [item["name"] for item in page["items"]] == ["P2", "P1"]
    assert page["total"] == 3
    assert [item["name"] for item in api.client.get("/projects", params={"offset": 2}).json()["items"]] == ["P0"]


def test_update_changes_only_what_is_given(api):
    project_id = api.project("Before")
    before = api.client.get(f"/projects/{project_id}").json()
    after = api.client.patch(f"/projects/{project_id}", json={"state": "testing", "lens": "8 mm"}).json()
    assert after == before | {"state": "testing", "lens": "8 mm"}
    assert api.client.patch(f"/projects/{project_id}", json={"lens": None}).json()["lens"] is None


def test_a_name_is_taken_once(api):
    api.project("Same")
    other = api.project("Other")
    for answer in (
        api.client.post("/projects", json={"name": "Same"}),
        api.client.patch(f"/projects/{other}", json={"name": "Same"}),
    ):
        assert answer.status_code == 409
        assert answer.json()["detail"] == "There is a project 'Same' already."
    assert api.client.get("/projects").json()["total"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a\x00b"},
        {"name": "x" * 201},
        {"name": "n", "nonsense": 1},
        {"name": "n", "resolution": "big"},
        {"name": "n", "frame_rate": 0},
        {"name": "n", "state": "unknown"},
        {"name": "n", "criteria": []},
        {"name": "n", "criteria": [{"metric": "recall", "comparator": "=", "threshold": 1}]},
    ],
)
def test_bad_input_is_refused(api, body):
    answer = api.client.post("/projects", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.client.get("/projects").json()["total"] == 0


def test_nan_is_refused(api):
    body = '{"name": "n", "criteria": [{"metric": "recall", "comparator": ">=", "threshold": NaN}]}'
    answer = api.client.post("/projects", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert "finite" in answer.json()["detail"]


def test_a_body_above_the_limit_is_refused(api):
    answer = api.client.post("/projects", json={"name": "n", "description": "x" * 2_000_000})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("parameters", [{"limit": 0}, {"limit": 501}, {"offset": -1}, {"offset": 2**63}])
def test_bad_pages_are_refused(api, parameters):
    assert api.client.get("/projects", params=parameters).status_code == 422


def test_unknown_project(api):
    unknown = uuid.uuid4()
    for method in ("GET", "PATCH", "DELETE"):
        answer = api.client.request(method, f"/projects/{unknown}", json={} if method == "PATCH" else None)
        assert answer.status_code == 404
        assert str(unknown) in answer.json()["detail"]


def add_run(settings, project_id, video_id, ground_truth_id, state):
    with psycopg.connect(settings.database_conninfo) as connection:
        connection.execute(
            "INSERT INTO runs (id, project_id, kind, video_id, ground_truth_id, model, model_version, settings,"
            " criteria, state, frames_total, frames_done, created_by, priority, revision, deaths)"
            " VALUES (%s, %s, 'model', %s, %s, 'm', '1', '{}', '[]', %s, 0, 0, 'x', 0, 0, 0)",
            (uuid.uuid4(), project_id, video_id, ground_truth_id, state),
        )


def test_deleting_takes_everything_along(api, settings, make_video, tmp_path, coco):
    project_id = api.project()
    video = api.upload(project_id, make_video(tmp_path / "v.mp4")).json()
    truth = api.client.post(
        f"/videos/{video['id']}/ground-truths", params={"name": "t"}, content=coco(video["frame_count"])
    ).json()
    add_run(settings, project_id, video["id"], truth["id"], "running")

    refused = api.client.delete(f"/projects/{project_id}")
    assert refused.status_code == 409
    assert "1 of the project's runs have not ended" in refused.json()["detail"]
    # Evidence of a run is not deleted piecemeal.
    assert api.client.delete(f"/videos/{video['id']}").status_code == 409
    assert api.client.delete(f"/ground-truths/{truth['id']}").status_code == 409
    assert len(api.stored_files()) == 1

    with psycopg.connect(settings.database_conninfo) as connection:
        connection.execute("UPDATE runs SET state = 'completed'")
    assert api.client.delete(f"/projects/{project_id}").status_code == 204
    assert api.stored_files() == []
    with psycopg.connect(settings.database_conninfo) as connection:
        for table in ("projects", "videos", "ground_truths", "truth_boxes", "runs"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
