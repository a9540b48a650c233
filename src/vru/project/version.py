"""Which version this is. The number stands in ``pyproject.toml`` alone."""

import subprocess
from importlib import metadata
from pathlib import Path

from vru.project.files import source


def version() -> str:
    """``0.1.0``; in a checkout with the commit, and whether files differ from it: ``0.1.0 (8694f09, changed)``."""
    number = metadata.version("vru-platform")
    # A wheel's files, and those of an unpacked archive, are of no commit, even inside of another repository.
    commit = _commit(source()) if (source() / ".git").exists() else None
    return f"{number} ({commit})" if commit else number


def _commit(root: Path) -> str | None:
    argv = ["git", "-C", str(root), "describe", "--always", "--exclude=*", "--dirty=, changed"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
