"""The facts cache: what a server was like when it was last seen, so that one question is enough.

It holds no secret, and nothing depends on it: where it is stale, the server is asked once more.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vru.host.base.disk import write_json
from vru.host.strict_json import read, write
from vru.host.wire import Facts


@dataclass(frozen=True, slots=True)
class CachedServer:
    """A server's facts, and the release that it keeps."""

    facts: Facts
    release: str


def _file(host: str, port: int | None) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(f"{host}:{port or 22}".encode()).hexdigest()[:16]
    return cache / "vru" / "servers" / f"{name}.json"


def load(host: str, port: int | None) -> CachedServer | None:
    """What was stored; None for a server that was not seen before, or a file that cannot be read."""
    try:
        return read(CachedServer, json.loads(_file(host, port).read_text()))
    except (OSError, ValueError):
        return None


def store(host: str, port: int | None, facts: Facts, release: str) -> None:
    """Keep what the server said; a laptop that cannot write its cache goes without."""
    file = _file(host, port)
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(file, write(CachedServer(facts, release)))
