"""The manifest: what the laptop says the server should be. Checked strictly, since it decides what root does."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from .. import PROTOCOL
from ..base.errors import USAGE, HostError, plain
from ..base.host import COMPOSE_FILE, ENV_FILE

_RELEASE = re.compile(r"[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNIT = re.compile(r"[A-Za-z0-9_.@\\-]+\.(service|timer|socket|path|target)")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._/:@-]*")
_SERVICE = re.compile(r"[a-z0-9][a-z0-9_.-]*")
# Where a release may write outside its root.
_ABSOLUTE = ("/etc/", "/usr/local/")
# What below the root belongs to the services and to this program.
_NOT_FILES = ("data", "backups", "releases", "state")


@dataclass(frozen=True)
class FileEntry:
    """One file: relative paths lie below the root."""

    path: str
    sha256: str
    size: int
    mode: int
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True)
class DirectoryEntry:
    """One directory with its owner; what is inside belongs to the service that uses it."""

    path: str
    uid: int | None
    gid: int | None
    mode: int


@dataclass(frozen=True)
class ImageEntry:
    """One image that is built on the server when this tag is absent."""

    service: str
    image: str


@dataclass(frozen=True)
class UnitEntry:
    """One systemd unit and whether it should be enabled and active."""

    name: str
    enabled: bool
    active: bool


@dataclass(frozen=True)
class FirewallEntry:
    """Which TCP ports are open to all, and which to some networks only.

    ``close_others``: the operator agreed to closing what the server's own programs listen on.
    """

    ssh_ports: tuple[int, ...]
    open: tuple[int, ...]
    restricted: Mapping[int, tuple[str, ...]]
    close_others: bool = False


@dataclass(frozen=True)
class Manifest:
    """A whole release."""

    release: str
    files: tuple[FileEntry, ...] = ()
    directories: tuple[DirectoryEntry, ...] = ()
    images: tuple[ImageEntry, ...] = ()
    pull: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    units: tuple[UnitEntry, ...] = ()
    docker_source: str | None = None
    firewall: FirewallEntry | None = None
    migrate: str | None = None
    inline: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def has_compose(self) -> bool:
        """Whether this release brings containers."""
        return any(entry.path == COMPOSE_FILE for entry in self.files)

    def file(self, path: str) -> FileEntry | None:
        """The entry of one path."""
        return next((entry for entry in self.files if entry.path == path), None)

    @classmethod
    def parse(cls, text: str | bytes) -> Manifest:
        """Read a manifest.

        Raises:
            HostError: it is no JSON, of another protocol, or a field is not what it must be (which is named).
        """
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise HostError(f"The manifest cannot be read: {plain(error)}.", code=USAGE) from error
        if not isinstance(raw, dict):
            raise HostError("The manifest is no JSON object.", code=USAGE)
        if raw.get("protocol") != PROTOCOL:
            raise HostError(
                f"The manifest speaks protocol {raw.get('protocol')!r}; this program speaks {PROTOCOL}.",
                "Use the same version of `vru` and `vru-platform`: run `vru setup`.",
                code=USAGE,
            )
        try:
            return _parse(raw)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise HostError(f"The manifest is wrong: {plain(error)}.", code=USAGE) from error


def _parse(raw: dict[str, Any]) -> Manifest:
    firewall = raw.get("firewall")
    packages = raw.get("packages")
    manifest = Manifest(
        release=_match(_RELEASE, raw["release"], "release"),
        files=tuple(_file(item) for item in raw.get("files", ())),
        directories=tuple(
            DirectoryEntry(_path(item["path"], data=True), item.get("uid"), item.get("gid"), _mode(item["mode"]))
            for item in raw.get("directories", ())
        ),
        images=tuple(
            ImageEntry(_match(_SERVICE, item["service"], "service"), _match(_IMAGE, item["image"], "image"))
            for item in raw.get("images", ())
        ),
        pull=tuple(_match(_IMAGE, image, "image") for image in raw.get("pull", ())),
        bases=tuple(_match(_IMAGE, image, "image") for image in raw.get("bases", ())),
        units=tuple(
            UnitEntry(
                _match(_UNIT, item["name"], "unit"), bool(item.get("enabled", True)), bool(item.get("active", True))
            )
            for item in raw.get("units", ())
        ),
        docker_source=None if packages is None else _source(packages.get("docker_source", "distribution")),
        firewall=None if firewall is None else _firewall(firewall),
        migrate=None if not raw.get("migrate") else _match(_SERVICE, raw["migrate"]["service"], "service"),
        inline={_match(_SHA256, sha, "sha256"): _inline(sha, text) for sha, text in raw.get("inline", {}).items()},
        raw={name: value for name, value in raw.items() if name != "inline"},
    )
    paths = [entry.path for entry in manifest.files]
    if len(paths) != len(set(paths)):
        raise ValueError("a file is listed twice")
    if manifest.has_compose and manifest.file(ENV_FILE) is None:
        raise ValueError(f"{COMPOSE_FILE} comes without {ENV_FILE}")
    return manifest


def _file(item: Mapping[str, Any]) -> FileEntry:
    return FileEntry(
        path=_path(item["path"]),
        sha256=_match(_SHA256, item["sha256"], "sha256"),
        size=int(item["size"]),
        mode=_mode(item["mode"]),
        uid=item.get("uid"),
        gid=item.get("gid"),
    )


def _path(text: str, *, data: bool = False) -> str:
    path = PurePosixPath(text)
    if str(path) != text or not text or ".." in path.parts or "\x00" in text or "\n" in text:
        raise ValueError(f"the path {text!r} is not allowed")
    if path.is_absolute() and not text.startswith(_ABSOLUTE):
        raise ValueError(f"the path {text!r} lies neither below the root nor in {' or '.join(_ABSOLUTE)}")
    if not data and path.parts[0] in _NOT_FILES:
        raise ValueError(f"the path {text!r} lies where a release writes no files")
    return text


def _mode(text: str) -> int:
    mode = int(text, 8)
    if not 0 <= mode <= 0o1777:
        raise ValueError(f"the mode {text!r} is not allowed")
    return mode


def _source(text: str) -> str:
    if text not in ("distribution", "docker"):
        raise ValueError(f"docker_source is {text!r}, not 'distribution' or 'docker'")
    return text


def _firewall(raw: Mapping[str, Any]) -> FirewallEntry:
    return FirewallEntry(
        ssh_ports=tuple(_port(port) for port in raw.get("ssh_ports", ())),
        open=tuple(_port(port) for port in raw.get("open", ())),
        restricted={_port(port): tuple(networks) for port, networks in raw.get("restricted", {}).items()},
        close_others=raw.get("close_others") is True,
    )


def _port(value: Any) -> int:
    port = int(value)
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is no port")
    return port


def _inline(sha256: str, text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"the inline content {sha256[:12]} is no base64") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"the inline content {sha256[:12]} has another hash")
    return content


def _match(pattern: re.Pattern[str], value: Any, what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{value!r} is no {what}")
    return value
