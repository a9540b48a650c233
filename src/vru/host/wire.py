"""The wire between laptop and server: what goes over it, as frozen dataclasses that both sides import.

Documents are JSON objects, read strictly (:mod:`vru.host.strict_json`). Standard library only, Python 3.10.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, Union

from .strict_json import WireError, read

# Raised with every change that an older program on the other side would misread.
PROTOCOL = 1
COMPOSE_FILE = "docker-compose.production.yml"
ENV_FILE = ".env"
# The host program as administrators and systemd call it; a rollback brings the older one back.
PROGRAM = "bin/vru-platform.pyz"

_RELEASE = re.compile(r"[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNIT = re.compile(r"[A-Za-z0-9_.@\\-]+\.(service|timer|socket|path|target)")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._/:@-]*")
_SERVICE = re.compile(r"[a-z0-9][a-z0-9_.-]*")
# Where a release may write outside its root.
_ABSOLUTE = ("/etc/", "/usr/local/")
# What below the root belongs to the services and to the host program.
_NOT_FILES = ("data", "backups", "releases", "state")


def require_protocol(document: object) -> None:
    """Stop where the other side speaks another version.

    Raises:
        WireError: it does.
    """
    spoken = document.get("protocol") if isinstance(document, dict) else None
    if spoken != PROTOCOL:
        raise WireError(f"it speaks protocol {spoken!r}; this program speaks {PROTOCOL}")


def _match(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.fullmatch(value):
        raise WireError(f"{value!r} is no {what}")


def _check_path(text: str, *, data: bool = False) -> None:
    path = PurePosixPath(text)
    if str(path) != text or not text or ".." in path.parts or "\x00" in text or "\n" in text:
        raise WireError(f"the path {text!r} is not allowed")
    if path.is_absolute() and not text.startswith(_ABSOLUTE):
        raise WireError(f"the path {text!r} lies neither below the root nor in {' or '.join(_ABSOLUTE)}")
    if not data and path.parts[0] in _NOT_FILES:
        raise WireError(f"the path {text!r} lies where a release writes no files")


def _check_mode(mode: int) -> None:
    if not 0 <= mode <= 0o1777:
        raise WireError(f"the mode {mode:04o} is not allowed")


def _check_port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise WireError(f"{port} is no port")


# -- the manifest: what the server should be. Every field is checked, since it decides what root does ------------------


@dataclass(frozen=True)
class FileEntry:
    """One file: relative paths lie below the root. ``mode`` is octal text on the wire."""

    path: str
    sha256: str
    size: int
    mode: int = field(metadata={"octal": True})
    uid: int | None = None
    gid: int | None = None

    def __post_init__(self) -> None:
        _check_path(self.path)
        _match(_SHA256, self.sha256, "sha256")
        _check_mode(self.mode)

    @property
    def of_setup(self) -> bool:
        """Whether `vru setup` places it: what belongs to the system, and the host program itself."""
        return self.path.startswith("/") or self.path == PROGRAM


@dataclass(frozen=True)
class DirectoryEntry:
    """One directory with its owner; what is inside belongs to the service that uses it."""

    path: str
    uid: int | None
    gid: int | None
    mode: int = field(metadata={"octal": True})

    def __post_init__(self) -> None:
        _check_path(self.path, data=True)
        _check_mode(self.mode)


@dataclass(frozen=True)
class ImageEntry:
    """One image that is built on the server when this tag is absent; ``target`` is the Dockerfile's."""

    service: str
    image: str
    target: str = ""

    def __post_init__(self) -> None:
        _match(_SERVICE, self.service, "service")
        _match(_IMAGE, self.image, "image")


@dataclass(frozen=True)
class UnitEntry:
    """One systemd unit and whether it should be enabled and active."""

    name: str
    enabled: bool = True
    active: bool = True

    def __post_init__(self) -> None:
        _match(_UNIT, self.name, "unit")


@dataclass(frozen=True)
class Packages:
    """Where setup takes Docker from."""

    docker_source: Literal["distribution", "docker"] = "distribution"


@dataclass(frozen=True)
class FirewallEntry:
    """Which TCP ports are open to all, and which to some networks only.

    ``close_others``: the operator agreed to closing what the server's own programs listen on.
    """

    ssh_ports: tuple[int, ...] = ()
    open: tuple[int, ...] = ()
    restricted: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    close_others: bool = False

    def __post_init__(self) -> None:
        for port in (*self.ssh_ports, *self.open, *self.restricted):
            _check_port(port)


@dataclass(frozen=True)
class Migration:
    """The service that migrates the database, as a container of its own."""

    service: str

    def __post_init__(self) -> None:
        _match(_SERVICE, self.service, "service")


@dataclass(frozen=True)
class Manifest:
    """A whole release. ``inline`` has content, by sha256, that a plan needs before it is sent."""

    release: str
    protocol: int = PROTOCOL
    files: tuple[FileEntry, ...] = ()
    directories: tuple[DirectoryEntry, ...] = ()
    images: tuple[ImageEntry, ...] = ()
    pull: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    units: tuple[UnitEntry, ...] = ()
    packages: Packages | None = None
    firewall: FirewallEntry | None = None
    migrate: Migration | None = None
    inline: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        _match(_RELEASE, self.release, "release")
        for image in (*self.pull, *self.bases):
            _match(_IMAGE, image, "image")
        paths = [entry.path for entry in self.files]
        if len(paths) != len(set(paths)):
            raise WireError("a file is listed twice")
        if self.has_compose and self.file(ENV_FILE) is None:
            raise WireError(f"{COMPOSE_FILE} comes without {ENV_FILE}")
        for sha256, content in self.inline.items():
            if hashlib.sha256(content).hexdigest() != sha256:
                raise WireError(f"the inline content {sha256[:12]} has another hash")

    @property
    def has_compose(self) -> bool:
        """Whether this release brings containers."""
        return any(entry.path == COMPOSE_FILE for entry in self.files)

    def file(self, path: str) -> FileEntry | None:
        """The entry of one path."""
        return next((entry for entry in self.files if entry.path == path), None)


# -- the server, as it is ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What the server says of itself. Sizes in bytes; ``clock_skew_s`` is server minus laptop.

    ``programs`` are the hashes of the host program's versions that are ready there. ``database_name`` and
    ``database_user`` are those with which the database runs; empty while there is none. ``listening`` are port and
    process; ``outside`` those that other machines can reach; ``has_firewall`` says whether the platform's rules were
    confirmed before.
    """

    os_id: str
    os_version: str
    os_name: str
    machine: str
    cpus: int
    memory_bytes: int
    disk_free_bytes: int
    docker_disk_free_bytes: int
    clock_skew_s: float
    init: str
    has_apt: bool
    python: str
    docker: str
    release: str
    ssh_port: int | None
    listening: tuple[tuple[int, str], ...]
    programs: frozenset[str] = frozenset()
    database_name: str = ""
    database_user: str = ""
    outside: tuple[tuple[int, str], ...] = ()
    has_firewall: bool = False

    @property
    def python_version(self) -> tuple[int, ...]:
        """The system's Python, ``(3, 13)``; empty if there is none."""
        return tuple(int(part) for part in self.python.split(".")) if self.python else ()

    @property
    def shape(self) -> tuple[int, int, int | None]:
        """All that a release depends on: processors, memory, and where SSH is reached."""
        return self.cpus, self.memory_bytes, self.ssh_port


# -- what would change, and what was found -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One thing on the server that is not as the release says. ``lines`` say more, where one line is not enough.

    ``stage`` is the executor's step that makes it. ``setup``: it prepares the server, and `vru setup` makes it; the
    others put the release there.
    """

    resource: str
    name: str
    action: str
    detail: str = ""
    lines: tuple[str, ...] = ()
    setup: bool = False
    stage: str = ""

    def __str__(self) -> str:
        return f"{self.action} {self.resource} {self.name}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Variable:
    """A variable of ``.env`` that differs; None where there is none, masked for secrets."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Plan:
    """What separates the server from a release, as the server sees it.

    ``release`` is the live one; ``state`` names what the server is. ``missing`` names the content that it lacks, by
    sha256; ``partial`` says how many bytes of it came before a cut. ``kept``: it has the manifest. ``contents`` has
    what stands in files that would change, where that was asked for.
    """

    release: str | None
    state: str
    changes: tuple[Change, ...]
    missing: tuple[str, ...]
    partial: Mapping[str, int]
    kept: bool
    running: str | None
    notes: tuple[str, ...] = ()
    contents: Mapping[str, str | None] | None = None
    env: tuple[Variable, ...] = ()
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Answer:
    """The plan, and the server's facts as its shell printed them; the plan is None where the manifest is not kept."""

    facts: str
    plan: Plan | None


@dataclass(frozen=True)
class Check:
    """``ok``, ``warning`` (goes on), ``problem`` (stops a deployment, or means that it is not whole), ``unknown``."""

    name: str
    state: Literal["ok", "warning", "problem", "unknown"]
    detail: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Verification:
    """What the platform found of itself."""

    ok: bool
    checks: tuple[Check, ...]


# -- a change under way: one event a line ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Begin:
    """The first event; ``token`` is the lock's."""

    release: str
    unit: str
    token: int
    protocol: int = PROTOCOL
    time: str = ""
    event: Literal["begin"] = "begin"


StepState = Literal["started", "done", "skipped", "failed"]


@dataclass(frozen=True)
class StepEvent:
    """A step begins (``started``) or ended. ``confirm_within``: seconds until new firewall rules are taken back."""

    phase: str
    name: str
    state: StepState
    detail: str = ""
    seconds: float | None = None
    confirm_within: float | None = None
    time: str = ""
    event: Literal["step"] = "step"


@dataclass(frozen=True)
class LogEvent:
    """A line of output of the step that runs."""

    name: str
    line: str
    time: str = ""
    event: Literal["log"] = "log"


@dataclass(frozen=True)
class Note:
    """Something that whoever watches should know."""

    text: str
    time: str = ""
    event: Literal["note"] = "note"


@dataclass(frozen=True)
class AuditHead:
    """The newest line of the audit."""

    seq: int
    hash: str


@dataclass(frozen=True)
class End:
    """The last event. ``state`` is the server's after it; ``logs`` are the last lines of ``service``, which failed."""

    ok: bool
    message: str = ""
    fix: str = ""
    changed: int = 0
    release: str = ""
    seconds: float | None = None
    service: str = ""
    logs: tuple[str, ...] = ()
    state: str | None = None
    audit: AuditHead | None = None
    time: str = ""
    event: Literal["end"] = "end"


Event = Union[Begin, StepEvent, LogEvent, Note, End]
_EVENTS: Mapping[str, type[Any]] = {"begin": Begin, "step": StepEvent, "log": LogEvent, "note": Note, "end": End}


def read_event(document: object) -> Event:
    """One event of a change.

    Raises:
        WireError: it is none.
    """
    kind = _EVENTS.get(str(document.get("event"))) if isinstance(document, dict) else None
    if kind is None:
        raise WireError("it is no event of a change")
    event: Event = read(kind, document)
    return event
