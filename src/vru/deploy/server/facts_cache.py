"""The facts cache: what a server was like when it was last seen, so that one question is enough.

It holds no secret, and nothing depends on it: where it is stale, the server is asked once more.
"""

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vru.deploy.server.facts import ServerFacts, parse
from vru.deploy.ssh.connection import RemoteError


@dataclass(frozen=True, slots=True)
class CachedServer:
    """The facts as the server printed them, and the release that it keeps."""

    facts: ServerFacts
    release: str


def _file(host: str, port: int | None) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(f"{host}:{port or 22}".encode()).hexdigest()[:16]
    return cache / "vru" / "servers" / f"{name}.json"


def load(host: str, port: int | None) -> CachedServer | None:
    """What was stored; None for a server that was not seen before, or a file that cannot be read."""
    try:
        raw = json.loads(_file(host, port).read_text())
        return CachedServer(parse(raw["facts"], 0.0), str(raw["release"]))
    except (OSError, ValueError, KeyError, TypeError, RemoteError):
        return None


def store(host: str, port: int | None, facts: str, release: str) -> None:
    """Keep what the server said; a laptop that cannot write its cache goes without."""
    file = _file(host, port)
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as temporary:
            json.dump({"facts": facts, "release": release}, temporary)
        Path(temporary.name).replace(file)
