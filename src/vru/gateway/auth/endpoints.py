"""Logging in and out."""

from fastapi import APIRouter, Request, Response, status

from vru.gateway.auth import users
from vru.gateway.auth.current import CurrentSession, CurrentUser, Sessions, cookie_name, is_secure
from vru.gateway.auth.passwords import verify_password
from vru.gateway.auth.schemas import LoginBody, LoginRequest, UserBody
from vru.gateway.parameters import problems
from vru.gateway.resources import Gateway
from vru.service.errors import UnauthorizedError

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post("/login", summary="Log in", responses=problems(401, 429))
async def log_in(
    body: LoginRequest,
    request: Request,
    response: Response,
    gateway: Gateway,
    sessions: Sessions,
) -> LoginBody:
    """Answers with a token, and sets the same as a cookie for browsers.

    The cookie is HttpOnly and SameSite=Strict: other sites' pages cannot make a browser send it.
    """
    address = request.client.host if request.client else "unknown"
    email = body.email.strip().lower()
    attempt = await gateway.login_limiter.begin(address, email)
    async with gateway.database.read() as session:
        user = await users.find_by_email(session, email)
    if not await verify_password(body.password, user.password_hash if user else None) or user is None:
        raise UnauthorizedError("The e-mail address or the password is wrong.", "Check both and try again.")
    await gateway.login_limiter.succeeded(attempt)
    known = UserBody.model_validate({"id": user.id, "email": user.email, "role": user.role})
    login = await sessions.create(known)
    response.set_cookie(
        cookie_name(request),
        login.token,
        expires=login.expires_at,
        path="/",
        httponly=True,
        samesite="strict",
        secure=is_secure(request),
    )
    response.headers["Cache-Control"] = "no-store"
    return LoginBody(token=login.token, expires_at=login.expires_at, user=known)


@router.post("/logout", summary="Log out", status_code=status.HTTP_204_NO_CONTENT, responses=problems(401))
async def log_out(session: CurrentSession, sessions: Sessions, request: Request, response: Response) -> None:
    """Ends the session of the token or cookie that the request carries."""
    await sessions.end(session.token, session.user)
    response.delete_cookie(cookie_name(request), path="/", httponly=True, samesite="strict", secure=is_secure(request))


@router.get("/me", summary="Who is logged in", responses=problems(401))
async def get_current_user(user: CurrentUser) -> UserBody:
    """The user of the token or cookie."""
    return user
