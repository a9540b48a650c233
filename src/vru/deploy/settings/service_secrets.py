"""The secrets of the services among themselves, made from three that the operator keeps; and what each may do at Redis.

Each is an HMAC of one of the three, so nothing has to be stored or sent besides, and one tells nothing about another.
The three themselves are given to no service but the gateway, which has the key of the assertions.
"""

import hmac
from collections.abc import Mapping

# Services that other services call; only with the secret that is made for them.
CALLED = ("ml_engine", "camera_service", "validation_engine", "signer")

# What each service may do at Redis: keys, channels, commands. All may say who they are, and whether they are there.
_ANYONE = "+ping +hello +auth +client|setinfo +client|setname"
_FOLLOW = "+subscribe +unsubscribe +publish"
REDIS_USERS: Mapping[str, str] = {
    "api_gateway": "~vru:session:* ~vru:sessions-of:* ~vru:login:* resetchannels -@all "
    f"{_ANYONE} +multi +exec +discard +get +getex +set +del +incrby +decrby +expire +pttl +sadd +srem +smembers",
    "validation_engine": f"resetkeys resetchannels &vru:run:* -@all {_ANYONE} {_FOLLOW}",
    "validation_worker": f"~vru:run:* resetchannels &vru:run:* -@all {_ANYONE} +publish +hset +hvals +expire",
    "camera_service": "~vru:signals ~vru:signals:position resetchannels -@all "
    f"{_ANYONE} +multi +exec +discard +xadd +get +set",
    # No password: figures only, and nothing of what is stored.
    "exporter": "resetkeys resetchannels -@all +ping +hello +client|setinfo +client|setname +info +config|get "
    "+latency|latest +latency|histogram +slowlog|len +dbsize",
    "probe": "resetkeys resetchannels -@all +ping",
}
# Those that use Redis and the database. In PostgreSQL the role is called vru_SERVICE.
REDIS_SERVICES = ("api_gateway", "validation_engine", "validation_worker", "camera_service")
DATABASE_SERVICES = (*REDIS_SERVICES, "signer")


def service_secrets(secret_key: str, redis_password: str, database_password: str) -> dict[str, str]:
    """Every such secret, by the name of its variable."""
    made = {f"VRU_{name.upper()}_SECRET": _derive(secret_key, f"calls to {name}") for name in CALLED}
    for name in REDIS_SERVICES:
        made[f"VRU_{name.upper()}_REDIS_PASSWORD"] = _derive(redis_password, f"{name} at Redis")
    for name in DATABASE_SERVICES:
        made[f"VRU_{name.upper()}_DATABASE_PASSWORD"] = _derive(database_password, f"{name} at PostgreSQL")
    return made


def _derive(master: str, purpose: str) -> str:
    return hmac.digest(master.encode(), purpose.encode(), "sha256").hex()
