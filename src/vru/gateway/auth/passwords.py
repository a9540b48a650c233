"""Password hashes: argon2id, computed outside of the event loop."""

import asyncio
from functools import cache

from pwdlib import PasswordHash

_hasher = PasswordHash.recommended()
# Each hash takes 64 MiB and a core for some tens of milliseconds: a burst of logins must not take the machine.
_at_once = asyncio.Semaphore(2)


@cache
def _dummy_hash() -> str:
    return _hasher.hash("nobody's password")


async def hash_password(password: str) -> str:
    """The argon2id hash to store."""
    async with _at_once:
        return await asyncio.to_thread(_hasher.hash, password)


async def verify_password(password: str, password_hash: str | None) -> bool:
    """Whether ``password`` belongs to ``password_hash``.

    Without a hash (no such user) the answer is False, after the same time: nobody learns who has an account.
    """
    async with _at_once:
        matches = await asyncio.to_thread(lambda: _hasher.verify(password, password_hash or _dummy_hash()))
    return matches and password_hash is not None
