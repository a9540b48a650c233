"""Evidence says what was processed, and what is sealed stays: on real workers, a real signer and a real database."""

import asyncio
import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path

import httpx2
import psycopg
import pytest
from click.testing import CliRunner
from tests.callers import Calling
from tests.validation_engine.conftest import Rows, Signer, StartWorker, Stored, store
from tests.validation_engine.test_documents import download, finished

from vru.cli import main
from vru.reports.canonical import canonical_json
from vru.reports.container import checked_content, open_container
from vru.reports.evidence import FINDINGS, MANIFEST, VERDICT, build, manifest_of, read_json, verify
from vru.scenes import scene, write_video
from vru.service.database.sessions import Database
from vru.signer.ledger import Ledger

SETTINGS = {"frame_stride": 10}


async def vru(*arguments: object) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, main, ["evidence", *map(str, arguments)])
    return result.exit_code, result.output


async def test_a_video_that_took_the_place_of_the_uploaded_one_is_not_processed(
    client: httpx2.AsyncClient, db: Database, media: Path, start_worker: StartWorker
) -> None:
    place = media / "videos" / "swapped.mp4"
    shutil.copy(media / "videos" / "street.mp4", place)
    stored = await store(db, media, path="videos/swapped.mp4")
    start_worker()
    assert (await finished(client, stored.body(settings=SETTINGS)))["state"] == "completed"
    # Another picture with the same size and frame times.
    other = media / "videos" / "other.mp4"
    write_video(scene("empty"), other)
    other.replace(place)
    run = await finished(client, stored.body(settings=SETTINGS))
    assert run["state"] == "failed" and run["verdict"] is None
    assert "videos/swapped.mp4 in the media store is not the one that was uploaded: its SHA-256 is" in run["error"]


async def test_evidence_names_what_was_opened_and_the_images(
    client: httpx2.AsyncClient, stored: Stored, media: Path, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker(VRU_IMAGE="vru/validation_engine:abc")
    run = await finished(client, stored.body(settings=SETTINGS))
    checked = verify(await download(client, run, tmp_path / "evidence.zip"))
    assert checked.stated, "the signer gave the in-toto statement with the seal"
    manifest = checked.manifest
    inputs = manifest["inputs"]
    assert manifest["opened"] == {
        "video_sha256": inputs["video"]["sha256"], "model_sha256": inputs["model"]["sha256"],
    }  # fmt: skip
    assert manifest["images"] == {"ml_engine": [None], "validation_worker": "vru/validation_engine:abc"}
    assert manifest["providers"] == ["OpenCV"] and inputs["model"]["licence"]


async def test_a_row_that_is_changed_afterwards_changes_no_evidence(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows, signer: Signer, tmp_path: Path
) -> None:
    start_worker()
    run = await finished(client, stored.body(settings=SETTINGS))
    file = await download(client, run, tmp_path / "before.zip")
    assert run["verdict"] == "INCONCLUSIVE"
    for change in (
        "UPDATE runs SET verdict = 'PASS' WHERE id = %s RETURNING 1",
        "UPDATE detections SET score = 1 WHERE run_id = %s RETURNING 1",
        "UPDATE seals SET document = 'x' WHERE run_id = %s RETURNING 1",
        "DELETE FROM seals WHERE run_id = %s RETURNING 1",
    ):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="is refused"):
            rows.ask(change, run["id"])
    # The owner of the tables can do it all the same; what is given out is what was sealed.
    with psycopg.connect(rows.conninfo, autocommit=True) as connection:
        connection.execute("ALTER TABLE runs DISABLE TRIGGER completed_runs_stay")
        try:
            connection.execute("UPDATE runs SET verdict = 'PASS'")
        finally:
            connection.execute("ALTER TABLE runs ENABLE TRIGGER completed_runs_stay")
    again = await download(client, run, tmp_path / "after.zip")
    assert again.read_bytes() == file.read_bytes() and read_json(again, VERDICT)["verdict"] == "INCONCLUSIVE"
    assert (await client.get(f"/runs/{run['id']}/report.json")).json()["verdict"] == "INCONCLUSIVE"
    # And nobody gets a second signature.
    async with httpx2.AsyncClient(base_url=signer.url, auth=Calling("signer")) as asked:
        assert (await asked.post(f"/seals/{run['id']}")).status_code == 409
        assert (await asked.post(f"/seals/{uuid.uuid4()}")).status_code == 404
    assert oct(next((tmp_path / "evidence").glob("*.zip")).stat().st_mode)[-3:] == "444"


async def test_figures_that_were_signed_but_do_not_follow_are_found(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker()
    run = await finished(client, stored.body(settings=SETTINGS))
    file = await download(client, run, tmp_path / "evidence.zip")
    with file.open("rb") as stream:
        contents = {one.name: b"".join(checked_content(stream, one)) for one in open_container(stream)}
    manifest = json.loads(contents[MANIFEST])
    files = {name: contents[name] for name in manifest.pop("files")}
    files[VERDICT] = canonical_json(json.loads(files[VERDICT]) | {"verdict": "PASS"})
    wrong = json.loads(files[FINDINGS])
    missed = wrong["misses"]["count"]
    files[FINDINGS] = canonical_json(wrong | {"misses": wrong["misses"] | {"count": 0}})
    manifest.pop("format")
    forged = manifest_of(manifest, files)
    own = Ledger(tmp_path / "own")
    seal = own.seal(run["id"], hashlib.sha256(forged).hexdigest())
    file.write_bytes(b"".join(build({**files, MANIFEST: forged}, seal)))
    code, output = await vru("verify", file)
    assert code == 1 and "verdict.verdict: stated 'PASS', computed 'INCONCLUSIVE'" in output
    assert f"findings.misses.count: stated 0, computed {missed}" in output


async def test_a_signer_that_is_away_is_waited_for(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows, signer: Signer, tmp_path: Path
) -> None:
    start_worker()
    signer.stop()
    run = (await client.post("/runs", json=stored.body(settings=SETTINGS))).json()
    prepared = "SELECT 1 FROM seals WHERE run_id = %s AND document IS NULL"
    await asyncio.to_thread(
        rows.until, lambda: bool(rows.ask(prepared, run["id"])), seconds=60, what="evidence waits for its seal"
    )
    assert rows.state(run["id"]) == "analysing"
    signer.start()
    await asyncio.to_thread(rows.until, lambda: rows.state(run["id"]) == "completed", seconds=30, what="completed")
    assert verify(await download(client, run, tmp_path / "evidence.zip")).seal.position == 1
    assert not list((tmp_path / "evidence" / "unsealed").iterdir())


async def test_a_worker_that_dies_after_the_seal_leaves_one_seal(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows, signer: Signer, tmp_path: Path
) -> None:
    worker = start_worker()
    signer.stop()
    run = (await client.post("/runs", json=stored.body(settings=SETTINGS))).json()
    prepared = "SELECT 1 FROM seals WHERE run_id = %s AND document IS NULL"
    await asyncio.to_thread(rows.until, lambda: bool(rows.ask(prepared, run["id"])), seconds=60, what="prepared")
    worker.kill()
    # What the dead worker had asked for; it never got the answer.
    signer.start()
    async with httpx2.AsyncClient(base_url=signer.url, auth=Calling("signer"), timeout=10) as asked:
        for _ in range(100):
            try:
                answer = await asked.post(f"/seals/{run['id']}")
                break
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
    assert answer.status_code == 200, answer.text
    start_worker()
    await asyncio.to_thread(rows.until, lambda: rows.state(run["id"]) == "completed", seconds=40, what="completed")
    checked = verify(await download(client, run, tmp_path / "evidence.zip"))
    assert checked.seal.signature == answer.json()["signature"]


async def test_a_full_or_read_only_disk_is_named_and_the_run_can_be_retried(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, tmp_path: Path
) -> None:
    place = tmp_path / "evidence"
    place.write_text("a file where the folder should be")
    start_worker()
    run = await finished(client, stored.body(settings=SETTINGS))
    assert run["state"] == "failed"
    assert f"The evidence cannot be stored in {place}" in run["error"] and os.strerror(20) in run["error"]
    place.unlink()
    await client.post(f"/runs/{run['id']}/retry")
    for _ in range(200):
        run = (await client.get(f"/runs/{run['id']}")).json()
        if run["state"] == "completed":
            return
        await asyncio.sleep(0.1)
    raise AssertionError(run["error"])


async def test_evidence_of_an_older_release_is_not_made_up(
    client: httpx2.AsyncClient, stored: Stored, rows: Rows
) -> None:
    run = (await client.post("/runs", json=stored.body())).json()
    rows.ask("UPDATE runs SET state = 'completed', verdict = 'PASS' WHERE id = %s RETURNING 1", run["id"])
    answer = await client.get(f"/runs/{run['id']}/evidence")
    assert answer.status_code == 409 and "did not seal evidence" in answer.json()["detail"]
