"""A release: one deployed state of everything, as a tree of content-addressed files, named by its content."""

import base64
import gzip
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from vru.deploy.release import configuration, images
from vru.deploy.server.facts import ROOT, ServerFacts
from vru.deploy.settings.environment import Environment
from vru.deploy.settings.limits import scale_limits
from vru.deploy.settings.server_env import server_env
from vru.host.base.host import COMPOSE_FILE, ENV_FILE, read_env_text
from vru.host.build import build_pyz

PROTOCOL = 1
_SSH_PORT = 22
# The host program as administrators and systemd call it; a rollback brings the older one back.
PROGRAM = "bin/vru-platform.pyz"
WRAPPER = "/usr/local/bin/vru-platform"
_WRAPPER_TEXT = f'#!/bin/sh\nexec python3 -I -S -B {ROOT}/{PROGRAM} "$@"\n'.encode()
_INLINE = (COMPOSE_FILE, ENV_FILE)


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of one file: in memory if they were generated, on disk if they are the project's."""

    sha256: str
    size: int
    source: bytes | Path

    def open(self) -> IO[bytes]:
        """The bytes, to be read once."""
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    @classmethod
    def of(cls, source: bytes | Path) -> "Content":
        """Hash what is there now."""
        if isinstance(source, bytes):
            return cls(hashlib.sha256(source).hexdigest(), len(source), source)
        with source.open("rb") as file:
            return cls(hashlib.file_digest(file, "sha256").hexdigest(), source.stat().st_size, source)


@dataclass(frozen=True, slots=True)
class Release:
    """What the server should be (``manifest``) and the bytes to make it so (``contents``, by sha256).

    ``notes`` says which limits had to be scaled down to the server.
    """

    manifest: Mapping[str, Any]
    contents: Mapping[str, Content]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Twelve hex digits: the digest of everything in it."""
        return str(self.manifest["release"])

    def contents_outside_root(self) -> set[str]:
        """The content, by sha256, of what the server's setup needs: units and the like."""
        return {
            entry["sha256"]
            for entry in self.manifest["files"]
            if entry["path"].startswith("/") or entry["path"] == PROGRAM
        }

    def packed_manifest(self, *, whole: bool = False) -> bytes:
        """The manifest as it goes to the server, compressed.

        Args:
            whole: with what a plan needs of content that the server may not have yet: the compose file and ``.env``.
        """
        document = dict(self.manifest)
        if whole:
            document["inline"] = {
                entry["sha256"]: base64.b64encode(self.read(entry["sha256"])).decode()
                for entry in self.manifest["files"]
                if entry["path"] in _INLINE
            }
        return gzip.compress(json.dumps(document, sort_keys=True, separators=(",", ":")).encode(), mtime=0)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its ``.env``, secrets included."""
        return read_env_text(self.text(ENV_FILE) or "")

    def read(self, sha256: str) -> bytes:
        """One (small) file's content."""
        with self.contents[sha256].open() as file:
            return file.read()

    def text(self, path: str) -> str | None:
        """What stands in one of the release's files; None if it has none of that path, or it is no text."""
        sha256 = next((entry["sha256"] for entry in self.manifest["files"] if entry["path"] == path), None)
        if sha256 is None:
            return None
        raw = self.read(sha256)
        return None if b"\0" in raw else raw.decode(errors="replace")


def build(root: Path, environment: Environment, facts: ServerFacts, rendered: Mapping[str, bytes]) -> Release:
    """The release that the project and its settings make for this server.

    Args:
        root: the project's root.
        environment: what the operator set.
        facts: the server, to whose size the limits are fitted.
        rendered: the generated configs and units, by path.

    Raises:
        VruError: a source file is missing, or the server is too small.
    """
    built = images.images(root, environment)
    limits = scale_limits(environment.values, facts)
    env = server_env(
        environment, limits, {image.service: image.tag for image in built}, configuration.digests(rendered)
    )
    files: dict[str, tuple[Content, str]] = {
        path: (Content.of(root / path), "0644") for path in images.source_files(root)
    }
    files |= {path: (Content.of(content), "0644") for path, content in rendered.items()}
    files[".env"] = (Content.of(env.encode()), "0600")
    files[PROGRAM] = (Content.of(build_pyz()), "0644")
    files[WRAPPER] = (Content.of(_WRAPPER_TEXT), "0755")
    manifest: dict[str, Any] = {
        "protocol": PROTOCOL,
        "files": [
            {"path": path, "sha256": content.sha256, "size": content.size, "mode": mode}
            for path, (content, mode) in sorted(files.items())
        ],
        "directories": [asdict(directory) for directory in configuration.directories()],
        "images": [{"service": image.service, "image": image.image, "target": image.target} for image in built],
        "pull": list(images.public_images(environment)),
        "bases": list(images.base_images(environment)),
        "units": [asdict(unit) for unit in configuration.units()],
        "packages": {"docker_source": environment.docker_source},
        "firewall": {
            "ssh_ports": [facts.ssh_port or _SSH_PORT],
            "open": [environment.http_port, environment.frontend_port, environment.api_port],
            "restricted": {str(environment.monitoring_port): list(environment.monitoring_allow)},
            "close_others": environment["VRU_FIREWALL_OTHERS"] == "close",
        },
        "migrate": {"service": "migrate"},
    }
    manifest["release"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:12]
    return Release(manifest, {content.sha256: content for content, _ in files.values()}, limits.notes)
