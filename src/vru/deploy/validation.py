"""Validation: everything that would stop a deployment, found before anything is touched and said all at once."""

from collections.abc import Iterator
from pathlib import Path

from vru.deploy.checks import Check, ok, problem, warning
from vru.deploy.configuration import render
from vru.deploy.environment import Environment
from vru.deploy.facts import ServerFacts
from vru.deploy.remote_setup import OLDEST_PYTHON
from vru.domain import VruError

GIB = 1024**3
_NEEDED_FILES = (
    "docker-compose.production.yml",
    "Dockerfile",
    "pyproject.toml",
    "uv.lock",
    "models",
    "templates",
    "src/vru",
)
_NEEDED_DISK_GIB = 10  # images of all services, a build's caches, the database's first weeks
_NEEDED_DISK_AGAIN_GIB = 2  # where a release stands already
_NEEDED_MEMORY_GIB = 3
_MACHINES = ("x86_64", "aarch64")
_SYSTEMS = {"debian": 12.0, "ubuntu": 22.04}
_LARGEST_CLOCK_SKEW_S = 60
# Names under which our own nginx's published ports show up on the server.
_OUR_LISTENERS = ("docker-proxy",)


def check_project(root: Path) -> Iterator[Check]:
    """Whether the project's own files are there."""
    missing = [name for name in _NEEDED_FILES if not (root / name).exists()]
    if missing:
        yield problem(
            "project files",
            f"{root} lacks {', '.join(missing)}.",
            "Run vru from the project's root, or give --project.",
        )
    else:
        yield ok("project files", str(root))


def check_configuration(root: Path, environment: Environment, facts: ServerFacts | None) -> Iterator[Check]:
    """Whether every template renders."""
    try:
        rendered = render(root, environment, facts)
    except VruError as error:
        yield problem("configuration", error.message, error.fix)
    else:
        yield ok("configuration", f"{len(rendered)} files render")


def check_server(environment: Environment, facts: ServerFacts) -> Iterator[Check]:
    """Whether the platform can live on this server."""
    yield from _check_system(facts)
    yield from _check_room(facts)
    yield from _check_ports(environment, facts)
    skew = abs(facts.clock_skew_s)
    if skew > _LARGEST_CLOCK_SKEW_S:
        yield warning(
            "clock",
            f"The server's clock is {skew:.0f} s off the laptop's.",
            "Run timedatectl set-ntp true on the one that is wrong.",
        )
    else:
        yield ok("clock")


def _check_system(facts: ServerFacts) -> Iterator[Check]:
    oldest = _SYSTEMS.get(facts.os_id)
    try:
        supported = oldest is not None and float(facts.os_version) >= oldest
    except ValueError:
        supported = False
    if supported:
        yield ok("operating system", facts.os_name)
    else:
        yield problem(
            "operating system",
            f"{facts.os_name} is not supported.",
            "Use Debian 12 or newer, or Ubuntu 22.04 or newer.",
        )
    if facts.machine in _MACHINES:
        yield ok("processor", facts.machine)
    else:
        yield problem("processor", f"{facts.machine} is not supported.", f"Use one of: {', '.join(_MACHINES)}.")
    if facts.init == "systemd":
        yield ok("systemd")
    else:
        yield problem(
            "systemd", f"The server's init is {facts.init}, not systemd.", "Use a server that boots with systemd."
        )
    if facts.python_version >= OLDEST_PYTHON:
        yield ok("python", facts.python)
    elif facts.has_apt:
        yield ok("python", "will be installed")
    else:
        yield problem("python", "There is neither Python 3.10 nor apt-get.", "Install python3 on the server.")


def _check_room(facts: ServerFacts) -> Iterator[Check]:
    needed = _NEEDED_DISK_AGAIN_GIB if facts.release else _NEEDED_DISK_GIB
    for name, free in (
        ("disk for /opt/vru-platform", facts.disk_free_bytes),
        ("disk for /var/lib/docker", facts.docker_disk_free_bytes),
    ):
        shown = f"{free / GIB:.1f} GiB free"
        if free < needed * GIB:
            yield problem(name, f"Only {shown}; {needed} GiB are needed.", "Free some space or enlarge the disk.")
        else:
            yield ok(name, shown)
    # A machine sold as 4 GB shows a little less: the kernel keeps some.
    if facts.memory_bytes < _NEEDED_MEMORY_GIB * GIB * 0.9:
        yield problem(
            "memory",
            f"Only {facts.memory_bytes / GIB:.1f} GiB; {_NEEDED_MEMORY_GIB} GiB are needed.",
            "Use a larger server.",
        )
    else:
        yield ok("memory", f"{facts.memory_bytes / GIB:.1f} GiB, {facts.cpus} processors")


def _check_ports(environment: Environment, facts: ServerFacts) -> Iterator[Check]:
    for port in sorted(environment.published_ports):
        owner = facts.owner_of(port)
        if owner is None or (facts.release and owner in _OUR_LISTENERS):
            yield ok(f"port {port}")
        else:
            yield problem(
                f"port {port}",
                f"Port {port} on the server is taken by {owner}.",
                f"Stop it (ss -ltnp 'sport = :{port}' shows it), or choose another port in .env.production.",
            )
