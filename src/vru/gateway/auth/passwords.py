"""Password hashes: argon2id, computed outside of the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from pwdlib import PasswordHash

_hasher = PasswordHash.recommended()
# Each hash takes 64 MiB and a core for some tens of milliseconds: a burst of logins must not take the machine.
_threads = ThreadPoolExecutor(2, thread_name_prefix="passwords")


@cache
def _dummy_hash() -> str:
    return _hasher.hash("nobody's password")


async def hash_password(password: str) -> str:
    """The argon2id hash to store."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def verify_password(password: str, password_hash: str | None) -> bool:
    """Whether ``password`` belongs to ``password_hash``.

    Without a hash (no such user) the answer is False, after the same time: nobody learns who has an account.
    """

    def verify() -> bool:
        return _hasher.verify(password, password_hash or _dummy_hash())

    matches = await asyncio.get_running_loop().run_in_executor(_threads, verify)
    return matches and password_hash is not None
