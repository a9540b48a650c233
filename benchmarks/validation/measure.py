"""The measurements behind ``python -m benchmarks.validation``, on the servers that the tests start."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from tests.conftest import Postgres, free_port, stop
from tests.validation_engine.conftest import REPOSITORY, Rows, Signer, Worker, answers

from vru.domain import DEFAULT_CRITERIA

TARGET = 1.8
CLIPS, CLIP_FRAMES, FRAME_S = 40, 25, 0.02
FRAME_RATE = 30.0
BOXES = 5


@contextmanager
def stand_in(frame_s: float, log: Path) -> Iterator[str]:
    """The URL of a running stand-in for the ML engine."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.validation.stand_in", str(port), "--boxes", str(BOXES)]
    command += ["--frame-s", str(frame_s), "--frame-rate", str(FRAME_RATE)]
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=output)
    try:
        answers(f"http://127.0.0.1:{port}/ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


def queue_run(conninfo: str, frames: int) -> uuid.UUID:
    """Store a video, its truth (as many boxes as the stand-in makes, in tracks of 300 frames) and a run."""
    ids = {name: uuid.uuid4() for name in ("project", "video", "truth", "run")}
    criteria = [
        {"metric": item.metric, "comparator": item.comparator, "threshold": item.threshold} for item in DEFAULT_CRITERIA
    ]
    values = {**ids, "frames": frames, "rate": FRAME_RATE, "boxes": BOXES, "criteria": json.dumps(criteria)}
    values["settings"] = json.dumps({"score_threshold": 0.5, "iou_threshold": 0.5, "frame_stride": 1, "seed": 0})
    statements = (
        "INSERT INTO projects (id, name, description, criteria, state) "
        "VALUES (%(project)s, %(project)s, '', %(criteria)s, 'draft')",
        "INSERT INTO videos (id, project_id, name, path, sha256, size_bytes, codec, width, height, frame_count, "
        "duration_s, frame_times) SELECT %(video)s, %(project)s, 'v', 'v', '0', 1, 'h264', 640, 360, %(frames)s, "
        "%(frames)s / %(rate)s, array_agg(n / %(rate)s::float8 ORDER BY n) FROM generate_series(0, %(frames)s - 1) n",
        "INSERT INTO ground_truths (id, video_id, name, format, sha256, source, track_count, box_count) "
        "VALUES (%(truth)s, %(video)s, 't', 'coco', '0', 'synthetic', 1, 1)",
        "INSERT INTO truth_boxes (ground_truth_id, track_id, frame_index, time_s, road_user, x, y, width, height, "
        "occluded, truncated, ignore) SELECT %(truth)s, n / 300 * %(boxes)s + b, n, n / %(rate)s::float8, "
        "'pedestrian', (n * 3 + b * 120) %% 500, 100 + b, 40, 100, false, false, false "
        "FROM generate_series(0, %(frames)s - 1) n, generate_series(0, %(boxes)s - 1) b",
        "INSERT INTO runs (id, project_id, kind, video_id, ground_truth_id, model, model_version, settings, criteria, "
        "state, frames_total, frames_done, priority, revision, deaths, created_by) VALUES (%(run)s, %(project)s, "
        "'model', %(video)s, %(truth)s, 'stand-in', '1', %(settings)s, %(criteria)s, 'queued', %(frames)s, 0, 0, 0, 0, "
        "'benchmark')",
    )
    with psycopg.connect(conninfo) as connection:
        for statement in statements:
            connection.execute(statement, values)  # type: ignore[arg-type]
    return ids["run"]


@contextmanager
def working(environment: dict[str, str], engine: str, count: int, folder: Path, **more: str) -> Iterator[list[Worker]]:
    """Running workers, one clip at a time each."""
    workers = []
    signer = Signer.beside(environment, folder)
    signer.start()
    try:
        for number in range(count):
            given = (
                environment
                | signer.of_workers()
                | {
                    "VRU_ML_ENGINE_URL": engine,
                    "VRU_WORKER_METRICS_PORT": str(free_port()),
                    "VRU_WORKER_CONCURRENCY": "1",
                    **more,
                }
            )
            workers.append(Worker(given, folder / f"worker-{count}-{number}.log"))
        for worker in workers:
            answers(worker.url("/ready"))
        yield workers
    finally:
        for worker in workers:
            worker.kill()
        signer.stop()


def until_over(rows: Rows, run_id: uuid.UUID) -> None:
    """Wait for a run, which must complete."""
    while (state := rows.state(str(run_id))) != "completed":
        assert state not in ("failed", "cancelled"), rows.ask("SELECT error FROM runs WHERE id = %s", run_id)
        time.sleep(0.2)


def test_workers(postgres: Postgres, database: str, environment: dict[str, str], tmp_path: Path) -> None:
    """Clips a minute of two workers against one, from the first clip's start to the last one's end."""
    rows = Rows(postgres.conninfo(database))
    paces = []
    with stand_in(FRAME_S, tmp_path / "stand_in.log") as engine:
        for count in (1, 2):
            with working(environment, engine, count, tmp_path, VRU_SHARD_FRAMES=str(CLIP_FRAMES)):
                run_id = queue_run(rows.conninfo, CLIPS * CLIP_FRAMES)
                until_over(rows, run_id)
            query = "SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM shards WHERE run_id = %s"
            paces.append(CLIPS * 60 / float(str(rows.ask(query, run_id)[0][0])))
    ratio = paces[1] / paces[0]
    print(
        f"\none worker {paces[0]:.0f}, two workers {paces[1]:.0f} clips a minute: {ratio:.2f} times (target {TARGET})"
    )
    assert ratio >= TARGET


def test_memory(postgres: Postgres, database: str, environment: dict[str, str], tmp_path: Path) -> None:
    """Peak memory of a worker after a run of 2 minutes, and after one of VRU_BENCHMARK_MINUTES, in a fresh worker."""
    rows = Rows(postgres.conninfo(database))
    with stand_in(0.0, tmp_path / "stand_in.log") as engine:
        for minutes in (2, int(os.environ["VRU_BENCHMARK_MINUTES"])):
            frames = int(minutes * 60 * FRAME_RATE)
            with working(environment, engine, 1, tmp_path) as (worker,):
                run_id = queue_run(rows.conninfo, frames)
                query = "SELECT state = 'analysing' OR state = 'completed' FROM runs WHERE id = %s"
                while not rows.ask(query, run_id)[0][0]:
                    time.sleep(0.05)
                clips = _peak(worker)
                until_over(rows, run_id)
                print(
                    f"\n{minutes} min, {frames:,} frames: {clips:.0f} MB after the clips, {_peak(worker):.0f} MB in all"
                )


def _peak(worker: Worker) -> float:
    """The most memory that a worker has had, in MB."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
