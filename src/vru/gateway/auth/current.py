"""Who makes a request: from the bearer token, or else from the cookie."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from vru.gateway.auth.schemas import UserBody
from vru.gateway.auth.sessions import SessionStore
from vru.gateway.resources import Gateway, Resources
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


async def require_session(request: Request) -> None:
    """Do nothing if somebody is logged in: for what is asked before a route's own parameters are.

    Raises:
        UnauthorizedError: nobody is.
    """
    gateway: Resources = request.app.state.resources
    await _current_session(session_store(gateway), await _bearer(request), await _cookie(request))


async def _current_session(
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
