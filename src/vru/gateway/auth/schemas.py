"""Bodies of logins."""

import uuid
from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from vru.gateway.parameters import CleanText
from vru.service.schemas import Schema


class LoginRequest(Schema):
    """Who wants in."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "admin@example.com", "password": "correct horse battery staple"}]}
    )
    email: CleanText = Field(max_length=254)
    password: str = Field(max_length=256, json_schema_extra={"format": "password"})


class UserBody(Schema):
    """Someone who may use the platform."""

    id: uuid.UUID
    email: str
    role: Literal["admin", "engineer"]


class LoginBody(Schema):
    """A session. Send ``token`` as ``Authorization: Bearer TOKEN``; browsers send the cookie instead."""

    token: str
    expires_at: datetime
    user: UserBody
