"""What uploads have in common: the request's body is the file."""

from typing import Any

from fastapi import Request
from pydantic import BaseModel

# What reads uploads, in the sandbox, and what their libraries would import only when it is first needed.
READERS = (
    "vru.gateway.videos.probe",
    "vru.gateway.ground_truths.reader",
    "vru.gateway.signals.reader",
    "vru.gateway.data_sets.reader",
    "vru.gateway.predictions.reader",
    "encodings.cp437",  # of names in a zip
    "numpy.ma",  # of numpy.median
)
# For routes whose own limit comes from the settings and is checked while the body arrives.
UNLIMITED = 2**62
_MOST_DIGITS = 20


def announced_size(request: Request) -> int | None:
    """The body's size in bytes, if the client says it."""
    value = request.headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < _MOST_DIGITS else None


def raw_body(*media_types: str) -> dict[str, Any]:
    """OpenAPI's description of a body that is a file."""
    schema = {"type": "string", "format": "binary"}
    return {
        "requestBody": {"required": True, "content": {media_type: {"schema": schema} for media_type in media_types}}
    }


def json_body(*models: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI's description of a JSON body, one of ``models``, that is forwarded unread.

    They must also appear in ``FORWARDED_BODIES`` of ``vru.gateway.openapi``, which adds their schemas.
    """
    schemas = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
