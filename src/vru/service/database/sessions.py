"""Database sessions: one kind that may write, and one that the database itself keeps from writing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from vru.service.settings import ServiceSettings


class ReadSession(AsyncSession):
    """A session in READ ONLY transactions: PostgreSQL refuses any change."""


class WriteSession(ReadSession):
    """A session that may change rows. Whatever reads can also work in it."""


class Database:
    """The pool of connections of one process.

    Opens connections when they are first needed. Pool sizes come from the settings; a connection that died while
    idle is replaced before use.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.engine = create_async_engine(
            settings.database_url,
            pool_size=settings.database_pool_size,
            max_overflow=settings.database_pool_overflow,
            pool_pre_ping=True,
            pool_recycle=1800,
            pool_timeout=10,
            connect_args={"connect_timeout": 5, "application_name": "vru"},
        )
        reading = self.engine.execution_options(postgresql_readonly=True)
        self._read = async_sessionmaker(reading, class_=ReadSession, expire_on_commit=False, autoflush=False)
        self._write = async_sessionmaker(self.engine, class_=WriteSession, expire_on_commit=False)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        """A session for one READ ONLY transaction."""
        async with self._read() as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """A session for one transaction: committed at the end of the block, rolled back if it raises."""
        async with self._write() as session, session.begin():
            yield session

    async def check(self) -> None:
        """Do nothing if the database answers.

        Raises:
            sqlalchemy.exc.OperationalError: it does not.
        """
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


async def _read_session(request: Request) -> AsyncIterator[ReadSession]:
    database: Database = request.app.state.database
    async with database.read() as session:
        yield session


async def _write_session(request: Request) -> AsyncIterator[WriteSession]:
    database: Database = request.app.state.database
    async with database.write() as session:
        yield session


# For endpoints, with the Database as ``app.state.database``. The scope "function" commits before the response is
# sent: otherwise a client could be told that something is stored when its commit then fails.
Reading = Annotated[ReadSession, Depends(_read_session, scope="function")]
Writing = Annotated[WriteSession, Depends(_write_session, scope="function")]
