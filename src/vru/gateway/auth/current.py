"""Who makes a request: from the bearer token, or else from the cookie."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from redis.exceptions import RedisError

from vru.gateway.auth.schemas import UserBody
from vru.gateway.auth.sessions import SessionStore
from vru.gateway.resources import Gateway
from vru.service.errors import UnauthorizedError

COOKIE = "vru_session"
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


async def _current_session(
    request: Request,
    sessions: Sessions,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    cookie: Annotated[str | None, Depends(_cookie)],
) -> Session:
    token = bearer.credentials if bearer else cookie
    if not token:
        raise UnauthorizedError("Nobody is logged in.", "Log in with POST /api/v1/auth/login.")
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
    token = token if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")
    try:
        return bool(token) and await sessions.find(token) is not None
    except RedisError:
        return False  # where logins are kept is away: nobody can be told from anybody
