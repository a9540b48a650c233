"""Docker Compose and Docker as this program uses them: argument lists, and what they answer as typed facts."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ..base.disk import read_json, write_json
from ..base.errors import HostError
from ..base.host import PROJECT, Host
from ..base.run import Done
from . import topology
from .engine import Engine, EngineError
from .topology import Topology

_LABEL = "com.docker.compose"
# Grows with what a cached view holds.
_VIEW_FORMAT = 2
PLUGIN_DIRECTORIES = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
# How long a migration that an earlier run has begun may take.
_LEFT_S = 1800.0
BUILD_ENVIRONMENT = {"DOCKER_BUILDKIT": "1", "COMPOSE_ANSI": "never"}


@dataclass(frozen=True)
class Limits:
    """What a container may use: CPU in billionths of one, memory in bytes, processes. 0 is no limit."""

    nano_cpus: int = 0
    memory: int = 0
    pids: int = 0


@dataclass(frozen=True)
class Service:
    """One service as the Compose file means it."""

    name: str
    image: str
    digest: str
    ports: tuple[int, ...]
    healthcheck: bool
    restart: str
    depends_on: tuple[str, ...]
    replicas: int = 1
    limits: Limits = Limits()
    networks: tuple[str, ...] = ()
    topology: Topology = field(default_factory=Topology)


@dataclass(frozen=True)
class View:
    """The Compose file with its variables filled in. ``tools`` are services that only run when called."""

    services: Mapping[str, Service]
    tools: Mapping[str, Service]

    @property
    def running(self) -> list[str]:
        """The services that should have containers."""
        return [name for name, service in self.services.items() if service.replicas > 0]

    @property
    def rolling(self) -> list[str]:
        """The services that may run twice for a while; whatever else changes is recreated in place."""
        return [name for name, service in self.services.items() if service.topology.rollout == "rolling"]

    @property
    def stateful(self) -> list[str]:
        """The services that keep data, and that others need: they come first, and are replaced in place."""
        return [name for name, service in self.services.items() if service.topology.rollout == "stateful"]

    @property
    def routed(self) -> dict[str, int]:
        """The services that nginx routes requests to, and where each listens."""
        found = {name: service.topology for name, service in self.services.items() if service.topology.routed}
        return {name: topology.port for name, topology in found.items() if topology.port is not None}

    def before(self, name: str) -> set[str]:
        """Every service that one needs, directly or not."""
        found: set[str] = set()
        waiting = [name]
        known = {**self.tools, **self.services}
        while waiting:
            for other in known[waiting.pop()].depends_on:
                if other in known and other not in found:
                    found.add(other)
                    waiting.append(other)
        return found


@dataclass(frozen=True)
class Container:
    """One container of this project as Docker sees it."""

    id: str
    name: str
    service: str
    digest: str
    image: str
    state: str
    health: str
    exit_code: int
    restarts: int
    started: datetime | None
    pid: int
    restart: str
    environment: Mapping[str, str]
    probe: str
    arguments: tuple[str, ...]
    image_id: str = ""
    limits: Limits = Limits()
    networks: tuple[str, ...] = ()
    number: int = 0
    killed_for_memory: bool = False
    addresses: Mapping[str, str] = field(default_factory=dict)
    topology: Topology = field(default_factory=Topology)
    # As Docker writes it (RFC 3339, UTC), to be compared with the times of its log.
    created: str = ""

    @property
    def settled(self) -> bool:
        """Up and healthy, or up where there is no health check, or a one-shot that ended well."""
        if self.state == "running":
            return self.health in ("healthy", "none")
        return self.state == "exited" and self.exit_code == 0 and self.restart in ("", "no")


class Compose:
    """The project ``vru-platform`` of this server."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def command(self, *arguments: str, compose_file: Path | None = None, env_file: Path | None = None) -> list[str]:
        """The argument list for the live files, or for others that mean the same project directory."""
        return [
            "docker", "compose", "--project-name", PROJECT, "--project-directory", str(self.host.root),
            "--file", str(compose_file or self.host.compose_file),
            "--env-file", str(env_file or self.host.env_file), *arguments,
        ]  # fmt: skip

    def check(self) -> None:
        """Check the live files.

        Raises:
            HostError: Compose refuses them; a missing variable is named.
        """
        done = self.host.run(self.command("config", "--quiet"), check=False)
        if not done.ok:
            raise HostError(
                f"The Compose file or its variables are wrong: {done.last_words(2)}",
                "Check .env.production, then deploy again.",
            )

    def view(self, contents: tuple[bytes, bytes] | None = None) -> View:
        """What the live files mean, or the (Compose file, env file) given, which are not live yet.

        Raises:
            HostError: Compose refuses them.
        """
        key = _key(contents or (self.host.compose_file.read_bytes(), self.host.env_file.read_bytes()))
        cached = read_json(self._cache, {})
        if cached.get("key") == key:
            return _view_from_json(cached["view"])
        with self._files(contents) as (compose_file, env_file):

            def ask(*arguments: str) -> str:
                command = self.command(*arguments, compose_file=compose_file, env_file=env_file)
                return self.host.run(command, fix="Check .env.production, then deploy again.").out

            with ThreadPoolExecutor(1) as pool:
                hashes = pool.submit(ask, "config", "--hash", "*")
                everything = json.loads(ask("--profile", "*", "config", "--format", "json"))
                digests = dict(line.split() for line in hashes.result().splitlines() if line.strip())
        networks = everything.get("networks") or {}
        parsed = {
            name: _service(name, raw, digests.get(name, ""), networks) for name, raw in everything["services"].items()
        }
        return View(
            {name: service for name, service in parsed.items() if name in digests},
            {name: service for name, service in parsed.items() if name not in digests},
        )

    @property
    def _cache(self) -> Path:
        return self.host.state / "view.json"

    def cache_view(self) -> None:
        """Keep what the live files mean, so that the next plan need not start Compose twice to ask again."""
        key = _key((self.host.compose_file.read_bytes(), self.host.env_file.read_bytes()))
        if read_json(self._cache, {}).get("key") != key:
            write_json(self._cache, {"key": key, "view": _view_as_json(self.view())})

    @contextmanager
    def _files(self, contents: tuple[bytes, bytes] | None) -> Iterator[tuple[Path | None, Path | None]]:
        if contents is None:
            yield None, None
            return
        # A private directory: the env file holds secrets.
        with tempfile.TemporaryDirectory(prefix="vru-plan-") as directory:
            paths = (Path(directory) / "compose.yml", Path(directory) / "env")
            for path, content in zip(paths, contents, strict=True):
                path.touch(mode=0o600)
                path.write_bytes(content)
            yield paths

    def containers(self) -> list[Container]:
        """The project's containers, one-off ones left out; none where Docker does not answer."""
        return self.containers_and_names()[0]

    def existing(self) -> list[Container]:
        """The project's containers, for a change that must not take an engine that is away for an empty one.

        Raises:
            HostError: Docker does not answer.
        """
        try:
            with Engine() as engine:
                ids = engine.containers([f"{_LABEL}.project={PROJECT}"])
                found = [raw for raw in map(engine.container, ids) if raw is not None]
        except EngineError as error:
            raise HostError(str(error), "Look at: systemctl status docker; then run the same command again.") from error
        return [container for container in map(parse_container, found) if container is not None]

    def containers_and_names(self) -> tuple[list[Container], set[str]]:
        """The same, and the names of all containers on this server that are not one-off ones of this project."""
        try:
            with Engine() as engine:
                names = engine.names()
                ids = engine.containers([f"{_LABEL}.project={PROJECT}"])
                found = [raw for raw in map(engine.container, ids) if raw is not None]
        except EngineError:
            return [], set()
        parsed = [container for container in map(parse_container, found) if container is not None]
        one_off = {str(raw["Id"]) for raw in found} - {container.id for container in parsed}
        return parsed, {name for name, one in names.items() if one not in one_off}

    def run_once(
        self, service: str, on_line: Callable[[str], None], variables: Mapping[str, str] | None = None
    ) -> Done:
        """Run a service's command in a one-off container that is removed afterwards.

        One that a killed run has left goes on by itself: it is waited for, and removed.

        Args:
            service: its name in the Compose file.
            on_line: gets each line that it writes.
            variables: what the Compose file's variables mean for this once, instead of what `.env` says.
        """
        labels = {"oneoff": "True", "service": service, "project": PROJECT}
        filters = [word for name, value in labels.items() for word in ("--filter", f"label={_LABEL}.{name}={value}")]
        left = self.host.run(["docker", "ps", "--all", "--quiet", "--no-trunc", *filters], check=False).out.split()
        if left:
            on_line(f"waiting for {service}, which an earlier run has begun")
            self.host.run(["docker", "wait", *left], check=False, timeout=_LEFT_S)
            self.host.run(["docker", "rm", "--force", *left], check=False)
        return self.host.run.lines(
            self.command("--profile", "*", "--progress", "plain", "run", "--rm", "--no-deps", "-T", service),
            on_line,
            timeout=1800,
            env=variables,
        )

    def last_lines(self, container: Container, count: int = 20) -> tuple[str, ...]:
        """The last lines that a container wrote, and what its health check said last."""
        done = self.host.run(["docker", "logs", "--tail", str(count), container.id], check=False)
        lines = (done.out + done.err).splitlines()[-count:]
        if container.health == "unhealthy" and container.probe:
            lines.append(f"health check: {container.probe}")
        return tuple(lines)


def parse_container(raw: Mapping[str, Any]) -> Container | None:
    """One entry of ``docker inspect``; None for a one-off container."""
    labels = raw["Config"].get("Labels") or {}
    if labels.get(f"{_LABEL}.oneoff") == "True":
        return None
    state = raw["State"]
    health = state.get("Health") or {}
    probes = health.get("Log") or [{}]
    return Container(
        id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        service=labels.get(f"{_LABEL}.service", ""),
        digest=labels.get(f"{_LABEL}.config-hash", ""),
        image=raw["Config"].get("Image", ""),
        state=state["Status"],
        health=health.get("Status", "none"),
        exit_code=int(state.get("ExitCode", 0)),
        restarts=int(raw.get("RestartCount", 0)),
        started=_time(state.get("StartedAt", "")),
        pid=int(state.get("Pid", 0)),
        restart=raw["HostConfig"].get("RestartPolicy", {}).get("Name", ""),
        environment=dict(item.split("=", 1) for item in raw["Config"].get("Env") or () if "=" in item),
        arguments=tuple(raw.get("Args") or ()),
        probe=" ".join(str(probes[-1].get("Output", "")).split())[-300:],
        image_id=raw.get("Image", ""),
        limits=Limits(
            int(raw["HostConfig"].get("NanoCpus") or 0),
            int(raw["HostConfig"].get("Memory") or 0),
            max(0, int(raw["HostConfig"].get("PidsLimit") or 0)),
        ),
        networks=tuple(sorted((raw.get("NetworkSettings") or {}).get("Networks") or ())),
        number=int(labels.get(f"{_LABEL}.container-number") or 0),
        killed_for_memory=bool(state.get("OOMKilled")),
        addresses={
            name: str(network["IPAddress"])
            for name, network in ((raw.get("NetworkSettings") or {}).get("Networks") or {}).items()
            if network.get("IPAddress")
        },
        topology=topology.of_labels(labels.get(f"{_LABEL}.service", ""), labels),
        created=str(raw.get("Created", "")),
    )


def _time(text: str) -> datetime | None:
    # Docker prints nanoseconds; Python 3.10 reads at most microseconds, and no "Z".
    if not text or text.startswith("0001-"):
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{(fraction + '000000')[:6]}+00:00")


def _service(name: str, raw: Mapping[str, Any], digest: str, networks: Mapping[str, Any]) -> Service:
    depends = raw.get("depends_on") or {}
    deploy = raw.get("deploy") or {}
    replicas = deploy.get("replicas", raw.get("scale"))
    limits = (deploy.get("resources") or {}).get("limits") or {}
    return Service(
        name=name,
        image=str(raw.get("image", "")),
        digest=digest,
        ports=tuple(int(port["published"]) for port in raw.get("ports") or () if port.get("published")),
        healthcheck=bool(raw.get("healthcheck")) and not (raw["healthcheck"] or {}).get("disable"),
        restart=str(raw.get("restart", "")),
        depends_on=tuple(depends),
        replicas=1 if replicas is None else int(replicas),
        limits=Limits(
            round(float(limits.get("cpus") or 0) * 1e9), int(limits.get("memory") or 0), int(limits.get("pids") or 0)
        ),
        networks=tuple(sorted((networks.get(one) or {}).get("name") or one for one in raw.get("networks") or ())),
        topology=topology.of_labels(name, raw.get("labels") or {}),
    )


def present_images(host: Host, names: Sequence[str]) -> dict[str, str]:
    """Which of some images the engine has, with their ids; none where it does not answer."""
    if not names:
        return {}
    try:
        with Engine() as engine:
            found = engine.images()
    except EngineError:
        return {}
    return {name: found.get(name) or found[f"{name}:latest"] for name in names if {name, f"{name}:latest"} & set(found)}


def _key(contents: tuple[bytes, bytes]) -> str:
    """What the meaning of the two files depends on: they, and the version of Compose that reads them."""
    digest = hashlib.sha256(f"{_VIEW_FORMAT}\0".encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    for place in PLUGIN_DIRECTORIES:
        plugin = Path(place) / "docker-compose"
        if plugin.exists():
            status = plugin.stat()
            digest.update(f"{plugin}\0{status.st_mtime_ns}\0{status.st_size}\0".encode())
    return digest.hexdigest()


def _view_as_json(view: View) -> dict[str, Any]:
    return {
        kind: {name: asdict(service) for name, service in found.items()}
        for kind, found in (("services", view.services), ("tools", view.tools))
    }


def _view_from_json(raw: Mapping[str, Any]) -> View:
    def service(one: Mapping[str, Any]) -> Service:
        tuples = {name: tuple(one[name]) for name in ("ports", "depends_on", "networks")}
        return Service(**{**one, **tuples, "limits": Limits(**one["limits"]), "topology": Topology(**one["topology"])})

    services, tools = ({name: service(one) for name, one in raw[kind].items()} for kind in ("services", "tools"))
    return View(services, tools)
