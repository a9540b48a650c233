"""Runs over data sets, by real workers and a real ML engine on a real database."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from click.testing import CliRunner
from tests.validation_engine.conftest import Rows, StartWorker
from tests.validation_engine.data_sets import STREET, TRUTH, store_predictions, store_set
from tests.validation_engine.test_documents import download, finished

from vru.cli import main
from vru.reports.evidence import FINDINGS, read_json, verify
from vru.service.database.sessions import Database

RECORDINGS = {
    "day": {"light": "day", "site": "A"},
    "night": {"light": "night", "site": "A"},
    "dusk": {"light": "dusk"},
}


async def recomputed(client: httpx2.AsyncClient, path: Path) -> str:
    key = (await client.get("/evidence-key")).headers["x-vru-key-fingerprint"]
    result = await asyncio.to_thread(CliRunner().invoke, main, ["evidence", "verify", str(path), "--key", key])
    assert result.exit_code == 0, result.output
    return result.output


async def test_a_model_over_a_data_set(
    client: httpx2.AsyncClient, db: Database, media: Path, start_worker: StartWorker, rows: Rows, tmp_path: Path
) -> None:
    made = await store_set(db, media, RECORDINGS, tags=["rain"])
    (media / "videos" / "street-dusk.mp4").unlink()
    start_worker(shard_frames=5, concurrency=2)
    criteria = [
        {"metric": "recall", "comparator": ">=", "threshold": 0.001},
        {"metric": "recall", "comparator": ">=", "threshold": 0.001, "slice": "light:night"},
    ]
    run = await finished(client, made.body(settings={"frame_stride": 10}, criteria=criteria))
    assert run["state"] == "completed", run["error"]
    assert (run["video_id"], run["ground_truth_id"], run["predictions_id"]) == (None, None, None)
    assert run["data_set_version"] == {
        "id": str(made.version),
        "data_set_id": str(made.data_set),
        "name": "Streets",
        "number": 1,
        "recording_count": 3,
    }
    assert (run["frames_total"], run["frames_done"]) == (30, 20)
    assert rows.ask("SELECT frozen_at IS NOT NULL FROM data_set_versions WHERE id = %s", made.version) == [(True,)]

    # One recording failed: it is named, counts nowhere, and the whole does not pass.
    metrics = run["metrics"]
    first, *others = metrics["recordings"]
    assert (first["name"], first["frames"], first["recall"]) == ("dusk", 0, None)
    assert "street-dusk.mp4" in first["failed"]
    assert {row["name"] for row in others} == {"day", "night"}
    assert all((row["failed"], row["frames"]) == (None, 10) for row in others)
    assert run["verdict"] == "INCONCLUSIVE"
    assert run["notes"][0].startswith("Recording dusk failed, and counts nowhere: ")
    assert "The units are the 2 recordings" in " ".join(run["notes"])
    assert [clip["recording"] for clip in run["set_aside"]] == [3, 3]

    # The same pictures: the same figures, in each recording and together.
    day, night = ({key: row[key] for key in row if key not in ("name", "number")} for row in others)
    assert day == night
    assert metrics["true_positives"] == 2 * day["true_positives"] > 0
    slices = {row["slice"] for row in metrics["measurements"]}
    assert slices >= {"all", "light:day", "light:night", "site:A", "tag:rain"}
    assert "light:dusk" not in slices
    value = {(row["slice"], row["metric"]): row["value"] for row in metrics["measurements"]}
    assert value["all", "recall"] == pytest.approx(day["recall"])
    assert value["light:night", "recall"] == pytest.approx(day["recall"])
    assert {(track["recording"], track["track_id"]) for track in metrics["tracks"]} == {
        (name, track.track_id) for name in ("day", "night") for track in TRUTH.tracks
    }

    found = [
        (await client.get(f"/runs/{run['id']}/detections", params={"recording": number})).json()["items"]
        for number in (1, 2, 3)
    ]
    assert found[0] == found[1] != []
    assert found[2] == []
    assert (await client.get(f"/runs/{run['id']}/detections")).status_code == 422

    report = (await client.get(f"/runs/{run['id']}/report.html")).text
    assert "Streets, version 1" in report
    assert "Recordings, the worst first" in report
    for form in ("pdf", "json", "csv", "tracks.csv", "xml"):
        assert (await client.get(f"/runs/{run['id']}/report.{form}")).status_code == 200, form
    evidence = await download(client, run, tmp_path / "e.zip")
    manifest = verify(evidence).manifest
    sha256 = [item["video"]["sha256"] for item in manifest["inputs"]["recordings"]]
    opened = manifest["opened"]["recordings"]
    assert [opened["day"], opened["night"], opened["dusk"]] == [sha256[0], sha256[1], None]
    assert manifest["inputs"]["data_set"]["sha256"] == "d" * 64
    assert [item["ground_truth"]["sha256"] for item in manifest["inputs"]["recordings"]] == [
        f"{number:064d}" for number in (1, 2, 3)
    ]
    shown = await recomputed(client, evidence)
    assert "identical" in shown
    assert all(digest in shown for digest in sha256)


async def test_imported_predictions_over_a_data_set(
    client: httpx2.AsyncClient, db: Database, media: Path, start_worker: StartWorker, rows: Rows, tmp_path: Path
) -> None:
    made = await store_set(db, media, RECORDINGS)
    # At night it misses one road user altogether, at dusk everybody in the second half.
    last = {track.track_id: track for track in TRUTH.tracks}[1]
    stored = await store_predictions(
        db,
        made,
        lambda name, track, frame: not ((name == "night" and track == 1) or (name == "dusk" and frame >= 50)),
    )
    start_worker(concurrency=2)
    run = await finished(client, made.body(predictions_id=str(stored)))
    assert run["state"] == "completed", run["error"]
    assert (run["model"], run["model_version"], run["model_sha256"]) == ("net", "7", "f" * 64)
    assert run["predictions_id"] == str(stored)
    assert run["frames_done"] == run["frames_total"] == 3 * STREET.frame_count
    results = {row["name"]: row for row in run["metrics"]["recordings"]}
    assert [row["f1"] for row in run["metrics"]["recordings"]] == sorted(row["f1"] for row in results.values())
    assert (results["day"]["recall"], results["day"]["precision"], results["day"]["tracks_missed"]) == (1.0, 1.0, 0)
    assert results["night"]["tracks_missed"] == 1
    assert results["night"]["false_negatives"] == sum(not box.ignore for box in last.boxes)
    late = sum(box.frame_index >= 50 and not box.ignore for _, box in TRUTH.boxes())
    assert results["dusk"]["false_negatives"] == late
    missed = [track for track in run["metrics"]["tracks"] if track["latency_ms"] is None]
    assert ("night", 1) in {(track["recording"], track["track_id"]) for track in missed}
    boxes = sum(not box.ignore for _, box in TRUTH.boxes())
    recall = next(row for row in run["metrics"]["measurements"] if (row["slice"], row["metric"]) == ("all", "recall"))
    assert recall["value"] == pytest.approx(1 - (late + results["night"]["false_negatives"]) / (3 * boxes))
    assert recall["n"] == 3
    assert "made elsewhere, by Supplier B" in " ".join(run["notes"])

    evidence = await download(client, run, tmp_path / "e.zip")
    manifest = verify(evidence).manifest
    said = manifest["inputs"]["predictions"]
    assert (said["made_by"], said["sha256"], said["imported_by"]) == ("Supplier B", "f" * 64, "a@b")
    stored_sha256 = rows.ask(
        "SELECT sha256 FROM predicted_recordings WHERE prediction_set_id = %s AND name = 'night'", stored
    )
    assert said["recordings"]["night"]["sha256"] == stored_sha256[0][0]
    assert manifest["providers"] == ["imported predictions"]
    assert manifest["opened"]["model_sha256"] is None
    assert "identical" in await recomputed(client, evidence)
    report = (await client.get(f"/runs/{run['id']}/report.html")).text
    assert "Imported predictions: made elsewhere" in report

    # What was missed, one by one, is sealed with it, and in the report.
    wrong = read_json(evidence, FINDINGS)
    assert wrong["misses"]["count"] == run["metrics"]["false_negatives"] == len(wrong["misses"]["worst"])
    assert wrong["false_alarms"] == {"count": 0, "worst": []}
    whole = next(row for row in wrong["missed_stretches"] if (row["recording"], row["track_id"]) == ("night", 1))
    assert (whole["frames"], whole["from"]["time_s"]) == (results["night"]["false_negatives"], last.boxes[0].time_s)
    counts = {tuple(row["values"]): (row["images"], row["missed"]) for row in wrong["scenarios"]["rows"]}
    frames = STREET.frame_count
    assert counts["day", "A"] == (frames, [0]) and counts["dusk", "not stated"] == (frames, [late])
    for heading in ("Missed stretches", "Confusion matrix", "Appendix: misses"):
        assert f"<h2>{heading}</h2>" in report
    assert "--csv" not in report

    # Against another version, which finds everybody at night and nobody by day.
    other = await store_predictions(db, made, lambda name, *_: name != "day")
    second = await finished(client, made.body(predictions_id=str(other)))
    assert second["state"] == "completed", second["error"]
    body = {"before": run["id"], "after": second["id"], "margins": [{"metric": "recall", "margin": 0.05}]}
    answer = await client.post("/comparisons", json=body)
    assert answer.status_code == 200, answer.text
    compared = answer.json()
    assert (compared["recordings"], compared["left_out"]) == (3, [])
    ids = sorted(track.track_id for track in TRUTH.tracks)
    assert [(one["recording"], one["track_id"]) for one in compared["newly_missed"]] == [("day", one) for one in ids]
    assert ("night", 1) in {(one["recording"], one["track_id"]) for one in compared["newly_found"]}
    changed = {(row["slice"], row["metric"]): row for row in compared["differences"]}
    assert changed["light:day", "recall"]["difference"] == -1.0
    assert changed["all", "recall"]["units"] == "recordings"
    # Three recordings prove no loss of less than 0.05, least of all where one of them lost everybody.
    assert compared["verdict"] in ("FAIL", "INCONCLUSIVE")
    assert compared["margins"][0]["verdict"] == compared["verdict"]

    # A single recording, with the same predictions.
    body = {
        "project_id": str(made.project),
        "video_id": str(made.videos["night"]),
        "ground_truth_id": str(made.truths["night"]),
        "predictions_id": str(stored),
        "settings": {"frame_stride": 2},
    }
    alone = await finished(client, body)
    refused = await client.post("/comparisons", json={"before": run["id"], "after": alone["id"]})
    assert refused.json()["detail"] == f"Run {alone['id']} is not over a data set."
    assert alone["state"] == "completed", alone["error"]
    assert alone["model"] == "net"
    assert [track["track_id"] for track in alone["metrics"]["tracks"] if track["latency_ms"] is None] == [1]
    evidence = await download(client, alone, tmp_path / "alone.zip")
    assert verify(evidence).manifest["inputs"]["predictions"]["made_by"] == "Supplier B"
    assert "identical" in await recomputed(client, evidence)


async def test_boxes_that_are_not_those_imported_are_not_measured(
    client: httpx2.AsyncClient, db: Database, media: Path, start_worker: StartWorker, settings: Any
) -> None:
    made = await store_set(db, media, RECORDINGS)
    stored = await store_predictions(db, made, lambda *_: True)
    with psycopg.connect(settings.database_conninfo) as owner:
        # No service can do this.
        owner.execute("ALTER TABLE predicted_boxes DISABLE TRIGGER USER")
        owner.execute("UPDATE predicted_boxes SET score = 0.8 WHERE prediction_set_id = %s AND position = 0", (stored,))
        owner.execute("ALTER TABLE predicted_boxes ENABLE TRIGGER USER")
    start_worker()
    run = await finished(client, made.body(predictions_id=str(stored)))
    assert run["state"] == "completed", run["error"]
    failed = run["metrics"]["recordings"][0]
    assert failed["name"] == "day"
    assert "are not those that were imported" in failed["failed"]
    assert run["verdict"] != "PASS"
    assert run["metrics"]["false_negatives"] == 0


async def test_what_cannot_be_run(client: httpx2.AsyncClient, db: Database, media: Path) -> None:
    made = await store_set(db, media, {"day": {"light": "day"}}, sources={"day": "model:opencv-hog"})
    stored = await store_predictions(db, made, lambda *_: True, name="opencv-hog")
    nobody = str(uuid.uuid4())

    async def refused(status: int, **more: object) -> str:
        answer = await client.post("/runs", json=made.body(**more))
        assert answer.status_code == status, answer.text
        return str(answer.json()["detail"])

    assert "Recording day: The ground truth was made by opencv-hog" in await refused(422)
    assert "made by opencv-hog, the model under test" in await refused(422, predictions_id=str(stored))
    assert await refused(404, data_set_version=2) == "Data set Streets has no version 2."
    assert "There is no data set" in await refused(404, data_set_id=nobody)
    assert "There are no predictions" in await refused(404, predictions_id=nobody)
    assert "name one of the two" in await refused(422, predictions_id=str(stored), model="opencv-hog")
    criterion = {"metric": "recall", "comparator": ">=", "threshold": 0.5}
    slices = await refused(422, criteria=[criterion | {"slice": "light:night"}])
    assert slices == "The data set has no slice 'light:night'."
    assert "holds never" in await refused(422, criteria=[criterion | {"threshold": 2}])
    other = await store_set(db, media, {"other": {}})
    assert "does not belong to project" in await refused(422, data_set_id=str(other.data_set))
    elsewhere = await store_predictions(db, other, lambda *_: True)
    assert "do not belong to the project" in await refused(422, predictions_id=str(elsewhere))
    # Nothing was frozen by what was refused.
    answer = await client.get("/runs", params={"project_id": str(made.project)})
    assert answer.json()["total"] == 0
    async with db.read() as session:
        from vru.service.database.tables import DataSetVersion

        version = await session.get(DataSetVersion, made.version)
        assert version is not None
        assert version.frozen_at is None
