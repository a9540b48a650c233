"""Data sets over HTTP, in a real database."""

import json
import uuid

import psycopg
import pytest


@pytest.fixture
def project(api):
    return api.project()


@pytest.fixture
def data_set(api, project, record):
    """A data set of two recordings; and the two."""
    day, night = record(project, "day.mp4"), record(project, "night.mp4")
    recordings = [
        {"video_id": day.video, "attributes": {"light": "day", "site": "A"}, "tags": ["dry"]},
        {"video_id": night.video, "ground_truth_id": night.truth, "attributes": {"light": "night", "site": "A"}},
    ]
    answer = api.client.post(f"/projects/{project}/data-sets", json={"name": "Tests", "recordings": recordings})
    assert answer.status_code == 201, answer.text
    return answer.json(), day, night


def freeze(settings, data_set, number=1):
    with psycopg.connect(settings.database_conninfo, user="vru_validation_engine") as connection:
        connection.execute(
            "UPDATE data_set_versions SET frozen_at = now() WHERE data_set_id = %s AND number = %s",
            (data_set["id"], number),
        )


def recordings(api, data_set, number=1):
    answer = api.client.get(f"/data-sets/{data_set['id']}/versions/{number}/recordings")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_a_data_set_names_its_recordings_by_digest(api, project, data_set):
    made, day, night = data_set
    assert made["newest"] | {"id": 0, "created_at": 0, "sha256": 0} == {
        "id": 0,
        "number": 1,
        "note": "",
        "sha256": 0,
        "recording_count": 2,
        "frame_count": 40,
        "duration_s": pytest.approx(4.0),
        "frozen_at": None,
        "created_by": "admin@example.com",
        "created_at": 0,
    }
    assert api.client.get(f"/data-sets/{made['id']}").json() == made
    assert api.client.get(f"/projects/{project}/data-sets").json() == {"items": [made], "total": 1}
    first, second = recordings(api, made)
    assert (first["name"], first["video_id"], first["ground_truth_id"]) == ("day.mp4", day.video, day.truth)
    assert first["video_sha256"] == api.client.get(f"/videos/{day.video}").json()["sha256"]
    assert first["ground_truth_sha256"] == api.client.get(f"/ground-truths/{day.truth}").json()["sha256"]
    assert (first["attributes"], first["tags"]) == ({"light": "day", "site": "A"}, ["dry"])
    assert (second["name"], second["number"], second["track_count"], second["box_count"]) == ("night.mp4", 2, 2, 8)
    # Nothing was copied.
    assert api.stored_files() == sorted(f"videos/{item.video}.mp4" for item in (day, night))
    slices = api.client.get(f"/data-sets/{made['id']}/versions/1/slices").json()["items"]
    assert slices == [
        {"slice": "light:day", "recordings": 1},
        {"slice": "light:night", "recordings": 1},
        {"slice": "site:A", "recordings": 2},
        {"slice": "tag:dry", "recordings": 1},
    ]


def test_a_new_version_says_what_changed(api, project, data_set, record):
    made, _, _ = data_set
    rain = record(project, "rain.mp4")
    change = {
        "note": "rain",
        "add": [{"video_id": rain.video, "name": "rain"}],
        "remove": ["night.mp4"],
        "change": [{"name": "day.mp4", "attributes": {"light": None, "road": "urban"}, "tags": ["wet"]}],
    }
    answer = api.client.post(f"/data-sets/{made['id']}/versions", json=change)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["version"]["number"], answer.json()["version"]["note"]) == (2, "rain")
    changes = answer.json()["changes"]
    assert changes == {
        "before": 1,
        "after": 2,
        "added": ["rain"],
        "removed": ["night.mp4"],
        "changed": [
            {
                "name": "day.mp4",
                "fields": [
                    {"field": "tags", "before": ["dry"], "after": ["wet"]},
                    {"field": "attributes.light", "before": "day", "after": None},
                    {"field": "attributes.road", "before": None, "after": "urban"},
                ],
            }
        ],
        "unchanged": 0,
    }
    diff = api.client.get(f"/data-sets/{made['id']}/diff", params={"before": 1, "after": 2}).json()
    assert diff == changes
    # The version before is as it was.
    assert [item["name"] for item in recordings(api, made)] == ["day.mp4", "night.mp4"]
    numbers = [item["number"] for item in api.client.get(f"/data-sets/{made['id']}/versions").json()["items"]]
    assert numbers == [2, 1]
    back = {
        "add": [{"video_id": data_set[2].video, "attributes": {"light": "night", "site": "A"}}],
        "remove": ["rain"],
        "change": [{"name": "day.mp4", "attributes": {"light": "day", "road": None}, "tags": ["dry"]}],
    }
    third = api.client.post(f"/data-sets/{made['id']}/versions", json=back).json()["version"]
    # The same content, the same digest.
    assert third["sha256"] == made["newest"]["sha256"]
    nothing = api.client.post(f"/data-sets/{made['id']}/versions", json={"note": "again"})
    assert nothing.status_code == 422
    assert nothing.json()["detail"] == "Nothing differs from version 3."


def test_new_truth_is_a_change(api, data_set, coco):
    made, day, night = data_set
    content = coco(change=lambda file: file["annotations"].pop())
    truth = api.client.post(f"/videos/{day.video}/ground-truths", params={"name": "better"}, content=content).json()
    change = {"change": [{"name": "day.mp4", "ground_truth_id": truth["id"]}]}
    refused = api.client.post(f"/data-sets/{made['id']}/versions", json=change)
    assert refused.json()["detail"] == f"Ground truth better ({truth['id']}) is not approved."
    api.client.post(f"/ground-truths/{truth['id']}/approve")
    changes = api.client.post(f"/data-sets/{made['id']}/versions", json=change).json()["changes"]
    before = api.client.get(f"/ground-truths/{day.truth}").json()["sha256"]
    field = {"field": "ground_truth", "before": before, "after": truth["sha256"]}
    assert changes["changed"] == [{"name": "day.mp4", "fields": [field]}]
    other = api.client.post(
        f"/data-sets/{made['id']}/versions", json={"change": [{"name": "day.mp4", "ground_truth_id": night.truth}]}
    )
    assert "is about another video than 'day.mp4'" in other.json()["detail"]


def test_a_version_changes_until_a_run_was_made_with_it(api, settings, data_set):
    made, _, _ = data_set
    path = f"/data-sets/{made['id']}/versions/1"
    change = {"change": [{"name": "day.mp4", "attributes": {"weather": "rain"}}]}
    answer = api.client.patch(path, json=change)
    assert answer.status_code == 200, answer.text
    assert recordings(api, made)[0]["attributes"]["weather"] == "rain"
    assert answer.json()["version"]["sha256"] != made["newest"]["sha256"]
    freeze(settings, made)
    for refused in (
        api.client.patch(path, json=change),
        api.client.post(f"{path}/attributes", content="recording,light\nday.mp4,dusk\n"),
    ):
        assert refused.status_code == 409
        assert refused.json()["detail"] == "Version 1 is frozen: runs were made with it."
        assert "/versions" in refused.json()["fix"]
    # Nor does the database let anybody change it.
    for statement in (
        "UPDATE data_set_recordings SET attributes = '{}'",
        "DELETE FROM data_set_recordings WHERE number = 1",
        "INSERT INTO data_set_recordings SELECT version_id, 9, 'x', video_id, ground_truth_id, 'y', "
        "ground_truth_sha256, attributes, tags, calibration FROM data_set_recordings WHERE number = 1",
        "UPDATE data_set_versions SET note = 'x'",
    ):
        with (
            psycopg.connect(settings.database_conninfo, user="vru_api_gateway") as connection,
            pytest.raises(psycopg.errors.IntegrityConstraintViolation),
        ):
            connection.execute(statement)
    assert api.client.post(f"/data-sets/{made['id']}/versions", json={"remove": ["day.mp4"]}).status_code == 201


@pytest.mark.parametrize(
    ("content", "light", "tags"),
    [
        (b"recording,light,weather,tags\nday.mp4,dusk,,a; b\n", "dusk", ["a", "b"]),
        ("\ufeffname;light\r\nday.mp4;dämmerung\r\n\r\n".encode(), "dämmerung", ["dry"]),
        (b'{"recordings": {"day.mp4": {"light": "dusk", "tags": ["x"]}}}', "dusk", ["x"]),
        (b'[{"video": "day.mp4", "light": "dusk"}]', "dusk", ["dry"]),
    ],
)
def test_attributes_come_from_files(api, data_set, content, light, tags):
    made, _, _ = data_set
    answer = api.client.post(f"/data-sets/{made['id']}/versions/1/attributes", content=content)
    assert answer.status_code == 200, answer.text
    first, second = recordings(api, made)
    assert (first["attributes"], first["tags"]) == ({"light": light, "site": "A"}, tags)
    assert second["attributes"] == {"light": "night", "site": "A"}
    assert [item["name"] for item in answer.json()["changes"]["changed"]] == ["day.mp4"]


def test_attributes_make_a_new_version_on_request(api, settings, data_set):
    made, _, _ = data_set
    freeze(settings, made)
    answer = api.client.post(
        f"/data-sets/{made['id']}/versions/1/attributes",
        params={"new_version": True, "note": "weather", "name": "a.csv"},
        content=b"recording,weather\nday.mp4,rain\n",
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["version"]["number"], answer.json()["version"]["note"]) == (2, "weather")
    assert recordings(api, made, 2)[0]["attributes"]["weather"] == "rain"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The upload is empty."),
        (b"light\nnight\n", "a.csv has no column with the recordings' names."),
        (b"recording,light\nday.mp4\n", "a.csv, line 2 has 1 cells, not 2."),
        (b"recording,light\nday.mp4,a\nday.mp4,b\n", "a.csv, line 3 is about 'day.mp4' again."),
        (b"recording,light\nnobody,a\n", "The data set has no recording 'nobody'."),
        (b"recording,size\nday.mp4,a\n", "an attribute cannot be called 'size'"),
        (b"recording,a:b\nday.mp4,a\n", "should match pattern"),
        (b"recording,light\nday.mp4," + b"x" * 101 + b"\n", "at most 100 characters"),
        (b"recording,light\n,a\n", "a.csv, line 2 names no recording."),
        (b'recording,light\nday.mp4,"a\n', "a.csv, line"),
        (b"\xff\xfe\x00", "a.csv is no text in UTF-8"),
        (b'{"day.mp4": {"light": 1}}', "a.csv: day.mp4: light is 1, no text."),
        (b'{"day.mp4": "night"}', "a.csv: day.mp4 is no object of attributes."),
        (b"[1]", "a.csv, entry 1 is no object of attributes."),
        (b'{"day.mp4": {', "a.csv is no JSON"),
    ],
)
def test_a_bad_file_of_attributes_changes_nothing(api, data_set, content, reason):
    made, _, _ = data_set
    answer = api.client.post(
        f"/data-sets/{made['id']}/versions/1/attributes", params={"name": "a.csv"}, content=content
    )
    assert answer.status_code == 422, answer.text
    assert reason in answer.json()["detail"]
    assert api.client.get(f"/data-sets/{made['id']}").json() == made


def test_what_cannot_be_in_a_data_set_is_refused(api, project, record, coco, tmp_path):
    good, unapproved = record(project, "good"), record(project, "open", approved=False)
    elsewhere = record(api.project("Other"), "elsewhere")
    twin = api.upload(project, tmp_path / "1.mp4", "twin").json()["id"]
    truth = api.client.post(f"/videos/{twin}/ground-truths", params={"name": "twin"}, content=coco()).json()["id"]
    api.client.post(f"/ground-truths/{truth}/approve")

    def reason(*entries):
        body = {"name": "x", "recordings": list(entries)}
        answer = api.client.post(f"/projects/{project}/data-sets", json=body)
        assert answer.status_code == 422, answer.text
        return answer.json()["detail"]

    assert reason({"video_id": unapproved.video}) == "Video open has no approved ground truth."
    assert "is not approved" in reason({"video_id": unapproved.video, "ground_truth_id": unapproved.truth})
    assert reason({"video_id": elsewhere.video}) == f"The project has no video {elsewhere.video}."
    nobody = str(uuid.uuid4())
    assert reason({"video_id": nobody}) == f"The project has no video {nobody}."
    assert reason({"video_id": good.video, "ground_truth_id": nobody}) == f"There is no ground truth {nobody}."
    assert "another video" in reason({"video_id": good.video, "ground_truth_id": elsewhere.truth})
    for same in (good.video, twin):
        assert "are the same video" in reason({"video_id": good.video}, {"video_id": same, "name": "again"})
    other = record(project, "good")
    assert reason({"video_id": good.video}, {"video_id": other.video}) == "Two recordings are called 'good'."
    for wrong in (
        {"attributes": {"class": "x"}},
        {"attributes": {"light": ""}},
        {"attributes": {"": "x"}},
        {"attributes": {"light": "a\nb"}},
        {"tags": ["\u200b"]},
        {"calibration": {"focal_px": 0, "principal_row_px": 1, "height_m": 1}},
        {"name": " "},
    ):
        reason({"video_id": good.video} | wrong)
    assert reason() != ""
    assert api.client.get(f"/projects/{project}/data-sets").json()["total"] == 0


def test_changes_of_what_is_not_there(api, data_set):
    made, _, _ = data_set

    def reason(change):
        answer = api.client.post(f"/data-sets/{made['id']}/versions", json=change)
        assert answer.status_code == 422, answer.text
        return answer.json()["detail"]

    assert reason({"remove": ["nobody"]}) == "The data set has no recording 'nobody'."
    assert reason({"change": [{"name": "nobody"}]}) == "The data set has no recording 'nobody'."
    assert reason({"change": [{"name": "day.mp4"}] * 2}) == "There are 2 changes of 'day.mp4'."
    assert reason({"remove": ["day.mp4", "night.mp4"]}) == "A version without a recording measures nothing."
    for path in ("versions/7", "versions/7/recordings", "versions/7/slices", "diff?before=1&after=7"):
        assert api.client.get(f"/data-sets/{made['id']}/{path}").status_code == 404
    for path in ("", "/versions", "/versions/1"):
        assert api.client.get(f"/data-sets/{uuid.uuid4()}{path}").status_code == 404


def test_a_name_is_taken_once_and_can_be_changed(api, project, data_set):
    made, day, _ = data_set
    body = {"name": "Tests", "recordings": [{"video_id": day.video}]}
    answer = api.client.post(f"/projects/{project}/data-sets", json=body)
    assert answer.status_code == 409
    assert answer.json()["detail"] == "The project has a data set 'Tests' already."
    changed = api.client.patch(f"/data-sets/{made['id']}", json={"name": "Night", "description": "d"}).json()
    assert (changed["name"], changed["description"]) == ("Night", "d")
    assert api.client.post(f"/projects/{project}/data-sets", json=body).status_code == 201


def test_what_it_names_stays_until_it_goes(api, project, data_set):
    made, day, _ = data_set
    for path, what in ((f"/videos/{day.video}", "video"), (f"/ground-truths/{day.truth}", "ground truth")):
        answer = api.client.delete(path)
        assert answer.status_code == 409
        assert answer.json()["detail"] == f"A data set names this {what}."
    assert api.client.delete(f"/data-sets/{made['id']}").status_code == 204
    assert api.client.get(f"/data-sets/{made['id']}").status_code == 404
    assert api.client.delete(f"/videos/{day.video}").status_code == 204


def test_it_goes_with_its_project(api, settings, project, data_set):
    freeze(settings, data_set[0])
    assert api.client.delete(f"/projects/{project}").status_code == 204
    assert api.client.get(f"/data-sets/{data_set[0]['id']}").status_code == 404


def run_row(settings, project, data_set, model, f1, *, state="completed", failed=()):
    """A run as the validation engine leaves it; its id."""
    measured = [
        {"metric": "f1", "slice": name, "value": f1, "low": None, "high": None, "n": 2, "unit": ""}
        for name in ("all", "light:day")
    ]
    metrics = {
        "measurements": measured,
        "recordings": [{"name": name, "failed": "gone"} for name in failed] + [{"name": "x", "failed": None}],
    }
    with psycopg.connect(settings.database_conninfo) as connection:
        row = connection.execute(
            "INSERT INTO runs (id, project_id, kind, data_set_version_id, model, model_version, settings, criteria, "
            "state, frames_total, frames_done, priority, revision, deaths, metrics, verdict, created_by, finished_at) "
            "VALUES (gen_random_uuid(), %s, 'model', %s, %s, '1', %s, '[]', %s, 1, 1, 0, 0, 0, %s, 'FAIL', 'a', now()) "
            "RETURNING id",
            (
                project,
                data_set["newest"]["id"],
                model,
                json.dumps({"score_threshold": 0.5, "iou_threshold": 0.5, "frame_stride": 1, "seed": 0}),
                state,
                json.dumps(metrics),
            ),
        ).fetchone()
    return str(row[0])


def test_runs_over_a_version_are_ranked(api, settings, project, data_set):
    made, _, _ = data_set
    weak = run_row(settings, project, made, "weak", 0.5, failed=["day.mp4"])
    strong = run_row(settings, project, made, "strong", 0.9)
    run_row(settings, project, made, "late", None, state="failed")
    unknown = run_row(settings, project, made, "unknown", None)
    answer = api.client.get(f"/data-sets/{made['id']}/versions/1/leaderboard")
    assert answer.status_code == 200, answer.text
    entries = answer.json()["items"]
    assert [entry["run_id"] for entry in entries] == [strong, weak, unknown]
    assert [entry["failed_recordings"] for entry in entries] == [0, 1, 0]
    assert entries[0]["figures"] == [{"metric": "f1", "value": 0.9, "low": None, "high": None, "n": 2}]
    assert (entries[0]["detector"], entries[0]["verdict"], entries[0]["imported"]) == ("strong", "FAIL", False)
    # Runs were made with it: it stays.
    assert api.client.delete(f"/data-sets/{made['id']}").status_code == 409
    assert api.client.delete(f"/projects/{project}").status_code == 204
