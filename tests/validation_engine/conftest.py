"""A real validation engine, real workers and a real ML engine, as processes of their own."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx2
import psycopg
import pytest
import tests.hypothesis_profile  # noqa: F401 - it is its effect that counts
import yaml
from tests.callers import Calling
from tests.conftest import Postgres, RedisServer, free_port, stop

from vru.domain import DEFAULT_CRITERIA, GroundTruth
from vru.scenes import ground_truth, scene, write_video
from vru.service.database.sessions import Database
from vru.service.database.tables import GroundTruthSet, Project, TruthBoxRow, Video
from vru.service.settings import ServiceSettings
from vru.validation_engine.app import create_validation_engine
from vru.validation_engine.settings import EngineSettings

REPOSITORY = Path(__file__).parents[2]
FRAMES = 100


def answers(url: str, *, seconds: float = 40.0) -> None:
    """Wait until ``url`` answers 200."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


@dataclass
class MlEngine:
    """A running ML engine with the model ``opencv-hog`` and one video of a street in its media store."""

    port: int
    environment: dict[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vru.ml_engine"], env=self.environment, cwd=REPOSITORY, stdout=log, stderr=log
            )
        answers(f"{self.url}/ready")

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A media store with ``videos/street.mp4``: 10 s, 100 frames, five people."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "videos").mkdir()
    write_video(scene("crossing"), folder / "videos" / "street.mp4")
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's own baseline, told to look less closely: a run takes seconds instead of a minute."""
    card = yaml.safe_load((REPOSITORY / "models" / "opencv-hog" / "1" / "model.yaml").read_text())
    card["parameters"] |= {"working_height": 240, "scale": 1.2}
    folder = tmp_path_factory.mktemp("models")
    (folder / "opencv-hog" / "1").mkdir(parents=True)
    (folder / "opencv-hog" / "1" / "model.yaml").write_text(yaml.safe_dump(card))
    return folder


@pytest.fixture(scope="session")
def shared_ml_engine(media: Path, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlEngine]:
    port = free_port()
    environment = os.environ | {
        "VRU_MEDIA_DIR": str(media),
        "VRU_MODELS_DIR": str(models),
        "VRU_ML_ENGINE_PORT": str(port),
        "VRU_BIND_HOST": "127.0.0.1",
    }
    engine = MlEngine(port, environment, tmp_path_factory.mktemp("ml_engine") / "log")
    engine.start()
    yield engine
    assert engine.process
    stop(engine.process)


@pytest.fixture
def ml_engine(shared_ml_engine: MlEngine) -> MlEngine:
    """The ML engine; started again if a test before has killed it."""
    assert shared_ml_engine.process
    if shared_ml_engine.process.poll() is not None:
        shared_ml_engine.start()
    return shared_ml_engine


@pytest.fixture
def engine_settings(settings: ServiceSettings, ml_engine: MlEngine, signer: "Signer", tmp_path: Path) -> EngineSettings:
    own = {"ml_engine_url": ml_engine.url, "evidence_dir": tmp_path / "evidence", "signer_url": signer.url}
    users = {"database_user": "vru_validation_engine", "redis_user": "validation_engine"}
    return EngineSettings(**(settings.model_dump() | users | own))


@pytest.fixture
async def db(settings: ServiceSettings) -> AsyncIterator[Database]:
    """As the database's owner: what is stored here the gateway stores in production."""
    database = Database(settings)
    yield database
    await database.close()


@pytest.fixture
async def client(engine_settings: EngineSettings) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the validation engine's application, as the gateway calls it."""
    app = create_validation_engine(engine_settings)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app),
            base_url="http://localhost",
            auth=Calling("validation_engine"),
        ) as client,
    ):
        yield client


@dataclass
class Stored:
    """A project with the street's video and its ground truth, in the database."""

    project: uuid.UUID = field(default_factory=uuid.uuid4)
    video: uuid.UUID = field(default_factory=uuid.uuid4)
    truth: uuid.UUID = field(default_factory=uuid.uuid4)

    def body(self, **more: object) -> dict[str, object]:
        return {
            "project_id": str(self.project),
            "video_id": str(self.video),
            "ground_truth_id": str(self.truth),
            "model": "opencv-hog",
        } | more


async def store(db: Database, media: Path, *, source: str = "synthetic", path: str = "videos/street.mp4") -> Stored:
    street = scene("crossing")
    truth: GroundTruth = ground_truth(street)
    content = (media / path).read_bytes() if (media / path).exists() else b""
    ids = Stored()
    async with db.write() as session:
        criteria = [asdict(criterion) for criterion in DEFAULT_CRITERIA]
        session.add(Project(id=ids.project, name=f"Project {ids.project}", criteria=criteria))
        await session.flush()
        session.add(
            Video(
                id=ids.video,
                project_id=ids.project,
                name="street.mp4",
                path=path,
                sha256=hashlib.sha256(content).hexdigest(),
                size_bytes=len(content),
                codec="h264",
                width=truth.width,
                height=truth.height,
                frame_count=street.frame_count,
                duration_s=10.0,
                frame_times=list(street.times),
            )
        )
        await session.flush()
        session.add(
            GroundTruthSet(
                id=ids.truth,
                video_id=ids.video,
                name="street",
                format="coco",
                sha256="0",
                source=source,
                track_count=len(truth.tracks),
                box_count=sum(len(track.boxes) for track in truth.tracks),
                approved_by="someone@example.org",
            )
        )
        await session.flush()
        for track, box in truth.boxes():
            session.add(
                TruthBoxRow(
                    ground_truth_id=ids.truth,
                    track_id=track.track_id,
                    frame_index=box.frame_index,
                    time_s=box.time_s,
                    road_user=track.road_user,
                    x=box.box.x,
                    y=box.box.y,
                    width=box.box.width,
                    height=box.box.height,
                    occluded=box.occluded,
                    truncated=box.truncated,
                    ignore=box.ignore,
                )
            )
    return ids


@pytest.fixture
async def stored(db: Database, settings: ServiceSettings, media: Path) -> Stored:
    # Workers of camera runs open it in a media store of their own.
    shutil.copy(media / "videos" / "street.mp4", settings.media_dir / "videos")
    return await store(db, media)


@dataclass
class Signer:
    """A signer, which is started when it is first needed."""

    port: int
    environment: dict[str, str]
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if self.process is None:
            with self.folder.with_suffix(".log").open("ab") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "vru.signer"], env=self.environment, cwd=REPOSITORY, stdout=log, stderr=log
                )

    def stop(self) -> None:
        if self.process:
            stop(self.process)
            self.process = None

    def of_workers(self) -> dict[str, str]:
        """What a worker is told about it and about the evidence's folder."""
        return {"VRU_SIGNER_URL": self.url, "VRU_EVIDENCE_DIR": str(self.folder.with_name("evidence"))}

    @classmethod
    def beside(cls, environment: dict[str, str], folder: Path) -> "Signer":
        """A signer with its key in ``folder``/signer, not started yet."""
        port = free_port()
        own = {
            "VRU_SIGNER_PORT": str(port),
            "VRU_SIGNER_DIR": str(folder / "signer"),
            "VRU_DATABASE_USER": "vru_signer",
        }
        return cls(port, environment | own, folder / "signer")


@pytest.fixture
def signer(environment: dict[str, str], tmp_path: Path) -> Iterator[Signer]:
    made = Signer.beside(environment, tmp_path)
    yield made
    made.stop()


@pytest.fixture
def video_sha256(media: Path) -> str:
    """The digest of the street's video."""
    return hashlib.sha256((media / "videos" / "street.mp4").read_bytes()).hexdigest()


class Worker:
    """A worker process."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = int(environment["VRU_WORKER_METRICS_PORT"])
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vru.validation_engine.worker"],
                env=environment,
                cwd=REPOSITORY,
                stdout=output,
                stderr=output,
            )

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(40)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


StartWorker = Callable[..., Worker]


@pytest.fixture
def start_worker(
    environment: dict[str, str], ml_engine: MlEngine, signer: Signer, tmp_path: Path
) -> Iterator[StartWorker]:
    """``start_worker(shard_frames=10, concurrency=1)`` starts a worker; all are killed at the test's end."""
    workers: list[Worker] = []

    def start(*, shard_frames: int = 10, concurrency: int = 1, **more: str) -> Worker:
        signer.start()
        given = environment | {
            "VRU_DATABASE_USER": "vru_validation_worker",
            "VRU_REDIS_USER": "validation_worker",
            "VRU_ML_ENGINE_URL": ml_engine.url,
            **signer.of_workers(),
            "VRU_WORKER_METRICS_PORT": str(free_port()),
            "VRU_WORKER_CONCURRENCY": str(concurrency),
            "VRU_SHARD_FRAMES": str(shard_frames),
            # As in production, but faster: a dead worker is noticed within 3 s.
            "VRU_HEARTBEAT_S": "0.5",
            "VRU_STALLED_AFTER_S": "3",
            **more,
        }
        worker = Worker(given, tmp_path / f"worker-{len(workers)}.log")
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            worker.send(signal.SIGCONT)
        worker.kill()


@dataclass
class Rows:
    """Direct questions to the database."""

    conninfo: str

    def ask(self, query: str, *arguments: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            return connection.execute(query, arguments).fetchall()  # type: ignore[arg-type]

    def state(self, run_id: str) -> str:
        return str(self.ask("SELECT state FROM runs WHERE id = %s", run_id)[0][0])

    def detections(self, run_id: str) -> list[tuple[object, ...]]:
        return self.ask(
            "SELECT frame_index, time_s, road_user, score, x, y, width, height FROM detections WHERE run_id = %s "
            "ORDER BY 1, 4, 5, 6, 7, 8",
            run_id,
        )

    def until(self, condition: Callable[[], bool], *, seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s: {what}")
            time.sleep(0.05)


@pytest.fixture
def rows(postgres: Postgres, database: str) -> Rows:
    return Rows(postgres.conninfo(database))


__all__ = ["FRAMES", "MlEngine", "RedisServer", "Rows", "Signer", "StartWorker", "Stored", "Worker", "answers", "store"]
