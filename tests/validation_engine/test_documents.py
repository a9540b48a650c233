"""Reports and evidence of real runs."""

import asyncio
import json
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner
from tests.validation_engine.conftest import StartWorker, Stored

from vru.cli import main
from vru.reports.evidence import FINDINGS, METRICS, VERDICT, read_json, verify
from vru.service.database.sessions import Database
from vru.service.database.tables import Project


async def finished(client: httpx2.AsyncClient, body: dict[str, object]) -> dict:
    run = (await client.post("/runs", json=body)).json()
    for _ in range(400):
        run = (await client.get(f"/runs/{run['id']}")).json()
        if run["state"] in ("completed", "failed", "cancelled"):
            return run
        await asyncio.sleep(0.1)
    raise TimeoutError(run["state"])


async def download(client: httpx2.AsyncClient, run: dict, path: Path) -> Path:
    answer = await client.get(f"/runs/{run['id']}/evidence")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith("attachment")
    path.write_bytes(answer.content)
    return path


async def test_reports_and_evidence_of_a_run(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, db: Database, tmp_path: Path
) -> None:
    async with db.write() as session:
        project = await session.get(Project, stored.project)
        assert project is not None
        project.name = f"<script>alert(1)</script> {stored.project}"
    # It is analysed clip by clip; what is in the evidence is evaluated at once, further down.
    start_worker(shard_frames=4)
    body = stored.body(settings={"frame_stride": 4})
    run = await finished(client, body)
    assert run["state"] == "completed", run["error"]
    assert {curve["chart"] for curve in run["metrics"]["curves"]} == {
        "precision_recall", "miss_rate", "detected_in_time",
    }  # fmt: skip

    kinds = {
        "html": "text/html", "pdf": "application/pdf", "json": "application/json", "csv": "text/csv",
        "tracks.csv": "text/csv", "xml": "application/xml",
    }  # fmt: skip
    for form, kind in kinds.items():
        answer = await client.get(f"/runs/{run['id']}/report.{form}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith(kind)
        assert f'filename="vru-run-{run["id"]}.{form}"' in answer.headers["content-disposition"]
        assert answer.content == (await client.get(f"/runs/{run['id']}/report.{form}")).content
        if form == "html":
            assert "<h2>Confusion matrix</h2>" in answer.text
            assert "<script>alert" not in answer.text and "sandbox" in answer.headers["content-security-policy"]
    assert (await client.get(f"/runs/{run['id']}/report.exe")).status_code == 422

    first = await download(client, run, tmp_path / "first.zip")
    assert first.read_bytes() == (await download(client, run, tmp_path / "again.zip")).read_bytes()
    key = await client.get("/evidence-key")
    (tmp_path / "key.pem").write_bytes(key.content)
    checked = verify(first, key.headers["x-vru-key-fingerprint"])
    model = checked.manifest["inputs"]["model"]
    assert model["name"] == "opencv-hog" and len(model["sha256"]) == 64
    assert set(checked.manifest["inputs"]) == {"video", "ground_truth", "model"}
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_bytes((await client.get("/evidence-ledger")).content)
    asked = ["evidence", "verify", str(first), "--key", str(tmp_path / "key.pem"), "--ledger", str(ledger)]
    result = await asyncio.to_thread(CliRunner().invoke, main, asked)
    assert result.exit_code == 0, result.output
    assert "identical" in result.output and "whole, 1 seals" in result.output

    wrong = read_json(first, FINDINGS)
    assert wrong["misses"]["count"] == run["metrics"]["false_negatives"] > 0
    assert wrong["false_alarms"]["count"] == run["metrics"]["false_positives"]
    assert {row["recording"] for row in wrong["misses"]["worst"]} == {checked.manifest["inputs"]["video"]["name"]}

    # The same run again: the same metrics, byte for byte.
    second = await download(client, await finished(client, body), tmp_path / "second.zip")
    for name in (METRICS, VERDICT, FINDINGS):
        assert json.dumps(read_json(first, name)) == json.dumps(read_json(second, name))


async def test_a_run_that_is_not_over_has_none(client: httpx2.AsyncClient, stored: Stored) -> None:
    run = (await client.post("/runs", json=stored.body())).json()
    for path in ("report.html", "evidence"):
        answer = await client.get(f"/runs/{run['id']}/{path}")
        assert answer.status_code == 409 and "is not over yet" in answer.json()["detail"]
    await client.post(f"/runs/{run['id']}/cancel")
    assert (await client.get(f"/runs/{run['id']}/report.xml")).text.count("<error") == 1
    assert (await client.get(f"/runs/{run['id']}/evidence")).status_code == 409


@pytest.mark.parametrize("path", ["report.html", "evidence"])
async def test_no_such_run(client: httpx2.AsyncClient, stored: Stored, path: str) -> None:
    assert (await client.get(f"/runs/{stored.project}/{path}")).status_code == 404
