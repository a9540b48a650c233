"""How often someone may try to log in. Counted in Redis, so over all gateway processes together."""

import hashlib
import time
from typing import Any

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis

from vru.service.errors import TooManyRequestsError

# Counted at each try; a success forgets the tries on that account from that address.
PER_ADDRESS_AND_ACCOUNT = parse("10 per 5 minutes")
PER_ADDRESS = parse("100 per 5 minutes")
PER_ACCOUNT = parse("300 per 1 hour")


class LoginLimiter:
    """Slows down guessing, from one address and from many."""

    def __init__(self, redis: Redis) -> None:
        pool: Any = redis.connection_pool  # passed on to the client; the annotation knows only plain options
        storage = RedisStorage(
            "async+redis://unused:6379",
            implementation="redispy",
            key_prefix="vru:limits",
            connection_pool=pool,
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    @staticmethod
    def _limits(address: str, email: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
        # Whatever a client types becomes a key of fixed size.
        account = hashlib.sha256(email.encode()).hexdigest()[:32]
        return [
            (PER_ADDRESS_AND_ACCOUNT, ("login", address, account)),
            (PER_ADDRESS, ("login-address", address)),
            (PER_ACCOUNT, ("login-account", account)),
        ]

    async def count(self, address: str, email: str) -> None:
        """Count one try.

        Raises:
            TooManyRequestsError: it is one too many.
        """
        for limit, keys in self._limits(address, email):
            if not await self._limiter.hit(limit, *keys):
                stats = await self._limiter.get_window_stats(limit, *keys)
                wait = max(1, round(stats.reset_time - time.time()))
                raise TooManyRequestsError(
                    "Too many failed logins.", f"Try again in {wait} seconds.", retry_after_s=wait
                )

    async def forget(self, address: str, email: str) -> None:
        """A login succeeded: its earlier failures do not count."""
        limit, keys = self._limits(address, email)[0]
        await self._limiter.clear(limit, *keys)
