"""Redis: sessions, rate limits and live events."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from vru.service.settings import ServiceSettings


def connect(settings: ServiceSettings) -> Redis:
    """A client with a pool of connections, made when first needed. Close it with ``await client.aclose()``.

    Answers are text. A broken connection is tried again once. Keys begin with ``vru:``.
    """
    return Redis.from_url(
        settings.redis_url,
        decode_responses=True,
        socket_timeout=5,
        socket_connect_timeout=3,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=1),
    )
