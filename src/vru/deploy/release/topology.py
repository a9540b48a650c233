"""The services, as the compose file describes them: its builds and its labels ``vru.*``.

The host program reads the same labels (``vru.host.docker.topology``). For the laptop there are besides:

``vru.config``      the generated files that a service reads, as beginnings of their paths: a change restarts it
``vru.metrics``     ``containers``: Prometheus asks each container by itself; ``address``: it asks the service's name
``vru.proxy-port``  where the other services reach it, at nginx
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from vru.domain import VruError
from vru.host.wire import COMPOSE_FILE

DOCKERFILE = "Dockerfile"
LABELS = frozenset(
    f"vru.{name}"
    for name in ("project", "config-digest", "port", "ready", "rollout", "routed", "config", "metrics", "proxy-port")
)
_STAGE = re.compile(r"^FROM\s+(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)
_OTHER_STAGE = re.compile(r"\bfrom=([A-Za-z_][\w.-]*)")
_ROOM = re.compile(r"\bsrc/vru/([a-z_]+)/")


@dataclass(frozen=True, slots=True)
class Service:
    """One service. ``target`` is what is built of the Dockerfile for it; empty where its image is another's."""

    name: str
    target: str = ""
    port: int | None = None
    config: tuple[str, ...] = ()
    metrics: str = ""
    proxy_port: int | None = None


def load(root: Path) -> Mapping[str, Service]:
    """The services of a project, in the order of its compose file.

    Raises:
        VruError: the compose file cannot be read, or a label is wrong.
    """
    try:
        return _parse((root / COMPOSE_FILE).read_bytes())
    except OSError as error:
        raise VruError(f"{COMPOSE_FILE} cannot be read: {error.strerror}.", "Get the file back from git.") from error


@lru_cache(maxsize=4)
def _parse(raw: bytes) -> Mapping[str, Service]:
    try:
        document = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe one
        return {name: _service(name, one) for name, one in document["services"].items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise VruError(f"{COMPOSE_FILE} is no compose file.", "vru validate --local says what is wrong.") from error


def _service(name: str, raw: Mapping[str, Any]) -> Service:
    build = raw.get("build") or {}
    labels = raw.get("labels") or {}
    return Service(
        name,
        target=str(build.get("target") or "") if isinstance(build, dict) else "",
        port=_port(name, labels, "vru.port"),
        config=tuple(str(labels.get("vru.config", "")).split()),
        metrics=str(labels.get("vru.metrics", "")),
        proxy_port=_port(name, labels, "vru.proxy-port"),
    )


def _port(service: str, labels: Mapping[str, Any], label: str) -> int | None:
    given = labels.get(label)
    if given is not None and not str(given).isdecimal():
        raise VruError(f"The label {label} of the service {service} is {given!r}.", "Write a port, such as 8000.")
    return None if given is None else int(given)


def rooms(root: Path, target: str) -> tuple[str, ...]:
    """The packages below ``src/vru`` that a target of the Dockerfile takes in, through all the stages it is made of.

    Raises:
        VruError: there is no such target.
    """
    stages = _stages((root / DOCKERFILE).read_text())
    if target not in stages:
        raise VruError(f"The {DOCKERFILE} has no target {target}.", f"Add it, or correct it in {COMPOSE_FILE}.")
    found: set[str] = set()
    waiting, seen = [target], {target}
    while waiting:
        text = stages[waiting.pop()]
        found.update(_ROOM.findall(text))
        bases = {match["base"] for line in text.splitlines() if (match := _STAGE.match(line))}
        more = ({*bases, *_OTHER_STAGE.findall(text)} & stages.keys()) - seen
        seen |= more
        waiting += more
    return tuple(sorted(found))


def _stages(dockerfile: str) -> dict[str, str]:
    stages: dict[str, list[str]] = {}
    current: list[str] = []
    for line in dockerfile.splitlines():
        if match := _STAGE.match(line):
            current = stages.setdefault(match["name"] or match["base"], [])
        if not line.lstrip().startswith("#"):
            current.append(line)
    return {name: "\n".join(lines) for name, lines in stages.items()}
