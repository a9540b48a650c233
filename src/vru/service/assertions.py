"""Calls between services: who calls, and for which user, in a short-lived signed assertion (a JWT, RFC 7519).

Each service that is called has a secret of its own. Whoever may call it has that secret too; nobody else can make an
assertion that it believes. So a service that was taken over can speak to those alone that it called before.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import jwt
from yarl import URL

from vru.domain import VruError
from vru.service.settings import ServiceSettings

LIFETIME_S = 60
SHORTEST_SECRET = 32
# Between machines whose clocks differ a little.
_LEEWAY_S = 5
_ALGORITHM = "HS256"
_SCHEME = "Bearer "


class RefusedError(Exception):
    """An assertion that is not believed; the text says why."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The service that calls, and the user for whom it does; None where no user asked for it."""

    service: str
    user: str | None


def secret_of(settings: ServiceSettings, service: str) -> str:
    """The secret of those who call ``service``.

    Raises:
        VruError: it is not set, or too short.
    """
    secret = settings.service_secrets.get(service, "")
    if len(secret) < SHORTEST_SECRET:
        raise VruError(
            f"VRU_{service.upper()}_SECRET is not set, or shorter than {SHORTEST_SECRET} characters.",
            "`vru deploy` and `vru local` make it; by hand, give the service and its callers the same random text.",
        )
    return secret


@dataclass(frozen=True)
class Asserter:
    """Makes one service's assertions. ``secrets``: by name of the service that is called."""

    service: str
    secrets: Mapping[str, str] = field(repr=False)
    addresses: Mapping[URL, str]

    @classmethod
    def of(cls, settings: ServiceSettings, service: str, calls: tuple[str, ...]) -> Self:
        """What asserts for ``service``, which calls the services ``calls``.

        Raises:
            VruError: a secret is missing.
        """
        secrets = {name: secret_of(settings, name) for name in calls}
        addresses = {URL(str(getattr(settings, f"{name}_url"))).origin(): name for name in calls}
        return cls(service, secrets, addresses)

    def headers(self, audience: str, user: str | None = None) -> dict[str, str]:
        """The header of one request to the service ``audience``, made for ``user``."""
        now = int(time.time())
        claims = {"iss": self.service, "aud": audience, "iat": now, "exp": now + LIFETIME_S}
        if user is not None:
            claims["sub"] = user
        return {"Authorization": _SCHEME + jwt.encode(claims, self.secrets[audience], algorithm=_ALGORITHM)}


def read(authorization: str, audience: str, secret: str) -> Caller:
    """Who made a request to the service ``audience``, from its header.

    Raises:
        RefusedError: there is no assertion, or it is for another service, too old, or not signed with the secret.
    """
    if not authorization.startswith(_SCHEME):
        raise RefusedError("there is none")
    try:
        claims = jwt.decode(
            authorization.removeprefix(_SCHEME),
            secret,
            algorithms=[_ALGORITHM],
            audience=audience,
            leeway=_LEEWAY_S,
            options={"require": ["iss", "aud", "iat", "exp"]},
        )
    except jwt.InvalidTokenError as error:
        raise RefusedError(str(error)) from error
    return Caller(str(claims["iss"]), claims.get("sub"))
