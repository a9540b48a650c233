"""Users in the database."""

import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from vru.gateway.auth.passwords import hash_password, verify_password
from vru.gateway.auth.sessions import SessionStore
from vru.gateway.settings import GatewaySettings
from vru.service.database.sessions import Database, ReadSession
from vru.service.database.tables import User

log = structlog.get_logger("vru.gateway.users")


async def find_by_email(session: ReadSession, email: str) -> User | None:
    """The user with this address, whatever its case."""
    found: User | None = await session.scalar(select(User).where(func.lower(User.email) == email.strip().lower()))
    return found


async def ensure_admin(database: Database, sessions: SessionStore, settings: GatewaySettings) -> None:
    """Make the administrator of the environment exist, with its password.

    A changed password ends all its sessions. Safe in several gateways that start at once.
    """
    email = settings.admin_email.strip().lower()
    password = settings.admin_password.get_secret_value()
    async with database.read() as reading:
        user = await find_by_email(reading, email)
    if user and user.role == "admin" and await verify_password(password, user.password_hash):
        return
    hashed = await hash_password(password)
    statement = insert(User).values(email=email, password_hash=hashed, role="admin")
    async with database.write() as writing:
        await writing.execute(
            statement.on_conflict_do_update(
                index_elements=[User.email], set_={"password_hash": hashed, "role": "admin"}
            )
        )
    if user:
        ended = await sessions.end_all(user.id)
        log.warning("administrator updated from the environment", email=email, sessions_ended=ended)
    else:
        log.info("administrator created", email=email)
