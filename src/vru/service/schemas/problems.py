"""Errors."""

from pydantic import BaseModel


class Problem(BaseModel):
    """An error as application/problem+json (RFC 9457). ``detail`` is one sentence; ``fix`` says what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    fix: str | None = None
    instance: str | None = None
    request_id: str | None = None
