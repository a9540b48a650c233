"""This program's own copies on the server: unpacked and compiled, so that it answers in a tenth of a second.

Each version that a laptop drove this server with lies in ``state/program/SHA256``, named by the hash of its ``.pyz``.
The one that administrators and systemd call is ``bin/vru-platform.pyz``: a file of the release, like any other.
"""

from __future__ import annotations

import compileall
import os
import shutil
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from py_compile import PycInvalidationMode

from ..base.disk import sync_directory
from ..base.errors import HostError
from ..base.host import Host

FILE = "bin/vru-platform.pyz"
_KEEP = 3


def directory(host: Host) -> Path:
    """Where the unpacked copies are."""
    return host.state / "program"


def running() -> Path | None:
    """The file or directory that Python was told to run; None if this is no packed program (a test)."""
    specification = getattr(sys.modules.get("__main__"), "__spec__", None)
    return Path(sys.argv[0]).resolve() if specification is not None and specification.name == "__main__" else None


def own_command() -> list[str]:
    """How this very program is started again."""
    file = running()
    if file is None:
        return [sys.executable, "-m", "vru.host"]
    # Isolated, without the site's packages, writing nothing: as the laptop starts it.
    return [sys.executable, "-I", "-S", "-B", str(file)]


def unpack(host: Host, sha256: str) -> Path:
    """Unpack and compile a version of the program from the content store, unless that was done before.

    Raises:
        HostError: the store has no such program.
    """
    target = directory(host) / sha256
    if (target / "__main__.py").exists():
        return target
    packed = host.objects / sha256
    if not packed.exists():
        raise HostError(f"The program {sha256[:12]} is not on this server.", "Run: vru setup")
    for private in (host.state, directory(host)):
        private.mkdir(parents=True, exist_ok=True)
        private.chmod(0o700)
    beside = target.with_name(f".{sha256}.{os.getpid()}")
    try:
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(beside)
        # Unchecked: a file's time says nothing here, and the directory is never written again.
        compileall.compile_dir(
            beside, quiet=2, stripdir=str(beside), invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
        )
        beside.rename(target)
    except OSError:
        if not (target / "__main__.py").exists():  # else another process was faster
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync_directory(directory(host))
    return target


def versions(host: Host) -> set[str]:
    """The hashes of the versions that are unpacked here; their packed content is kept, too."""
    if not directory(host).exists():
        return set()
    return {path.name for path in directory(host).iterdir() if not path.name.startswith(".")}


def prune(host: Host, released: Iterable[str]) -> int:
    """Remove versions that neither a kept release has nor a laptop used lately, never the one that runs.

    Returns:
        How many were removed.
    """
    found = [directory(host) / name for name in versions(host)]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    kept = {*released, *(path.name for path in found[:_KEEP])}
    mine = running()
    removed = 0
    for path in found:
        if path.name not in kept and path != mine:
            shutil.rmtree(path)
            removed += 1
    return removed
