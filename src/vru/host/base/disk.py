"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from .errors import plain

CHUNK = 1 << 20


def sync_directory(path: Path) -> None:
    """Make renames inside a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_name(path: Path) -> Path:
    """Where a file is written before it takes its name. Always the same, so that a killed run leaves nothing behind
    that the next one would not overwrite."""
    return path.with_name(f".{path.name}.vru-new")


def write_atomic(
    path: Path,
    content: bytes | BinaryIO,
    mode: int = 0o644,
    uid: int | None = None,
    gid: int | None = None,
    *,
    sync_parent: bool = True,
) -> None:
    """Write beside the target, sync, rename. Nobody else can read it before its mode and owner are set.

    With ``sync_parent`` false the caller makes the rename durable, once for many files, by `sync_directory`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                while chunk := content.read(CHUNK):
                    file.write(chunk)
            file.flush()
            if uid is not None or gid is not None:
                os.fchown(file.fileno(), -1 if uid is None else uid, -1 if gid is None else gid)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync_parent:
        sync_directory(path.parent)


def write_json(path: Path, value: Any, mode: int = 0o600) -> None:
    """Write a small JSON document atomically."""
    write_atomic(path, json.dumps(value, indent=2, sort_keys=True).encode() + b"\n", mode)


def read_json(path: Path, default: Any = None) -> Any:
    """Read a JSON document; ``default`` when there is none. A damaged one raises ValueError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {plain(error)}") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def human_size(size: float) -> str:
    """1536 -> ``1.5 KiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
