"""Login sessions in Redis. A token itself is stored nowhere: its key is an HMAC of it.

A token carries the time when it ends at the latest, which nobody can change: another token has another key. The key
itself lives as long as the session may be idle.
"""

import hmac
import json
import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from vru.gateway.auth.schemas import UserBody
from vru.gateway.settings import GatewaySettings


@dataclass(frozen=True)
class Login:
    """A session that was just made."""

    token: str
    expires_at: datetime


class SessionStore:
    """Makes, finds and ends sessions."""

    def __init__(self, redis: Redis, settings: GatewaySettings) -> None:
        self._redis = redis
        self._secret = settings.secret_key.get_secret_value().encode()
        self._lifetime = timedelta(hours=settings.session_hours)
        self._idle = min(self._lifetime, timedelta(minutes=settings.session_idle_minutes))

    def _key(self, token: str) -> str:
        return f"vru:session:{hmac.digest(self._secret, token.encode(), 'sha256').hex()}"

    @staticmethod
    def _index(user_id: uuid.UUID) -> str:
        return f"vru:sessions-of:{user_id}"

    async def create(self, user: UserBody) -> Login:
        """A new session of ``user``."""
        ends = datetime.now(UTC) + self._lifetime
        token = f"{secrets.token_urlsafe(32)}.{int(ends.timestamp())}"
        key, index = self._key(token), self._index(user.id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(key, user.model_dump_json(), ex=self._idle)
            pipe.sadd(index, key)
            pipe.expire(index, self._lifetime)
            await pipe.execute()
        return Login(token, ends)

    async def find(self, token: str) -> UserBody | None:
        """Whose session it is; None if it has ended or never was."""
        ends = token.partition(".")[2]
        if not ends:
            # Of a gateway that knew no idle time: its key ends with the session.
            stored = await self._redis.get(self._key(token))
        elif ends.isdecimal() and int(ends) > time.time():
            stored = await self._redis.getex(self._key(token), ex=self._idle)
        else:
            return None
        return UserBody.model_validate(json.loads(stored)) if stored else None

    async def end(self, token: str, user: UserBody) -> None:
        """Log out one session."""
        key = self._key(token)
        await self._redis.delete(key)
        await self._redis.srem(self._index(user.id), key)

    async def end_all(self, user_id: uuid.UUID) -> int:
        """Log out a user everywhere; returns how many sessions ended."""
        index = self._index(user_id)
        keys = await self._redis.smembers(index)
        return int(await self._redis.delete(*keys, index)) - 1 if keys else 0
