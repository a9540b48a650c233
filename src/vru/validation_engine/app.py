"""The validation engine's application."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from vru.service import cache
from vru.service.app import create_app
from vru.service.assertions import Asserter
from vru.service.database.sessions import Database
from vru.service.http import create_session
from vru.service.queue import create_queue
from vru.validation_engine.comparing import router as comparisons
from vru.validation_engine.documents import router as documents
from vru.validation_engine.endpoints import router
from vru.validation_engine.settings import EngineSettings


def create_validation_engine(settings: EngineSettings | None = None) -> FastAPI:
    """The validation engine, ready for ``vru.service.app.serve``."""
    settings = settings or EngineSettings()
    database, redis = Database(settings), cache.connect(settings)
    asserter = Asserter.of(settings, "validation_engine", ("ml_engine", "signer"))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(database.close)
            stack.push_async_callback(redis.aclose)
            app.state.http = await stack.enter_async_context(create_session(asserter=asserter, total_timeout_s=30.0))
            app.state.database, app.state.redis = database, redis
            # Deferring uses the transaction's own connection: the queue's pool stays closed.
            app.state.queue = create_queue(settings)
            yield

    async def check_redis() -> None:
        await redis.ping()

    app = create_app(
        title="Validation engine",
        description="Runs validations: boxes of a model against ground truth, from a request to a verdict.",
        settings=settings,
        lifespan=lifespan,
        checks={"database": database.check, "redis": check_redis},
    )
    app.include_router(router)
    app.include_router(documents)
    app.include_router(comparisons)
    return app
