"""Validation: everything that would stop a deployment, found before anything is touched and said all at once.

What a server needs is judged by the doctor's own functions, from the facts that a deployment reads anyway.
"""

from collections.abc import Iterator
from pathlib import Path

from vru.deploy.checks import certificate, machine, network
from vru.deploy.checks.check import ok, problem, warning
from vru.deploy.checks.evidence import Evidence
from vru.deploy.checks.fault import examine
from vru.deploy.release import compose_file, images
from vru.deploy.release.configuration import render
from vru.deploy.settings.environment import FILE_NAME, Environment
from vru.domain import VruError
from vru.host.wire import COMPOSE_FILE, Check, Facts

_NEEDED_FILES = (
    "docker-compose.production.yml",
    "Dockerfile",
    "pyproject.toml",
    "uv.lock",
    "models",
    "templates",
    "src/vru",
)


def missing_files(root: Path) -> list[str]:
    """What the project's root lacks."""
    return [name for name in _NEEDED_FILES if not (root / name).exists()]


def check_project(root: Path) -> Iterator[Check]:
    """Whether the project's own files are there."""
    missing = missing_files(root)
    if missing:
        yield problem(
            "project files",
            f"{root} lacks {', '.join(missing)}.",
            "Run vru from the project's root, or give --project.",
        )
    else:
        yield ok("project files", str(root))
        yield from check_compose_file(root)


def check_compose_file(root: Path) -> Iterator[Check]:
    """Whether Compose can use its file."""
    found = compose_file.check((root / COMPOSE_FILE).read_bytes())
    yield from (problem(fault.place, fault.message, fault.fix) for fault in found)
    if not found:
        yield ok(COMPOSE_FILE, "can be used")


def check_configuration(root: Path, environment: Environment, facts: Facts | None) -> Iterator[Check]:
    """Whether every template renders, and nothing secret lies among what would be sent."""
    try:
        rendered = render(root, environment, facts)
    except VruError as error:
        yield problem("configuration", error.message, error.fix)
    else:
        yield ok("configuration", f"{len(rendered)} files render")
    try:
        images.refuse_secrets(root, environment.secrets())
    except VruError as error:
        yield problem("sources", error.message, error.fix)
    else:
        yield ok("sources", "hold no private key and no password")
    yield from certificate.check(environment)


def check_server(environment: Environment, facts: Facts) -> Iterator[Check]:
    """Whether the platform can live on this server."""
    yield from examine((*machine.NEEDED, *network.NEEDED), Evidence({}, environment=environment, known=facts))
    yield from _check_database(environment, facts)
    yield from _check_own_ports(environment, facts)


def own_ports(environment: Environment, facts: Facts) -> dict[int, str]:
    """TCP ports on which the server's own programs can be reached, with the program's name: neither SSH nor ours."""
    known = {*environment.published_ports, facts.ssh_port}
    return {
        port: owner or "some process"
        for port, owner in facts.outside
        if port not in known and owner != network.OUR_LISTENER and not owner.startswith("sshd")
    }


def _check_own_ports(environment: Environment, facts: Facts) -> Iterator[Check]:
    """The first rules of the firewall decide about the server's own programs: that is said before anything begins."""
    if facts.has_firewall:
        return
    for port, owner in sorted(own_ports(environment, facts).items()):
        if environment["VRU_FIREWALL_OTHERS"] == "close":
            yield warning(
                "firewall",
                f"Port {port} ({owner}) will no longer be reached from outside.",
                f"To keep it open, set VRU_FIREWALL_OTHERS=keep in {FILE_NAME}.",
            )
        else:
            yield warning(
                "firewall",
                f"Port {port} ({owner}) is the server's own, and stays open.",
                f"To have it closed, set VRU_FIREWALL_OTHERS=close in {FILE_NAME}.",
            )


def _check_database(environment: Environment, facts: Facts) -> Iterator[Check]:
    """PostgreSQL makes its database and its user at its first start only: another name later is found nowhere."""
    there = {"VRU_DATABASE_NAME": facts.database_name, "VRU_DATABASE_USER": facts.database_user}
    for variable, name in there.items():
        if name and environment[variable] != name:
            yield problem(
                "database",
                f"{variable} is {environment[variable]}, but the database on the server was made with {name}: a "
                "deployment renames nothing.",
                f"Set {variable}={name} in {FILE_NAME}, or rename it by hand first: docs/operating.md, “Rename the "
                "database”.",
            )
