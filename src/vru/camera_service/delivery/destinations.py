"""Where records go. Each destination itself knows which it has: so none is stored twice, and none is left out."""

from collections.abc import Sequence
from typing import ClassVar, Protocol
from uuid import UUID

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from vru.service.settings import ServiceSettings

STREAM = "vru:signals"
_POSITION = "vru:signals:position"
# The newest records, for who follows them; PostgreSQL has all.
_STREAM_LENGTH = 100_000
_KEPT_DAYS = 30
_CONNECT_S = 5
_ANSWER_S = 15

_HAS = "SELECT coalesce(max(position), 0) FROM signal_events WHERE spool = %s"
# The server parses the JSON: that costs this process nothing.
_STORE = """
INSERT INTO signal_events
    (spool, position, id, source_id, source, type, time_ns, kind, device_ns, road_user, value, received_at)
SELECT %(spool)s, %(first)s::bigint + number - 1, id, source_id, source, type, time_ns, kind, device_ns, class, value,
    to_timestamp(at)
FROM ROWS FROM (json_to_recordset(%(records)s::json) AS (
    id text, source_id uuid, source text, type text, time_ns bigint, kind text, device_ns bigint, class text,
    value text, at double precision
)) WITH ORDINALITY AS record (id, source_id, source, type, time_ns, kind, device_ns, class, value, at, number)
"""
_FORGET = "DELETE FROM signal_events WHERE received_at < now() - make_interval(days => %s)"


class Destination(Protocol):
    """One store. All methods are called in one thread, and block; any may raise when it is away."""

    name: ClassVar[str]

    def open(self, spool: UUID) -> int:
        """Connect. The number of the spool's last record that it has, 0 for none."""
        ...

    def store(self, spool: UUID, first: int, lines: Sequence[bytes]) -> None:
        """Store the records ``first`` and the following, all or none.

        Raises:
            ValueError: it is there and does not take these.
        """
        ...

    def tidy(self) -> None:
        """Forget what is too old; called now and then."""
        ...

    def close(self) -> None:
        """Disconnect; does nothing if it is not connected."""
        ...


class PostgresDestination:
    """The table ``signal_events``: the records of the last 30 days."""

    name: ClassVar[str] = "postgresql"

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._connection: psycopg.Connection | None = None

    def open(self, spool: UUID) -> int:
        """Connect, and ask."""
        self._connection = psycopg.connect(
            self._settings.database_conninfo,
            autocommit=True,
            connect_timeout=_CONNECT_S,
            application_name="vru signals",
            # A server that is gone without a word.
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=_ANSWER_S * 1000,
        )
        row = self._connection.execute(_HAS, [spool]).fetchone()
        return int(row[0]) if row else 0

    def store(self, spool: UUID, first: int, lines: Sequence[bytes]) -> None:
        """One statement, and so one transaction."""
        assert self._connection is not None  # noqa: S101 - it is open
        records = (b"[" + b",".join(lines) + b"]").decode()
        try:
            self._connection.execute(_STORE, {"spool": spool, "first": first, "records": records})
        except psycopg.DataError as error:
            raise ValueError(str(error).partition("\n")[0]) from error

    def tidy(self) -> None:
        """Delete what is older than 30 days."""
        assert self._connection is not None  # noqa: S101 - it is open
        self._connection.execute(_FORGET, [_KEPT_DAYS])

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class RedisDestination:
    """The stream ``vru:signals``: each entry has one field, ``record``, in JSON. It holds the newest 100,000."""

    name: ClassVar[str] = "redis"

    def __init__(self, settings: ServiceSettings, length: int = _STREAM_LENGTH) -> None:
        self._settings, self._length = settings, length
        self._client: redis.Redis | None = None

    def open(self, spool: UUID) -> int:
        """Connect, and ask: the number is set in the transaction that adds the records."""
        self._client = redis.Redis.from_url(
            self._settings.redis_url,
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=_CONNECT_S,
            # A transaction whose answer was lost may have been done: nothing is sent twice without asking first.
            retry=Retry(NoBackoff(), 0),
        )
        said = self._client.get(_POSITION)
        whose, _, number = said.decode().partition(" ") if isinstance(said, bytes) else ("", "", "")
        return int(number) if whose == str(spool) else 0

    def store(self, spool: UUID, first: int, lines: Sequence[bytes]) -> None:
        """One transaction."""
        assert self._client is not None  # noqa: S101 - it is open
        with self._client.pipeline(transaction=True) as all_or_none:
            for line in lines:
                all_or_none.xadd(STREAM, {"record": line}, maxlen=self._length, approximate=True)
            all_or_none.set(_POSITION, f"{spool} {first + len(lines) - 1}")
            all_or_none.execute()

    def tidy(self) -> None:
        """The stream cuts itself."""

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()
            self._client = None
