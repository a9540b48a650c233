"""Containers and services as Docker and Compose would tell of them, for tests that decide and do not act."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from vru.host.docker.compose import Container, Service, View
from vru.host.docker.topology import Topology, of_labels

DIGEST = "wanted"
_FILE = Path(__file__).parents[2] / "docker-compose.production.yml"
# The services of the platform, as its own Compose file describes them.
LABELS = {name: raw["labels"] for name, raw in yaml.safe_load(_FILE.read_text())["services"].items()}
TOPOLOGY = {name: of_labels(name, labels) for name, labels in LABELS.items()}


def container(service: str, number: int = 1, **other: Any) -> Container:
    """One healthy container of the wanted kind, unless something else is said."""
    base = Container(
        id=f"{service}{number}".ljust(64, "0"),
        name=f"vru-platform-{service}-{number}",
        service=service,
        digest=DIGEST,
        image=f"vru-platform/{service}:new",
        state="running",
        health="healthy",
        exit_code=0,
        restarts=0,
        started=None,
        pid=1,
        restart="unless-stopped",
        environment={},
        probe="",
        arguments=(),
        number=number,
        topology=TOPOLOGY.get(service, Topology()),
        addresses={"internal": f"127.0.0.{100 + number}"},
    )
    return replace(base, **other)


def view_of(*services: str, **replicas: int) -> View:
    """A Compose file with some services."""
    return View(
        {
            name: Service(
                name, f"vru-platform/{name}:new", DIGEST, (), healthcheck=True, restart="unless-stopped",
                depends_on=(), replicas=replicas.get(name, 1), topology=TOPOLOGY.get(name, Topology()),
            )
            for name in services
        },
        {},
    )  # fmt: skip
