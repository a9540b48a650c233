"""Whether systemd runs this machine: where it does not (a test, a container), nothing is given to it."""

from __future__ import annotations

from pathlib import Path


def has_systemd() -> bool:
    """Whether systemd runs this machine."""
    return Path("/run/systemd/system").is_dir()
