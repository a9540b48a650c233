"""Guessing passwords is slow. Counted in Redis, so over all gateway processes together."""

import asyncio
import hashlib
import ipaddress
import math
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from vru.service.errors import TooManyRequestsError

# Failures are forgotten after this long without another.
WINDOW_S = 900


@dataclass(frozen=True, slots=True)
class Bucket:
    """Whose failures are counted together.

    After ``free`` of them each doubles the delay until the next try, from 2 s to ``longest_s``.
    """

    key: str
    free: int
    longest_s: float

    def delay_s(self, failures: int) -> float:
        """How long the try after so many failures has to wait, in seconds."""
        over = failures - self.free
        return min(self.longest_s, 2.0 ** min(over + 1, 30)) if over >= 0 else 0.0


def network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address, which one customer has all of."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try that may go on."""

    buckets: Sequence[Bucket]


class LoginLimiter:
    """Slows guessing down, from one address and from many, and keeps nobody out who knows the password.

    Whoever fails from an address waits at that address, half a minute at most. Whoever is guessed at from many
    addresses waits a few seconds inside the request, and gets in.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @staticmethod
    def _buckets(address: str, email: str) -> tuple[Bucket, Bucket, Bucket]:
        # Whatever a client types becomes a key of fixed size.
        client = hashlib.sha256(network(address).encode()).hexdigest()[:32]
        account = hashlib.sha256(email.encode()).hexdigest()[:32]
        return (
            Bucket(f"vru:login:both:{client}:{account}", 10, 30.0),
            Bucket(f"vru:login:address:{client}", 50, 30.0),
            Bucket(f"vru:login:account:{account}", 100, 4.0),
        )

    async def begin(self, address: str, email: str) -> Attempt:
        """Count one try as failed, until it is said to have succeeded. May take a few seconds.

        Raises:
            TooManyRequestsError: it comes too soon; it is not counted.
        """
        buckets = self._buckets(address, email)
        *at_address, account = buckets
        async with self._redis.pipeline(transaction=False) as pipe:
            for bucket in at_address:
                pipe.pttl(f"{bucket.key}:wait")
            waits = await pipe.execute()
        if (left := max(waits)) > 0:
            seconds = math.ceil(left / 1000)
            raise TooManyRequestsError(
                "Too many failed logins.", f"Try again in {seconds} seconds.", retry_after_s=seconds
            )
        async with self._redis.pipeline(transaction=True) as pipe:
            for bucket in buckets:
                pipe.incr(bucket.key)
                pipe.expire(bucket.key, WINDOW_S)
            counts = (await pipe.execute())[::2]
        async with self._redis.pipeline(transaction=False) as pipe:
            for bucket, count in zip(at_address, counts, strict=False):
                # Set before the password is looked at: tries side by side wait as well.
                if delay := bucket.delay_s(count):
                    pipe.set(f"{bucket.key}:wait", "1", px=math.ceil(delay * 1000))
            await pipe.execute()
        await asyncio.sleep(account.delay_s(counts[-1] - 1))
        return Attempt(buckets)

    async def succeeded(self, attempt: Attempt) -> None:
        """It was no failure after all; the earlier ones on that account from that address do not count any more."""
        both, *others = attempt.buckets
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(both.key, *(f"{bucket.key}:wait" for bucket in attempt.buckets))
            for bucket in others:
                pipe.decr(bucket.key)
                pipe.expire(bucket.key, WINDOW_S)
            await pipe.execute()
