"""The signer's HTTP API. It takes a run's id, and reads the digest to sign from the database: no text of a user."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from sqlalchemy import func, select

from vru.domain import RunState, VruError
from vru.reports.signing import fingerprint, public_pem
from vru.service.app import create_app
from vru.service.database.sessions import Database
from vru.service.database.tables import Run
from vru.service.database.tables import Seal as SealRow
from vru.service.errors import ConflictError, NotFoundError, UnavailableError
from vru.service.schemas import SealBody
from vru.signer.ledger import Ledger
from vru.signer.settings import SignerSettings


async def last_known(database: Database) -> int:
    """Position of the last seal that the database knows; 0 if there is none."""
    async with database.read() as session:
        return await session.scalar(select(func.max(SealRow.position))) or 0


def create_signer(settings: SignerSettings | None = None) -> FastAPI:  # noqa: C901 - its endpoints are written inside it
    """The signer, ready for ``vru.service.app.serve``."""
    settings = settings or SignerSettings()
    database, ledger = Database(settings), Ledger(settings.signer_dir)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await database.close()

    async def check_key() -> None:
        await public_key()

    async def public_key() -> Ed25519PublicKey:
        try:
            return await asyncio.to_thread(ledger.check, await last_known(database))
        except VruError as error:
            raise UnavailableError(error.message, error.fix) from error

    app = create_app(
        title="Signer",
        description="Signs the evidence of runs, each once.",
        settings=settings,
        lifespan=lifespan,
        checks={"database": database.check, "key": check_key},
    )

    @app.post("/seals/{run_id}", summary="Seal a run's evidence")
    async def seal_run(run_id: uuid.UUID) -> SealBody:
        """Signs the digest that a worker stored for the run; the same seal again if it was sealed already."""
        async with database.read() as session:
            row = await session.get(SealRow, run_id)
            state = await session.scalar(select(Run.state).where(Run.id == run_id))
        if row is None:
            raise NotFoundError(f"No evidence of run {run_id} waits for its seal.")
        if state != RunState.ANALYSING:
            raise ConflictError(f"Run {run_id} is {state}: only a run that is analysed is sealed.")
        try:
            seal = await asyncio.to_thread(ledger.seal, str(run_id), row.manifest_sha256, await last_known(database))
            statement = await asyncio.to_thread(ledger.statement, seal)
        except VruError as error:
            raise ConflictError(error.message, error.fix) from error
        return SealBody(
            document=seal.document().decode(),
            signature=seal.signature,
            statement=statement.decode() if statement else None,
        )

    @app.get("/ledger", summary="Get every seal", response_class=FileResponse)
    async def get_ledger() -> Response:
        """JSON lines; ``vru evidence verify --ledger`` reads them."""
        await public_key()
        if not ledger.path.exists():
            return Response(b"", media_type="application/x-ndjson")
        return FileResponse(ledger.path, media_type="application/x-ndjson", filename="vru-evidence-ledger.jsonl")

    @app.get("/key", summary="Get the public key", response_class=Response)
    async def get_key() -> Response:
        """PEM. Its fingerprint is in the header ``X-VRU-Key-Fingerprint``."""
        key = await public_key()
        headers = {"X-VRU-Key-Fingerprint": fingerprint(key)}
        return Response(public_pem(key), media_type="application/x-pem-file", headers=headers)

    return app
