"""Users in the database."""

import secrets

import structlog
from sqlalchemy import func, select, update
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


async def _end_other_admins(database: Database, sessions: SessionStore, email: str) -> None:
    others = select(User.id, User.email).where(User.role == "admin", func.lower(User.email) != email)
    async with database.read() as reading:
        found = (await reading.execute(others)).all()
    for user_id, old_email in found:
        nobody_s = await hash_password(secrets.token_urlsafe(32))
        async with database.write() as writing:
            await writing.execute(
                update(User).where(User.id == user_id).values(role="engineer", password_hash=nobody_s)
            )
        ended = await sessions.end_all(user_id)
        log.warning("administrator of an earlier environment ended", email=old_email, sessions_ended=ended)


async def ensure_admin(database: Database, sessions: SessionStore, settings: GatewaySettings) -> None:
    """Make the administrator of the environment exist, with its password, and no other.

    A changed password ends all its sessions, a changed address those of the account before, and that account: what it
    made stays, nobody can log in with it. Safe in several gateways that start at once.
    """
    email = settings.admin_email.strip().lower()
    password = settings.admin_password.get_secret_value()
    await _end_other_admins(database, sessions, email)
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
