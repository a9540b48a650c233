"""The HTTP API, without workers: runs stay queued."""

import asyncio
import json
import re
import uuid
from pathlib import Path

import httpx2
import psycopg
import pytest
from tests.validation_engine.conftest import MlEngine, Rows, Stored, store

from vru.domain import RunState
from vru.service import cache
from vru.service.database.sessions import Database
from vru.service.schemas import RunBody, RunEvent, run_body
from vru.service.settings import ServiceSettings
from vru.validation_engine import events, repository, stream


async def create(client: httpx2.AsyncClient, stored: Stored, **more: object) -> RunBody:
    response = await client.post("/runs", json=stored.body(**more))
    assert response.status_code == 201, response.text
    return run_body(response.json())


async def test_a_run_and_its_first_job_are_stored_together(
    client: httpx2.AsyncClient, stored: Stored, rows: Rows
) -> None:
    run = await create(client, stored, settings={"frame_stride": 3})
    assert (run.state, run.frames_total, run.model_version) == (RunState.QUEUED, 34, "1")
    assert run.created_by == "engineer@example.org"
    assert len(run.criteria) == 6
    jobs = rows.ask("SELECT task_name, args ->> 'run_id', status::text FROM procrastinate_jobs")
    assert jobs == [("prepare_run", str(run.id), "todo")]


async def test_if_the_job_cannot_be_stored_the_run_is_not_either(
    client: httpx2.AsyncClient, stored: Stored, rows: Rows
) -> None:
    # The database is shared with other tests: the change to its schema is taken back.
    with psycopg.connect(rows.conninfo, autocommit=True) as connection:
        connection.execute("ALTER TABLE procrastinate_jobs ADD CONSTRAINT none CHECK (false) NOT VALID")
        try:
            response = await client.post("/runs", json=stored.body())
        finally:
            connection.execute("ALTER TABLE procrastinate_jobs DROP CONSTRAINT none")
    assert response.status_code == 500
    assert rows.ask("SELECT count(*) FROM runs") == [(0,)]


@pytest.mark.parametrize("part", ["project_id", "video_id", "ground_truth_id"])
async def test_what_does_not_exist_is_named(client: httpx2.AsyncClient, stored: Stored, part: str) -> None:
    missing = str(uuid.uuid4())
    response = await client.post("/runs", json=stored.body(**{part: missing}))
    assert response.status_code == 404
    assert missing in response.json()["detail"]


async def test_what_does_not_belong_together_is_refused(
    client: httpx2.AsyncClient, stored: Stored, db: Database, media: Path
) -> None:
    other = await store(db, media)
    response = await client.post("/runs", json=stored.body(video_id=str(other.video)))
    assert response.status_code == 422
    assert "does not belong to project" in response.json()["detail"]
    response = await client.post("/runs", json=stored.body(ground_truth_id=str(other.truth)))
    assert response.status_code == 422
    assert "does not belong to video" in response.json()["detail"]


@pytest.mark.parametrize(("model", "version"), [("nonesuch", None), ("opencv-hog", "77")])
async def test_an_unknown_model_is_named_and_the_known_are_listed(
    client: httpx2.AsyncClient, stored: Stored, model: str, version: str | None
) -> None:
    response = await client.post("/runs", json=stored.body(model=model, model_version=version))
    assert response.status_code == 404
    problem = response.json()
    assert (version or model) in problem["detail"]
    assert ("1" if version else "opencv-hog") in problem["fix"]


async def test_without_the_ml_engine_no_run_is_made(
    client: httpx2.AsyncClient, stored: Stored, ml_engine: MlEngine, rows: Rows
) -> None:
    ml_engine.kill()
    response = await client.post("/runs", json=stored.body())
    assert response.status_code == 503
    assert "opencv-hog" in response.json()["detail"]
    assert rows.ask("SELECT count(*) FROM runs") == [(0,)]


async def test_truth_made_by_the_model_under_test_is_refused(
    client: httpx2.AsyncClient, db: Database, media: Path
) -> None:
    own = await store(db, media, source="model:opencv-hog/1")
    response = await client.post("/runs", json=own.body())
    assert response.status_code == 422
    assert "compared with itself" in response.json()["detail"]


@pytest.mark.parametrize("wrong", [{"metric": "accuracy"}, {"slice": "night"}])
async def test_a_criterion_on_nothing_is_refused(client: httpx2.AsyncClient, stored: Stored, wrong: dict) -> None:
    criterion = {"metric": "recall", "comparator": ">=", "threshold": 0.9} | wrong
    response = await client.post("/runs", json=stored.body(criteria=[criterion]))
    assert response.status_code == 422
    assert "Use one of" in response.json()["detail"]
    assert (await client.post("/runs", json=stored.body(criteria=[]))).status_code == 422


async def test_runs_are_listed_newest_first_and_by_project(
    client: httpx2.AsyncClient, stored: Stored, db: Database, media: Path
) -> None:
    other = await store(db, media)
    made = [await create(client, which) for which in (stored, stored, other)]
    everything = (await client.get("/runs")).json()
    assert everything["total"] == 3
    assert [item["id"] for item in everything["items"]] == [str(run.id) for run in reversed(made)]
    page = (await client.get("/runs", params={"project_id": str(stored.project), "limit": 1, "offset": 1})).json()
    assert (page["total"], [item["id"] for item in page["items"]]) == (2, [str(made[0].id)])
    assert (await client.get(f"/runs/{made[0].id}")).json()["id"] == str(made[0].id)
    for path in ("", "/events", "/detections"):
        assert (await client.get(f"/runs/{uuid.uuid4()}{path}")).status_code == 404


async def test_a_run_is_cancelled_once(client: httpx2.AsyncClient, stored: Stored) -> None:
    run = await create(client, stored)
    response = await client.post(f"/runs/{run.id}/cancel")
    assert response.json()["state"] == "cancelled"
    assert response.json()["finished_at"]
    assert (await client.post(f"/runs/{run.id}/cancel")).status_code == 409
    assert (await client.post(f"/runs/{uuid.uuid4()}/cancel")).status_code == 404


async def test_a_range_of_detections(client: httpx2.AsyncClient, stored: Stored, rows: Rows) -> None:
    run = await create(client, stored)
    with psycopg.connect(rows.conninfo, autocommit=True) as connection:
        shard = uuid.uuid4()
        connection.execute(
            "INSERT INTO shards (id, run_id, number, first_frame, last_frame, state, token, attempts, deaths, waits) "
            "VALUES (%s, %s, 0, 0, 9, 'done', 1, 0, 0, 0)",
            [shard, run.id],
        )
        connection.execute(
            "INSERT INTO detections (run_id, shard_id, frame_index, time_s, road_user, score, x, y, width, height) "
            "SELECT %s, %s, n, n / 10.0, 'pedestrian', 0.5, 1, 2, 3, 4 FROM generate_series(0, 9) AS n",
            [run.id, shard],
        )
    found = (await client.get(f"/runs/{run.id}/detections?first_frame=3&last_frame=5")).json()["items"]
    assert [item["frame_index"] for item in found] == [3, 4, 5]
    assert found[0]["width"] == 3.0
    assert len((await client.get(f"/runs/{run.id}/detections")).json()["items"]) == 10
    assert (await client.get(f"/runs/{run.id}/detections?first_frame=5&last_frame=3")).status_code == 422


def parse(text: str) -> list[RunEvent]:
    blocks = [block for block in text.split("\n\n") if block.startswith("event: run")]
    return [RunEvent.model_validate(json.loads(block.split("data: ", 1)[1].splitlines()[0])) for block in blocks]


async def test_events_begin_with_the_state_now_and_end_with_the_run(
    client: httpx2.AsyncClient, stored: Stored, engine_settings: ServiceSettings
) -> None:
    run = await create(client, stored)
    redis = cache.connect(engine_settings)
    following = asyncio.create_task(client.get(f"/runs/{run.id}/events"))
    await asyncio.sleep(0.5)
    for state, done in [(RunState.RUNNING, 30), (RunState.RUNNING, 20), (RunState.QUEUED, 0), (RunState.RUNNING, 40)]:
        await events.publish(redis, RunEvent(run_id=run.id, state=state, frames_done=done, frames_total=100))
    await redis.publish(events.channel(run.id), "nonsense")
    await asyncio.sleep(0.1)
    await client.post(f"/runs/{run.id}/cancel")
    response = await asyncio.wait_for(following, 10)
    await redis.aclose()
    assert response.headers["content-type"].startswith("text/event-stream")
    seen = [(event.state, event.frames_done) for event in parse(response.text)]
    assert seen == [("queued", 0), ("running", 30), ("running", 40), ("cancelled", 40)]


async def test_who_connects_again_goes_on_where_he_was(
    client: httpx2.AsyncClient, stored: Stored, engine_settings: ServiceSettings
) -> None:
    """As a browser does when the service was replaced: nothing twice, nothing left out, nothing backwards."""
    run = await create(client, stored)
    redis = cache.connect(engine_settings)

    async def follow(last_event_id: str) -> asyncio.Task[httpx2.Response]:
        headers = {"Last-Event-ID": last_event_id}
        following = asyncio.create_task(client.get(f"/runs/{run.id}/events", headers=headers))
        await asyncio.sleep(0.5)
        return following

    first, again, unknown = await follow("0.0.0.100"), await follow("0.2.25.100"), await follow("of another time")
    for done in (20, 30):
        event = RunEvent(run_id=run.id, state=RunState.RUNNING, frames_done=done, frames_total=100)
        await events.publish(redis, event)
    await asyncio.sleep(0.1)
    await client.post(f"/runs/{run.id}/cancel")
    texts = [(await asyncio.wait_for(following, 10)).text for following in (first, again, unknown)]
    await redis.aclose()
    assert [re.findall(r"^id: (.*)$", text, re.MULTILINE) for text in texts] == [
        ["0.2.20.100", "0.2.30.100", "0.6.30.100"],
        ["0.2.30.100", "0.6.30.100"],
        ["0.0.0.100", "0.2.20.100", "0.2.30.100", "0.6.30.100"],
    ]
    assert "retry: 1000" in texts[0]
    over = await asyncio.wait_for(client.get(f"/runs/{run.id}/events", headers={"Last-Event-ID": "0.6.30.100"}), 2)
    assert parse(over.text) == []


async def test_a_run_that_is_over_is_told_at_once(client: httpx2.AsyncClient, stored: Stored) -> None:
    run = await create(client, stored)
    await client.post(f"/runs/{run.id}/cancel")
    response = await asyncio.wait_for(client.get(f"/runs/{run.id}/events"), 2)
    assert [event.state for event in parse(response.text)] == ["cancelled"]


async def test_without_redis_the_database_tells(
    client: httpx2.AsyncClient, stored: Stored, engine_settings: ServiceSettings, db: Database
) -> None:
    run = await create(client, stored)
    away = cache.connect(engine_settings.model_copy(update={"redis_port": 1}))
    async with db.read() as session:
        first = await repository.run_event(session, run.id)
    assert first

    async def collect() -> list[str]:
        return [event.state async for event in stream.follow(db, away, first)]

    following = asyncio.create_task(collect())
    await asyncio.sleep(0.2)
    await client.post(f"/runs/{run.id}/cancel")
    assert await asyncio.wait_for(following, 15) == ["queued", "cancelled"]
    await away.aclose()


async def test_it_says_that_it_is_ready(client: httpx2.AsyncClient) -> None:
    ready = await client.get("/ready")
    assert ready.json() == {"status": "ok", "checks": {"database": "ok", "redis": "ok"}}
