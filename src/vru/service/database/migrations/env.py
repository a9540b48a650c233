"""Alembic's entry: migrations run on the connection that ``vru.service.database.migrate`` hands over."""

from typing import Any

from alembic import context

from vru.service.database.tables import Table


def _ours(name: str | None, kind: str, _: Any) -> bool:
    """Whether Alembic compares this object: Procrastinate's tables are its own, not ours."""
    return kind != "table" or name is None or not name.startswith("procrastinate_")


def run() -> None:
    """Run the migrations that Alembic chose, in one transaction."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        include_name=_ours,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
