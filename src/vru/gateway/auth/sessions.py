"""Login sessions in Redis. A token itself is stored nowhere: its key is an HMAC of it."""

import hmac
import json
import secrets
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

    def _key(self, token: str) -> str:
        return f"vru:session:{hmac.digest(self._secret, token.encode(), 'sha256').hex()}"

    @staticmethod
    def _index(user_id: uuid.UUID) -> str:
        return f"vru:sessions-of:{user_id}"

    async def create(self, user: UserBody) -> Login:
        """A new session of ``user``."""
        token = secrets.token_urlsafe(32)
        key, index = self._key(token), self._index(user.id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(key, user.model_dump_json(), ex=self._lifetime)
            pipe.sadd(index, key)
            pipe.expire(index, self._lifetime)
            await pipe.execute()
        return Login(token, datetime.now(UTC) + self._lifetime)

    async def find(self, token: str) -> UserBody | None:
        """Whose session it is; None if it has ended or never was."""
        stored = await self._redis.get(self._key(token))
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
