"""Parameters and texts that several endpoints take."""

import uuid
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator

from vru.service.errors import PROBLEM_JSON
from vru.service.schemas import is_text

MAX_INTEGER = 2**31 - 1  # PostgreSQL's


def _clean(text: str) -> str:
    if not is_text(text):
        raise ValueError("must not contain the character NUL or half a surrogate pair")
    return text


# PostgreSQL stores no NUL, and UTF-8 has no halves of surrogate pairs.
CleanText = Annotated[str, AfterValidator(_clean)]

Limit = Annotated[int, Query(ge=1, le=500, description="at most so many items")]
Offset = Annotated[int, Query(ge=0, le=MAX_INTEGER, description="skip so many items")]
FrameIndex = Annotated[int | None, Query(ge=0, le=MAX_INTEGER, description="frame index, counted from 0")]
Identity = Annotated[uuid.UUID, Path(examples=["6f1c1f0e-3d0e-4f0a-9d5c-0d9c3c7e8a11"])]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the errors that an endpoint may answer."""
    return {
        status: {
            "description": "A problem: what is wrong, and what to do",
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
