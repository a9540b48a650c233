"""Sealed evidence: from the files of a run to one that nothing changes any more, and reading it again.

A worker writes the files of the evidence into ``unsealed/<SHA-256 of the manifest>``, has the signer seal that digest,
and packs files and seal into ``<run>.evidence.zip``. Each step may be done again, by the same worker or another.
"""

import asyncio
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import ValidationError

from vru.domain import VruError
from vru.reports.evidence import METRICS, RUN, VERDICT, build
from vru.reports.ledger import LedgerError, Seal, check_seal, read_seal
from vru.reports.statement import StatementError, check_envelope
from vru.service.errors import UnavailableError
from vru.service.schemas import Problem, SealBody
from vru.validation_engine.packing import open_contents

# How long a worker waits for a signer that is away: it is being replaced, for example.
_PATIENCE_S = 60.0
# Files that nobody had sealed, of a run that was cancelled for example, are removed after this.
_KEPT_S = 7 * 24 * 3600.0


def sealed_path(evidence: Path, run_id: uuid.UUID) -> Path:
    """Where a run's sealed evidence is."""
    return evidence / f"{run_id}.evidence.zip"


def _unsealed(evidence: Path) -> Path:
    return evidence / "unsealed"


def new_folder(evidence: Path) -> Path:
    """An empty folder for the files of a run's evidence. Removes what was left there long ago.

    Raises:
        OSError: it cannot be made.
    """
    root = _unsealed(evidence)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in root.iterdir():
        if folder.stat().st_mtime < time.time() - _KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=root, prefix=".new-"))


def keep(evidence: Path, folder: Path, manifest_sha256: str) -> None:
    """Give the finished ``folder`` the name by which it is found when its manifest is sealed.

    Raises:
        OSError: it cannot be written to the disk.
    """
    for path in folder.iterdir():
        _sync(path)
    place = _unsealed(evidence) / manifest_sha256
    if place.exists():
        # The same files, from a worker that was stopped.
        shutil.rmtree(folder)
    else:
        folder.rename(place)


def is_kept(evidence: Path, manifest_sha256: str) -> bool:
    """Whether the files with this manifest wait here for their seal."""
    return (_unsealed(evidence) / manifest_sha256).is_dir()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A seal, and its in-toto statement, if there is one."""

    seal: Seal
    statement: bytes | None


async def request_seal(session: aiohttp.ClientSession, signer_url: str, run_id: uuid.UUID) -> Sealed:
    """Have the signer seal what is stored for a run; the same seal again if it did so before.

    Raises:
        UnavailableError: it does not answer for a minute, or has no key.
        VruError: it refuses.
    """
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return await _request(session, f"{signer_url}/seals/{run_id}")
        except UnavailableError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(1.0)


async def _request(session: aiohttp.ClientSession, url: str) -> Sealed:
    try:
        async with session.post(url, timeout=aiohttp.ClientTimeout(total=15)) as response:
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UnavailableError("The signer does not answer.", "Start the signer, then retry the run.") from error
    try:
        if response.status == HTTPStatus.OK:
            body = SealBody.model_validate_json(text)
            seal = read_seal(body.document.encode(), body.signature)
            check_seal(seal)
            statement = body.statement.encode() if body.statement else None
            if statement:
                check_envelope(statement, seal)
            return Sealed(seal, statement)
        problem = Problem.model_validate_json(text)
    except (ValidationError, LedgerError, StatementError) as error:
        raise UnavailableError(f"The signer's answer ({response.status}) is not understood.") from error
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise UnavailableError(f"The signer cannot sign: {problem.detail}", problem.fix or "")
    raise VruError(f"The signer refuses: {problem.detail}", problem.fix or "")


def store_sealed(evidence: Path, run_id: uuid.UUID, sealed: Sealed) -> dict[str, Any] | None:
    """Write the sealed file of a run, whole or not at all; the run's outcome, from the files that were sealed.

    None if those files are gone: another worker has done this already.

    Raises:
        OSError: it cannot be written.
    """
    folder = _unsealed(evidence) / str(sealed.seal.manifest_sha256)
    if not folder.is_dir():
        return None
    path = sealed_path(evidence, run_id)
    with open_contents(folder) as contents:
        _replace(path, lambda file: file.writelines(build(contents, sealed.seal, sealed.statement)))
    run, metrics, verdict = (json.loads((folder / name).read_bytes()) for name in (RUN, METRICS, VERDICT))
    return {
        "metrics": metrics,
        "verdict": verdict["verdict"],
        "verdict_reasons": verdict["criteria"],
        "notes": run["notes"],
        "finished_at": datetime.fromisoformat(run["finished_at"]),
    }


def remove_unsealed(evidence: Path, manifest_sha256: str) -> None:
    """Remove the files that were sealed, once their run is completed."""
    shutil.rmtree(_unsealed(evidence) / manifest_sha256, ignore_errors=True)


def _replace(path: Path, write: Callable[[Any], None]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            # Nobody writes to it again.
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
