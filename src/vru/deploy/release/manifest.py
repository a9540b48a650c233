"""A release: one deployed state of everything, as a tree of content-addressed files, named by its content."""

import gzip
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from vru.deploy.release import certificates, configuration, images
from vru.deploy.server.facts import ROOT
from vru.deploy.settings.environment import Environment
from vru.deploy.settings.limits import scale_limits
from vru.deploy.settings.server_env import server_env
from vru.host import wire
from vru.host.base.host import read_env_text
from vru.host.build import build_pyz
from vru.host.strict_json import write
from vru.host.wire import COMPOSE_FILE, ENV_FILE, PROGRAM, Facts, Manifest

_SSH_PORT = 22
WRAPPER = "/usr/local/bin/vru-platform"
_WRAPPER_TEXT = f'#!/bin/sh\nexec python3 -I -S -B {ROOT}/{PROGRAM} "$@"\n'.encode()
_INLINE = (COMPOSE_FILE, ENV_FILE)
# A release is named by the digest of its manifest, which has this name meanwhile.
_UNNAMED = "0" * 12


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

    manifest: Manifest
    contents: Mapping[str, Content]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Twelve hex digits: the digest of everything in it."""
        return self.manifest.release

    def contents_of_setup(self) -> set[str]:
        """The content, by sha256, of what the server's setup needs: units and the like."""
        return {entry.sha256 for entry in self.manifest.files if entry.of_setup}

    def packed_manifest(self, *, whole: bool = False) -> bytes:
        """The manifest as it goes to the server, compressed.

        Args:
            whole: with what a plan needs of content that the server may not have yet: the compose file and ``.env``.
        """
        manifest = self.manifest
        if whole:
            needed = [entry.sha256 for entry in manifest.files if entry.path in _INLINE]
            manifest = replace(manifest, inline={sha256: self.read(sha256) for sha256 in needed})
        return gzip.compress(json.dumps(write(manifest), sort_keys=True, separators=(",", ":")).encode(), mtime=0)

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
        entry = self.manifest.file(path)
        if entry is None:
            return None
        raw = self.read(entry.sha256)
        return None if b"\0" in raw else raw.decode(errors="replace")


def build(root: Path, environment: Environment, facts: Facts, rendered: Mapping[str, bytes]) -> Release:
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
        environment, limits, {image.service: image.tag for image in built}, configuration.digests(root, rendered)
    )
    files: dict[str, tuple[Content, int]] = {
        path: (Content.of(root / path), 0o644) for path in images.source_files(root)
    }
    files |= {path: (Content.of(content), 0o644) for path, content in rendered.items()}
    tls = {path: Content.of(content) for path, content in certificates.files(environment).items()}
    files |= {path: (content, certificates.MODE) for path, content in tls.items()}
    files[ENV_FILE] = (Content.of(env.encode()), 0o600)
    files[PROGRAM] = (Content.of(build_pyz()), 0o644)
    files[WRAPPER] = (Content.of(_WRAPPER_TEXT), 0o755)
    unnamed = Manifest(
        release=_UNNAMED,
        files=tuple(
            wire.FileEntry(path, content.sha256, content.size, mode, gid=certificates.GROUP if path in tls else None)
            for path, (content, mode) in sorted(files.items())
        ),
        directories=configuration.directories(),
        images=tuple(wire.ImageEntry(image.service, image.image, image.target) for image in built),
        pull=images.public_images(environment),
        bases=images.base_images(environment),
        units=configuration.units(),
        packages=wire.Packages(environment.docker_source),
        firewall=wire.FirewallEntry(
            ssh_ports=(facts.ssh_port or _SSH_PORT,),
            open=environment.open_ports,
            restricted={environment.monitoring_port: environment.monitoring_allow},
            close_others=environment["VRU_FIREWALL_OTHERS"] == "close",
        ),
        migrate=wire.Migration("migrate"),
    )
    name = hashlib.sha256(json.dumps(write(unnamed), sort_keys=True).encode()).hexdigest()[:12]
    contents = {content.sha256: content for content, _ in files.values()}
    return Release(replace(unnamed, release=name), contents, limits.notes)
