"""The server as the other modules see it: where things are, and how programs are run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ..wire import COMPOSE_FILE, ENV_FILE
from .errors import HostError
from .run import Runner

PROJECT = "vru-platform"
DEFAULT_ROOT = Path("/opt/vru-platform")
PROGRAM = "/usr/local/bin/vru-platform"


@dataclass(frozen=True)
class Host:
    """Paths below ``root`` and the runner. ``root`` is fixed on a server; tests give another one."""

    root: Path = DEFAULT_ROOT
    run: Runner = field(default_factory=Runner)

    @classmethod
    def here(cls) -> Host:
        """The server that this program runs on; ``VRU_ROOT`` names another root."""
        return cls(Path(os.environ.get("VRU_ROOT") or DEFAULT_ROOT))

    @property
    def compose_file(self) -> Path:
        """The live Compose file."""
        return self.root / COMPOSE_FILE

    @property
    def env_file(self) -> Path:
        """The live environment file (0600)."""
        return self.root / ENV_FILE

    @property
    def objects(self) -> Path:
        """The content store."""
        return self.root / "releases" / "objects"

    @property
    def releases(self) -> Path:
        """One directory a release, and the file ``current``."""
        return self.root / "releases"

    @property
    def state(self) -> Path:
        """The program's own memory: journals, lock, firewall, counters."""
        return self.root / "state"

    @property
    def journals(self) -> Path:
        """One file for each run of the executor."""
        return self.state / "journal"

    @property
    def backups(self) -> Path:
        """One directory for each backup."""
        return self.root / "backups"

    def place(self, path: str) -> Path:
        """Where a path of the manifest lies: absolute ones are themselves, others are below the root."""
        return self.root / path

    def require_root(self) -> None:
        """Raise HostError unless this process may change the server."""
        mine = self.root != DEFAULT_ROOT and self.root.exists() and self.root.stat().st_uid == os.geteuid()
        if os.geteuid() != 0 and not mine:
            raise HostError("This needs root.", "Run it with sudo: sudo vru-platform ...")

    def environment(self) -> dict[str, str]:
        """The variables of the live ``.env``; empty when there is none."""
        return read_env(self.env_file)


def read_env(path: Path) -> dict[str, str]:
    """Parse an env file; empty when there is none."""
    return read_env_text(path.read_text(encoding="utf-8")) if path.exists() else {}


def read_env_text(text: str) -> dict[str, str]:
    """Parse assignments as Compose does for plain and quoted values; lines that are none are left out."""
    values = {}
    for raw in text.splitlines():
        line = raw.strip().removeprefix("export ")
        name, equals, value = line.partition("=")
        if not equals or line.startswith("#"):
            continue
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        else:
            value = value.split(" #")[0].rstrip()
        values[name.strip()] = value
    return values
