"""Camera runs done by real workers: signals against ground truth in time, from the request to the evidence."""

import asyncio
import dataclasses
import hashlib
import json
import random
import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests.validation_engine.conftest import Rows, StartWorker, Stored

from vru.cli import main
from vru.domain import Box, GroundTruth, RunState, Track, TruthBox, VruClass
from vru.evaluation.camera import RoadUsers
from vru.reports.evidence import MARKERS, METRICS, SIGNALS, VERDICT, read_file, read_json, verify
from vru.scenes import ground_truth, scene
from vru.service.database.sessions import Database
from vru.service.database.tables import GroundTruthSet, Project, SignalRecording
from vru.service.schemas import CameraRunSettings
from vru.service.settings import ServiceSettings
from vru.validation_engine.camera_runs import outline

OFFSET_NS = 81_000_000_000
CRITERIA: list[dict[str, object]] = [
    {"metric": "track_recall", "comparator": ">=", "threshold": 0.5},
    {"metric": "latency_p95_ms", "comparator": "<=", "threshold": 100},
    {"metric": "false_alarms_per_minute", "comparator": "<=", "threshold": 0.1},
    {"metric": "duplicate_signals", "comparator": "<=", "threshold": 0},
]


@dataclass
class Recording:
    """A recording of the street: everybody is signalled after 30 ms, one of them again and again; two are false."""

    folder: Path
    id: uuid.UUID = field(default_factory=uuid.uuid4)

    @property
    def signals(self) -> Path:
        return self.folder / f"{self.id}.signals"

    @property
    def markers(self) -> Path:
        return self.folder / f"{self.id}.markers"

    def write(self, repeat: int = 1) -> None:
        self.folder.mkdir(exist_ok=True)
        truth = ground_truth(scene("crossing"))
        seen = [(next(box.time_s for box in track.boxes if not box.ignore), track.road_user) for track in truth.tracks]
        said = [(first_s + 0.03, str(road_user)) for first_s, road_user in seen]
        said += [(said[0][0] + 0.1, said[0][1])] * repeat + [(9.99, "animal"), (9.995, "animal")]
        rows = [f"{OFFSET_NS + round(s * 1e9)},udp,{kind},street\n" for s, kind in sorted(said)]
        self.signals.write_text("time_ns,kind,class,video\n" + "".join(rows))
        noise = random.Random(7)
        self.markers.write_text(
            "media_s,time_ns\n"
            + "".join(f"{n / 2},{OFFSET_NS + n * 500_000_000 + int(noise.gauss(0, 1e6))}\n" for n in range(20))
        )


async def record(
    db: Database, settings: ServiceSettings, stored: Stored, *, joined: bool = True, repeat: int = 1
) -> Recording:
    """Store a recording as the gateway does."""
    made = Recording(settings.media_dir / "signals")
    made.write(repeat)
    content, markers = made.signals.read_bytes(), made.markers.read_bytes()
    async with db.write() as session:
        session.add(
            SignalRecording(
                id=made.id,
                video_id=stored.video,
                name="street.csv",
                path=f"signals/{made.signals.name}",
                sha256=hashlib.sha256(content).hexdigest(),
                signal_count=content.count(b"\n") - 1,
                first_ns=OFFSET_NS,
                last_ns=OFFSET_NS + 10**10,
                poll_ms=2.0,
                markers_path=f"signals/{made.markers.name}" if joined else None,
                markers_sha256=hashlib.sha256(markers).hexdigest() if joined else None,
                marker_count=20 if joined else None,
            )
        )
    return made


@pytest.fixture
async def recording(db: Database, settings: ServiceSettings, stored: Stored) -> Recording:
    return await record(db, settings, stored)


def body(stored: Stored, recording: Recording, **more: object) -> dict[str, object]:
    return {
        "kind": "camera",
        "project_id": str(stored.project),
        "video_id": str(stored.video),
        "ground_truth_id": str(stored.truth),
        "signals_id": str(recording.id),
        "criteria": CRITERIA,
    } | more


async def over(client: httpx2.AsyncClient, run_id: str) -> dict:
    for _ in range(600):
        run = (await client.get(f"/runs/{run_id}")).json()
        if RunState(run["state"]).is_final:
            return run
        await asyncio.sleep(0.1)
    raise TimeoutError(run["state"])


async def start(client: httpx2.AsyncClient, request: dict[str, object]) -> dict:
    answer = await client.post("/runs", json=request)
    assert answer.status_code == 201, answer.text
    return answer.json()


def coco() -> dict:
    """The street's truth as a file."""
    street = scene("crossing")
    truth = ground_truth(street)
    classes = sorted({str(track.road_user) for track in truth.tracks})
    return {
        "videos": [{"id": 1, "name": "street"}],
        "categories": [{"id": number + 1, "name": name} for number, name in enumerate(classes)],
        "images": [
            {"id": n + 1, "video_id": 1, "frame_index": n, "timestamp_s": s, "width": 2000, "height": 2000}
            for n, s in enumerate(street.times)
        ],
        "annotations": [
            {
                "id": n + 1, "image_id": box.frame_index + 1, "category_id": classes.index(str(track.road_user)) + 1,
                "track_id": track.track_id, "bbox": list(box.box.as_tuple()), "occluded": int(box.occluded),
                "truncated": int(box.truncated), "ignore": int(box.ignore),
            }
            for n, (track, box) in enumerate(truth.boxes())
        ],
    }  # fmt: skip


async def test_a_camera_run_equals_the_command_line(
    client: httpx2.AsyncClient,
    stored: Stored,
    recording: Recording,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    start_worker()
    run = await over(client, (await start(client, body(stored, recording)))["id"])
    assert run["state"] == "completed", run["error"]
    assert (run["kind"], run["model"], run["signals_id"]) == ("camera", None, str(recording.id))
    metrics = run["metrics"]
    assert metrics["signals"] == 8 and metrics["detections"] == 5
    assert [round(track["latency_ms"]) for track in metrics["tracks"]] == pytest.approx([30] * 5, abs=2)
    assert all(0 < track["latency_uncertainty_ms"] < 60 for track in metrics["tracks"])
    assert metrics["false_alarms"]["count"] == len(metrics["false_alarms"]["first"]) == 2
    assert metrics["false_alarms"]["first"][0]["road_user"] == "animal"
    assert metrics["false_alarms"]["first"][0]["time_ns"] == OFFSET_NS + 9_990_000_000
    assert metrics["duplicates"]["count"] == 1
    assert metrics["clocks"]["markers"] == 20 and metrics["clocks"]["offset_ms"] == pytest.approx(81_000, abs=1)
    assert metrics["clocks"]["poll_ms"] == pytest.approx(2 / 12**0.5)

    (tmp_path / "truth.json").write_text(json.dumps(coco()))
    (tmp_path / "criteria.yaml").write_text(yaml.safe_dump(CRITERIA))
    arguments = [
        "evaluate", tmp_path / "truth.json", recording.signals, "--protocol", "camera", "--markers", recording.markers,
        "--poll-ms", 2, "--criteria", tmp_path / "criteria.yaml", "--json", tmp_path / "out.json",
    ]  # fmt: skip
    result = await asyncio.to_thread(CliRunner().invoke, main, [str(argument) for argument in arguments])
    stated = json.loads((tmp_path / "out.json").read_text())
    assert result.exit_code == {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}[run["verdict"]], result.output
    assert run["verdict"] == stated["verdict"] == "FAIL"
    of_all = {row["metric"]: row for row in metrics["measurements"] if row["slice"] == "all"}
    assert list(of_all) == list(stated["metrics"])
    for metric, expected in stated["metrics"].items():
        for name in ("value", "low", "high", "n"):
            assert of_all[metric][name] == expected[name], (metric, name)
    assert [row["reason"] for row in run["verdict_reasons"]] == [row["reason"] for row in stated["criteria"]]
    assert run["notes"] == stated["notes"]


async def test_reports_and_evidence(
    client: httpx2.AsyncClient,
    stored: Stored,
    recording: Recording,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    start_worker()
    run = await over(client, (await start(client, body(stored, recording)))["id"])
    for form in ("html", "json", "csv", "tracks.csv", "xml"):
        answer = await client.get(f"/runs/{run['id']}/report.{form}")
        assert answer.status_code == 200, answer.text
    page = (await client.get(f"/runs/{run['id']}/report.html")).text
    assert "street.csv" in page and "Of all 8 signals, detections: 5" in page and "latency_jitter_ms" in page

    file = tmp_path / "evidence.zip"
    file.write_bytes((await client.get(f"/runs/{run['id']}/evidence")).content)
    manifest = verify(file).manifest
    assert set(manifest["inputs"]) == {"video", "ground_truth", "signals"}
    assert manifest["inputs"]["signals"]["sha256"] == hashlib.sha256(recording.signals.read_bytes()).hexdigest()
    assert read_file(file, SIGNALS) == recording.signals.read_bytes()
    assert read_file(file, MARKERS) == recording.markers.read_bytes()
    assert read_json(file, METRICS) == run["metrics"] and read_json(file, VERDICT)["verdict"] == run["verdict"]
    for command in ("verify", "recompute"):
        result = await asyncio.to_thread(CliRunner().invoke, main, ["evidence", command, str(file)])
        assert result.exit_code == 0, result.output
    assert "identical" in result.output


def _stands_at(rows: Rows, run_id: str, states: tuple[str, ...]) -> bool:
    return rows.state(run_id) in states


async def test_a_worker_killed_in_the_middle_loses_nothing(
    client: httpx2.AsyncClient,
    db: Database,
    stored: Stored,
    settings: ServiceSettings,
    start_worker: StartWorker,
    rows: Rows,
) -> None:
    # So many duplicates that reading and matching them takes a while.
    long = await record(db, settings, stored, repeat=300_000)
    run = await start(client, body(stored, long))
    for reached in (("preparing", "analysing"), ("analysing",)):
        worker = start_worker()
        await asyncio.to_thread(
            rows.until, partial(_stands_at, rows, run["id"], reached), seconds=60, what=f"the run is {reached}"
        )
        worker.kill()
        assert _stands_at(rows, run["id"], ("preparing", "analysing"))
    start_worker()
    killed = await over(client, run["id"])
    quiet = await over(client, (await start(client, body(stored, long)))["id"])
    assert killed["state"] == quiet["state"] == "completed"
    assert killed["metrics"] == quiet["metrics"] and killed["verdict_reasons"] == quiet["verdict_reasons"]
    assert killed["metrics"]["duplicates"]["count"] == 300_000
    assert len(killed["metrics"]["duplicates"]["first"]) == 1000


async def test_the_projects_criteria_that_fit_apply(
    client: httpx2.AsyncClient, db: Database, stored: Stored, recording: Recording
) -> None:
    request = body(stored, recording)
    del request["criteria"]
    run = await start(client, request)
    assert [row["metric"] for row in run["criteria"]] == [
        "precision", "track_recall", "latency_median_ms", "latency_p95_ms", "false_alarms_per_minute",
    ]  # fmt: skip
    async with db.write() as session:
        project = await session.get(Project, stored.project)
        assert project is not None
        project.criteria = [{"metric": "ap50", "comparator": ">=", "threshold": 0.5}]
    answer = await client.post("/runs", json=request)
    assert answer.status_code == 422 and "has no criteria" in answer.json()["detail"]


async def test_what_cannot_be_run_is_refused(
    client: httpx2.AsyncClient, db: Database, settings: ServiceSettings, stored: Stored, recording: Recording
) -> None:
    loose = await record(db, settings, stored, joined=False)
    wrong = await record(db, settings, stored)
    wrong.markers.write_text("media_s,time_ns\n" + "".join(f"{n},{n * 2_000_000_000}\n" for n in range(1, 6)))
    gone = await record(db, settings, stored)
    gone.signals.unlink()

    async def refused(status: int, reason: str, request: dict[str, object]) -> None:
        answer = await client.post("/runs", json=request)
        assert answer.status_code == status and reason in answer.json()["detail"], answer.text

    await refused(422, "is not joined with the video's", body(stored, loose))
    await refused(422, "the clocks run apart by", body(stored, wrong))
    await refused(422, "is missing in the media store", body(stored, gone))
    await refused(404, "There is no recording", body(stored, Recording(settings.media_dir)))
    one = [{"metric": "f1", "comparator": ">=", "threshold": 0.5}]
    await refused(422, "does not measure 'f1'", body(stored, recording, criteria=one))
    one = [{"metric": "track_recall", "comparator": ">=", "threshold": 0.5, "slice": "size:small"}]
    await refused(422, "no slice 'size:small'", body(stored, recording, criteria=one))
    await refused(422, "tolerance_ms", body(stored, recording, settings={"tolerance_ms": -1}))
    await refused(422, "iou_threshold", body(stored, recording, settings={"iou_threshold": 0.5}))
    request = body(stored, recording)
    del request["signals_id"]
    await refused(422, "signals_id", request)
    async with db.write() as session:
        truth, project = await session.get(GroundTruthSet, stored.truth), await session.get(Project, stored.project)
        assert truth is not None and project is not None
        truth.source, project.camera_model = "model:A-100", "A-100"
    await refused(422, "compared with itself", body(stored, recording))


async def test_a_changed_file_and_a_foreign_recording_fail_the_run(
    client: httpx2.AsyncClient,
    db: Database,
    settings: ServiceSettings,
    stored: Stored,
    recording: Recording,
    start_worker: StartWorker,
) -> None:
    changed = await start(client, body(stored, recording))
    recording.signals.write_text(recording.signals.read_text().replace("udp", "can"))
    nobody = await start(
        client,
        body(
            stored,
            await record(db, settings, stored),
            criteria=[
                {"metric": "track_recall", "comparator": ">=", "threshold": 0.5, "slice": "class:wheelchair_user"}
            ],
        ),
    )
    start_worker()
    run = await over(client, changed["id"])
    assert run["state"] == "failed" and "its SHA-256 differs" in run["error"] and run["metrics"] is None
    run = await over(client, nobody["id"])
    assert run["state"] == "failed" and "There is no slice 'class:wheelchair_user'" in run["error"]
    assert (await client.get(f"/runs/{run['id']}/report.html")).status_code == 200


async def test_pause_resume_cancel_and_retry(
    client: httpx2.AsyncClient, stored: Stored, recording: Recording, start_worker: StartWorker, db: Database
) -> None:
    run = await start(client, body(stored, recording))
    assert (await client.post(f"/runs/{run['id']}/pause")).json()["paused_at"]
    start_worker()
    other = await over(client, (await start(client, body(stored, recording)))["id"])
    assert other["state"] == "completed"
    assert (await client.get(f"/runs/{run['id']}")).json()["state"] == "queued"
    assert (await client.post(f"/runs/{run['id']}/cancel")).json()["state"] == "cancelled"
    assert (await client.post(f"/runs/{run['id']}/retry")).status_code == 200
    assert (await over(client, run["id"]))["metrics"] == other["metrics"]


async def test_unapproved_truth_is_marked(
    client: httpx2.AsyncClient, stored: Stored, recording: Recording, start_worker: StartWorker, db: Database
) -> None:
    async with db.write() as session:
        truth = await session.get(GroundTruthSet, stored.truth)
        assert truth is not None
        truth.approved_by = None
    start_worker()
    settings = {"start": "reasonable", "reasonable_height": 60, "tolerance_ms": 50}
    run = await over(client, (await start(client, body(stored, recording, settings=settings)))["id"])
    assert run["metrics"]["ground_truth_approved"] is False
    assert all(row["reason"].endswith("The ground truth is not approved.") for row in run["verdict_reasons"])
    assert run["settings"] == {"early_ms": 1000, "seed": 0} | settings


@given(
    boxes=st.lists(st.tuples(st.booleans(), st.sampled_from([20.0, 50.0, 80.0])), min_size=1, max_size=8),
    begin=st.sampled_from(["visible", "reasonable"]),
)
def test_an_outline_says_as_much_as_the_whole_track(boxes: list[tuple[bool, float]], begin: str) -> None:
    shown = [
        TruthBox(frame, frame / 10, Box(0, 0, 30, height), ignore=ignore)
        for frame, (ignore, height) in enumerate(boxes)
    ]
    whole = Track(1, VruClass.PEDESTRIAN, tuple(shown))
    settings = CameraRunSettings.model_validate({"start": begin})
    height = settings.reasonable_height if begin == "reasonable" else None
    short = outline(whole, settings)
    assert len(short.boxes) <= 4
    for column in dataclasses.fields(RoadUsers):
        ours, its = (
            getattr(RoadUsers.of(GroundTruth(9, 9, 9, (track,)), height), column.name) for track in (short, whole)
        )
        assert np.array_equal(ours, its, equal_nan=True)
