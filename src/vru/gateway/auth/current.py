"""Who makes a request: from the bearer token, or else from the cookie."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from redis.exceptions import RedisError

from vru.gateway.auth.schemas import UserBody
from vru.gateway.auth.sessions import SessionStore
from vru.gateway.resources import Gateway
from vru.service.errors import ForbiddenError, UnauthorizedError

COOKIE = "vru_session"
# Browsers take a cookie of such a name over TLS only, from this very host, and for all its paths: neither a neighbour's
# page nor anybody on the way can put another in its place.
SECURE_COOKIE = f"__Host-{COOKIE}"
_SAFE = ("GET", "HEAD", "OPTIONS")
_bearer = HTTPBearer(auto_error=False, description="The token from POST /api/v1/auth/login")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="Set by POST /api/v1/auth/login")


@dataclass(frozen=True)
class Session:
    """A valid login."""

    token: str
    user: UserBody


def session_store(gateway: Gateway) -> SessionStore:
    """The gateway's sessions."""
    return SessionStore(gateway.redis, gateway.settings)


Sessions = Annotated[SessionStore, Depends(session_store)]


def is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS: to nginx, or to a proxy before it (``VRU_TRUSTED_PROXIES``)."""
    return request.url.scheme == "https"


def cookie_name(request: Request) -> str:
    """The cookie that carries a login; over TLS no other is looked at."""
    return SECURE_COOKIE if is_secure(request) else COOKIE


def is_from_own_page(request: Request, origins: Collection[str]) -> bool:
    """Whether a request was made by a page of this platform or of ``origins``, or by the user's own hand.

    Browsers say so, and no page can make them say something else. A page on another port of the same host is another
    origin, though SameSite lets it send the cookie.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if site in ("same-origin", "none") or origin in origins:
        return True
    if origin is None or site is not None:
        return False
    # A browser too old to say more.
    own = {request.headers.get(name) for name in ("host", "x-forwarded-host")}
    return urlsplit(origin).netloc in own


def nobody_is_logged_in() -> UnauthorizedError:
    """The error for a request without a token or cookie."""
    return UnauthorizedError("Nobody is logged in.", "Log in with POST /api/v1/auth/login.")


async def _current_session(
    request: Request,
    gateway: Gateway,
    sessions: Sessions,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _described: Annotated[str | None, Depends(_cookie)],
) -> Session:
    token = bearer.credentials if bearer else request.cookies.get(cookie_name(request))
    if not token:
        raise nobody_is_logged_in()
    if not bearer and request.method not in _SAFE and not is_from_own_page(request, gateway.settings.cors_origin_list):
        raise ForbiddenError(
            "Another site's page made this request with your login.",
            "Use this platform's page; programs send the token as Authorization: Bearer TOKEN.",
        )
    user = await sessions.find(token)
    if user is None:
        raise UnauthorizedError("The session has ended.", "Log in again with POST /api/v1/auth/login.")
    return Session(token, user)


CurrentSession = Annotated[Session, Depends(_current_session)]


async def _current_user(session: CurrentSession) -> UserBody:
    return session.user


CurrentUser = Annotated[UserBody, Depends(_current_user)]


async def is_logged_in(request: Request, sessions: SessionStore) -> bool:
    """Whether a valid token or cookie came along; for what everybody may ask, and the logged in get more of."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token if scheme.lower() == "bearer" else request.cookies.get(cookie_name(request), "")
    try:
        return bool(token) and await sessions.find(token) is not None
    except RedisError:
        return False  # where logins are kept is away: nobody can be told from anybody
