"""A release: one deployed state of everything, as a tree of content-addressed files, named by its content."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vru.deploy.configuration import directories, render, units
from vru.deploy.environment import Environment, server_env
from vru.deploy.facts import ServerFacts
from vru.deploy.images import base_images, images, source_files

PROTOCOL = 1


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
    """What the server should be (``manifest``) and the bytes to make it so (``contents``, by sha256)."""

    manifest: Mapping[str, Any]
    contents: Mapping[str, Content]

    @property
    def name(self) -> str:
        """Twelve hex digits: the digest of everything in it."""
        return str(self.manifest["release"])

    def manifest_bytes(self) -> bytes:
        """The manifest as it goes to the server."""
        return json.dumps(self.manifest, sort_keys=True).encode()
