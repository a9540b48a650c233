"""What the deployer's tests share: an environment, and the public images' own programs to check configs with."""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import tests.hypothesis_profile  # noqa: F401 - it is its effect that counts
from tests.host.containers import TOPOLOGY

from vru.deploy.settings import environment
from vru.deploy.settings.environment import Environment
from vru.host.rolling import routes

ROOT = Path(__file__).parents[2]
# The services that nginx routes requests to, and where each listens.
ROUTED = {name: one.port for name, one in TOPOLOGY.items() if one.routed and one.port is not None}


@pytest.fixture(autouse=True)
def _state_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Log files of commands go to the tests' own folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture
def example(tmp_path: Path) -> Environment:
    """An environment as `vru init` makes it."""
    return environment.generate(
        tmp_path / ".env.production", {"VRU_HOST": "192.0.2.10", "VRU_MONITORING_ALLOW": "10.1.0.0/16, 192.0.2.77"}
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project's files that a deployment needs."""
    for name in (
        "Dockerfile",
        ".dockerignore",
        "hatch_build.py",
        "pyproject.toml",
        "uv.lock",
        "docker-compose.production.yml",
    ):
        shutil.copy2(ROOT / name, tmp_path)
    for name in ("src", "models", "templates"):
        ignored = shutil.ignore_patterns("node_modules", "static", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return tmp_path


def docker(*arguments: str, stdin: bytes = b"", timeout: float = 300) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [shutil.which("docker") or "docker", *arguments],
        input=stdin, capture_output=True, timeout=timeout, check=False,
    )  # fmt: skip


def has_image(image: str) -> bool:
    return docker("image", "inspect", image).returncode == 0 or docker("pull", "-q", image).returncode == 0


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine answers, or the test is skipped."""
    if shutil.which("docker") is None or docker("info", timeout=20).returncode != 0:
        pytest.skip("no Docker engine answers")


def tar_of(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


# What the host program writes on the server, where nginx sees it.
ROUTES = "/etc/vru-routes/upstreams.conf"


def configs_in_container(rendered: Mapping[str, bytes]) -> dict[str, bytes]:
    """The generated configs at the places where the containers see them, and the routes as a new server has them."""
    beginning = "config/production/"
    return {
        **{
            f"/etc/vru/{path.removeprefix(beginning)}": content
            for path, content in rendered.items()
            if path.startswith(beginning)
        },
        ROUTES: routes.render(routes.steady(ROUTED, []), {}).encode(),
    }


class Containers:
    """Containers of one test, removed at its end."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def create(self, image: str, files: Mapping[str, bytes], options: Sequence[str], command: Sequence[str]) -> str:
        """Make a container with some files in it. Files are copied, not mounted: the engine may be elsewhere."""
        if not has_image(image):
            pytest.skip(f"the image {image} cannot be had")
        made = docker("create", *options, image, *command)
        assert made.returncode == 0, made.stderr.decode()
        name = made.stdout.decode().strip()
        self.names.append(name)
        copied = docker("cp", "-", f"{name}:/", stdin=tar_of(files))
        assert copied.returncode == 0, copied.stderr.decode()
        return name

    def run(
        self, image: str, files: Mapping[str, bytes], command: Sequence[str], options: Sequence[str] = ()
    ) -> tuple[int, str]:
        """Run a program to its end. Returns its exit code and all that it wrote."""
        name = self.create(image, files, [*options, f"--entrypoint={command[0]}"], command[1:])
        done = docker("start", "--attach", name)
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def start(
        self, image: str, files: Mapping[str, bytes], command: Sequence[str] = (), options: Sequence[str] = ()
    ) -> str:
        """Start a container and leave it running."""
        name = self.create(image, files, options, command)
        started = docker("start", name)
        assert started.returncode == 0, started.stderr.decode()
        return name

    def exec(self, name: str, *command: str, options: Sequence[str] = ()) -> tuple[int, str]:
        """Run a program in a running container."""
        done = docker("exec", *options, name, *command)
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def logs(self, name: str) -> str:
        done = docker("logs", name)
        return (done.stdout + done.stderr).decode(errors="replace")

    def remove(self) -> None:
        if self.names:
            docker("rm", "--force", "--volumes", *self.names)


@pytest.fixture
def containers(engine: None) -> Iterator[Containers]:
    found = Containers()
    yield found
    found.remove()


COMPOSE_IMAGE = "vru-test-compose"
_COMPOSE_DOCKERFILE = b"""FROM debian:trixie-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends docker-compose docker-cli >/dev/null
"""

ComposeConfig = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def compose_config() -> ComposeConfig:
    """`docker compose config` of the project's compose file with the given .env: exit code, output, errors."""
    file = (ROOT / "docker-compose.production.yml").read_bytes()
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    local = docker("compose", "version").returncode == 0
    if not local:
        if docker("info", timeout=20).returncode != 0:
            pytest.skip("neither `docker compose` nor a Docker engine is here")
        if docker("image", "inspect", COMPOSE_IMAGE).returncode != 0:
            built = docker("build", "-q", "-t", COMPOSE_IMAGE, "-", stdin=_COMPOSE_DOCKERFILE)
            if built.returncode != 0:
                pytest.skip(f"docker compose cannot be had: {built.stderr.decode()[-300:]}")

    def run(env: str) -> tuple[int, str, str]:
        arguments = ("compose", "-f", "docker-compose.production.yml", "--profile", "*", "config", "--format", "json")
        files = {"/p/docker-compose.production.yml": file, "/p/.env": env.encode()}
        if local:
            import tempfile

            with tempfile.TemporaryDirectory() as directory:
                for path, content in files.items():
                    (Path(directory) / Path(path).name).write_bytes(content)
                done = subprocess.run(
                    ["docker", *arguments], cwd=directory, capture_output=True, text=True, check=False, timeout=60
                )
            return done.returncode, done.stdout, done.stderr
        found = Containers()
        try:
            name = found.create(COMPOSE_IMAGE, files, ["--workdir=/p"], ["docker", *arguments])
            finished = docker("start", "--attach", name)
        finally:
            found.remove()
        return finished.returncode, finished.stdout.decode(), finished.stderr.decode()

    return run
