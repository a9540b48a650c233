"""Which container is meant when somebody wants to look inside a service, and where it is reached from this server."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..base.errors import USAGE, HostError
from ..base.host import Host
from ..docker.compose import Compose, Container
from ..lock import audit
from .services import check_names


def choose(service: str, found: Iterable[Container], index: int | None) -> Container:
    """The container that is meant: the healthiest and newest, or the one at a place (1 is the oldest).

    Raises:
        HostError: none runs, or not so many do.
    """
    running = sorted(
        (one for one in found if one.service == service and one.state == "running"), key=lambda one: one.number
    )
    if not running:
        raise HostError(f"The service {service} does not run.", f"Read: vru logs {service}, then: vru status")
    if index is None:
        return max(running, key=lambda one: (one.settled, one.number))
    if not 1 <= index <= len(running):
        if len(running) == 1:
            raise HostError(f"{service} has only one container.", "Leave --index out.", code=USAGE)
        raise HostError(f"{service} has {len(running)} containers.", f"Give --index 1 to {len(running)}.", code=USAGE)
    return running[index - 1]


def target(host: Host, service: str, index: int | None, program: str) -> dict[str, str]:
    """The container in which a program is to be run, and a line in the audit.

    Its arguments are not recorded: they may hold a secret.

    Raises:
        HostError: there is no such service, or it does not run.
    """
    compose = Compose(host)
    check_names(compose, [service])
    container = choose(service, compose.containers(), index)
    audit.record(host, "exec", outcome="begun", detail=f"{program} in {container.name}")
    return {"id": container.id, "name": container.name}


def address(host: Host, service: str, index: int | None, port: int | None) -> dict[str, Any]:
    """Where a service's container answers, seen from this server: ``address``, ``port`` and its ``name``.

    Raises:
        HostError: it does not run, is on no network of its own, or its port is not known.
    """
    container = choose(service, Compose(host).containers(), index)
    number = port or container.topology.port
    if number is None:
        raise HostError(f"It is not known where {service} listens.", "Give --to PORT.", code=USAGE)
    place = next(filter(None, container.addresses.values()), None)
    if place is None:
        raise HostError(f"{container.name} has no address of its own.", f"Read: vru logs {service}")
    return {"name": container.name, "address": place, "port": number}


def answer_questions(
    host: Host, service: str, index: int | None, port: int | None, questions: Iterable[str]
) -> Iterable[str]:
    """One line of JSON for each line that comes: `address`, or ``error`` and ``fix``.

    A container may be replaced at any time, and its address given to another: so it is asked for each connection.
    """
    for _ in questions:
        try:
            yield json.dumps(address(host, service, index, port))
        except HostError as error:
            yield json.dumps({"error": error.message, "fix": error.fix})
