"""Updates under load: nobody notices a good one, and nobody notices a bad one either.

50 requests a second go through nginx all the time, half of them on kept connections and half on new ones, besides one
upload that takes a minute and one open event stream.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.api import Api
from tests.e2e.laptop import Laptop, on_server
from tests.e2e.load import Background, Follower, Load, Target, upload_slowly

# What an operator sets who expects so much from one address, and whose server has other work than inference.
LIMITS = {"VRU_RATE_LIMIT": "1000", "VRU_RATE_BURST": "1000", "VRU_ML_CONCURRENCY": "1"}
WATCH = ("--watch", "2")


class Project:
    """The project on the laptop, changed by a test and put back afterwards."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._before: dict[Path, bytes | None] = {}

    def _remember(self, path: str) -> Path:
        file = self.root / path
        self._before.setdefault(file, file.read_bytes() if file.exists() else None)
        return file

    def append(self, path: str, text: str) -> None:
        file = self._remember(path)
        file.write_text((file.read_text() if file.exists() else "") + text)

    def replace(self, path: str, old: str, new: str) -> None:
        file = self._remember(path)
        assert file.read_text().count(old) == 1, f"{path} has no {old!r}"
        file.write_text(file.read_text().replace(old, new))

    def set(self, **values: str) -> None:
        file = self._remember(".env.production")
        lines = [line for line in file.read_text().splitlines() if line.partition("=")[0] not in values]
        lines[1:1] = [f"{name}={value}" for name, value in values.items()]
        file.write_text("\n".join(lines) + "\n")

    def put_back(self) -> None:
        for file, content in self._before.items():
            if content is None:
                file.unlink(missing_ok=True)
            else:
                file.write_bytes(content)
        self._before.clear()


def line_in(*paths: str) -> Callable[[Project, int], None]:
    """A change of one line in some files of the source."""

    def change(project: Project, number: int) -> None:
        for path in paths:
            project.append(path, f"\n# Update {number}.\n")

    return change


def setting(name: str, base: int) -> Callable[[Project, int], None]:
    """A change of one setting."""
    return lambda project, number: project.set(**{name: str(base + number)})


GATEWAY, PAGE = "src/vru/gateway/parameters.py", "src/vru/frontend/site.py"
ML, CAMERA, ENGINE = (
    "src/vru/ml_engine/media.py",
    "src/vru/camera_service/sources.py",
    "src/vru/validation_engine/models.py",
)
# Code is built; settings replace containers all the same.
UPDATES = (
    line_in(GATEWAY), setting("VRU_SESSION_HOURS", 12), line_in(PAGE), setting("VRU_ML_MAX_IMAGE_MB", 20),
    line_in(ML), setting("VRU_SHARD_FRAMES", 150), line_in(CAMERA), setting("VRU_SESSION_HOURS", 12),
    line_in(ENGINE), setting("VRU_DATABASE_POOL_OVERFLOW", 5), line_in(GATEWAY, PAGE),
    setting("VRU_ML_MAX_IMAGE_MB", 20),
    line_in(ML, CAMERA), setting("VRU_SESSION_HOURS", 12), line_in(ENGINE, GATEWAY), setting("VRU_SHARD_FRAMES", 150),
    line_in(PAGE), setting("VRU_DATABASE_POOL_OVERFLOW", 5), line_in(GATEWAY, ML, CAMERA, ENGINE, PAGE),
    setting("VRU_SESSION_HOURS", 12),
)  # fmt: skip


@pytest.fixture(scope="module")
def project(deployed: Laptop) -> Iterator[Project]:
    """The project with limits for the load; at the end, as it was, and live."""
    base = Project(deployed.root)
    base.set(**LIMITS)
    deployed.vru("deploy", *WATCH)
    yield Project(deployed.root)
    base.put_back()
    deployed.vru("deploy", "--watch", "0")


def targets(api: Api, laptop: Laptop) -> list[Target]:
    """The page, the health of all, and something of every service."""
    token = str(api.client.headers["Authorization"]).removeprefix("Bearer ")
    paths = ("projects", "models", "cameras", "runs?limit=1")
    asked = [Target(laptop.url(80, f"/api/v1/{path}"), token) for path in paths]
    asked += [Target(laptop.url(80, "/")), Target(laptop.url(3000, "/projects"))]
    # One question about health is six inside.
    return asked + asked + [Target(laptop.url(8000, "/health"))]


def containers(laptop: Laptop) -> dict[str, str]:
    """The id of each container by name."""
    listed = on_server(laptop, "docker ps --no-trunc --format '{{.Names}} {{.ID}}'")
    return dict(line.split() for line in listed.splitlines())


def release(laptop: Laptop) -> str:
    return on_server(laptop, "cat /opt/vru-platform/releases/current").strip()


@pytest.mark.soak
def test_twenty_updates_drop_nothing(
    deployed: Laptop, api: Api, inputs: dict[str, str], recording: tuple[Path, Path], project: Project
) -> None:
    token = str(api.client.headers["Authorization"]).removeprefix("Bearer ")
    follower = Follower(Api.like(api), inputs)
    following = Background(follower.follow)
    took = []
    try:
        with Load(targets(api, deployed)) as load:
            upload = Background(
                lambda: upload_slowly(deployed.url(80), token, inputs["project_id"], recording[0], seconds=60)
            )
            for number, change in enumerate(UPDATES, start=1):
                before = release(deployed)
                change(project, number)
                began = time.monotonic()
                deployed.vru("deploy", *WATCH)
                took.append(time.monotonic() - began)
                assert release(deployed) != before, f"update {number} changed nothing"
                assert not load.failures, f"update {number}: {load.failures[:5]}"
                print(f"update {number} in {took[-1]:.1f} s; {load}")
            video = upload.result(timeout_s=30)
    finally:
        follower.stop.set()
    following.result(timeout_s=600)
    print(
        f"20 updates in {sum(took):.0f} s; {load}; {follower.runs} runs followed over {follower.connections} "
        f"connections ({follower.cut} cut), {follower.events} events, none twice"
    )
    assert load.failures == []
    assert load.requests > 40 * sum(took)
    assert follower.connections > follower.runs, "no stream had to be resumed"
    stored = api.client.get(f"/api/v1/videos/{video['id']}/file")
    assert stored.content == recording[0].read_bytes()
    assert any(found["id"] == video["id"] for found in api.get(f"/projects/{inputs['project_id']}/videos")["items"])
    # Nothing is left over.
    names = list(containers(deployed))
    assert len(names) == len({name.rpartition("-")[0] for name in names}), names


def crash(project: Project) -> None:
    project.replace(
        "src/vru/gateway/__main__.py", "\nfrom pydantic", '\nraise SystemExit("broken on purpose")\nfrom pydantic'
    )


def never_ready(project: Project) -> None:
    project.replace(
        "src/vru/gateway/app.py", "        await health.ping_redis(resources())\n",
        '        raise VruError("never ready, on purpose")\n',
    )  # fmt: skip


def time_bomb(project: Project) -> None:
    project.replace(
        "src/vru/gateway/app.py", "    describe(app)\n",
        "    describe(app)\n"
        "    from fastapi import Request, Response\n"
        "    begun: list[float] = []\n\n"
        '    @app.middleware("http")\n'
        "    async def bomb(request: Request, call_next):\n"
        '        if begun and time.monotonic() - begun[0] > 20:\n'
        '            return Response("out of order", status_code=500)\n'
        "        answer = await call_next(request)\n"
        '        if request.url.path == "/ready" and answer.status_code == 200 and not begun:\n'
        "            begun.append(time.monotonic())\n"
        "        return answer\n\n",
    )  # fmt: skip


def failing_migration(project: Project) -> None:
    project.append(
        "src/vru/service/database/migrations/versions/9999_broken.py",
        '"""Fails."""\nrevision = "9999"\ndown_revision = "0003"\nbranch_labels = None\ndepends_on = None\n\n\n'
        'def upgrade() -> None:\n    """Fail."""\n    raise RuntimeError("this migration is broken on purpose")\n',
    )


def out_of_memory(project: Project) -> None:
    project.replace(
        "src/vru/frontend/__main__.py", "\nfrom vru.frontend.app", '\nhoard = b"x" * (3 << 30)\nfrom vru.frontend.app'
    )


@pytest.mark.soak
@pytest.mark.parametrize(
    ("spoil", "watch", "cause"),
    [
        (crash, "5", ["api_gateway ends with exit code 1", "broken on purpose"]),
        (never_ready, "5", ["api_gateway is not ready after", "never ready, on purpose"]),
        (time_bomb, "30", ["api_gateway", " 500"]),
        (failing_migration, "5", ["The migrations failed", "this migration is broken on purpose"]),
        (out_of_memory, "5", ["frontend ran out of memory (its limit is"]),
    ],
)
def test_a_broken_update_is_taken_back_unnoticed(
    deployed: Laptop, api: Api, project: Project, spoil: Callable[[Project], None], watch: str, cause: list[str]
) -> None:
    before, live = containers(deployed), release(deployed)
    broken = Project(deployed.root)
    spoil(broken)
    try:
        with Load(targets(api, deployed)) as load:
            began = time.monotonic()
            done = deployed.vru("deploy", "--watch", watch, check=False)
            print(f"{spoil.__name__}: refused after {time.monotonic() - began:.0f} s; {load}")
            time.sleep(3)
    finally:
        broken.put_back()
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    for words in cause:
        assert words in said, said
    assert f"Release {live} goes on serving" in said
    assert load.failures == []
    assert load.requests > 100
    assert release(deployed) == live
    kept = containers(deployed)
    stateless = {
        "api_gateway", "frontend", "ml_engine", "camera_service", "validation_engine", "validation_worker", "signer",
    }  # fmt: skip
    mine = {
        name: one for name, one in before.items() if name.rpartition("-")[0].removeprefix("vru-platform-") in stateless
    }
    assert {name: kept.get(name) for name in mine} == mine
    assert set(kept) == set(before)
