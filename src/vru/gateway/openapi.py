"""The API's description: ``python -m vru.gateway.openapi FILE`` writes it, without any database."""

import json
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, SecretStr
from pydantic.json_schema import models_json_schema

from vru.gateway.settings import GatewaySettings
from vru.service.schemas import (
    CameraCreate,
    CameraRunCreate,
    DataSetRunCreate,
    Problem,
    RunChange,
    RunCreate,
    RunEvent,
    SignalSourceCreate,
)
from vru.service.schemas.comparisons import ComparisonRequest

# Bodies that the gateway passes on unread, so that FastAPI does not know of them.
FORWARDED_BODIES: tuple[type[BaseModel], ...] = (
    *(RunCreate, CameraRunCreate, DataSetRunCreate, RunChange),
    *(CameraCreate, SignalSourceCreate, ComparisonRequest),
)
_COMPONENT = "#/components/schemas/{model}"


def describe(app: FastAPI) -> None:
    """Make ``app.openapi()`` also describe what is forwarded, and every error as a ``Problem``."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    description=app.description,
                    routes=app.routes,
                    tags=app.openapi_tags,
                )
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema["components"]["schemas"]
    _, extra = models_json_schema([(model, "validation") for model in FORWARDED_BODIES], ref_template=_COMPONENT)
    _, answers = models_json_schema([(Problem, "serialization"), (RunEvent, "serialization")], ref_template=_COMPONENT)
    for definitions in (extra["$defs"], answers["$defs"]):
        for name, definition in definitions.items():
            components.setdefault(name, definition)
    # FastAPI announces its own form of a validation error, which this platform does not use.
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    problem = {"application/problem+json": {"schema": {"$ref": _COMPONENT.format(model="Problem")}}}
    for path in schema["paths"].values():
        for operation in path.values():
            for status, response in operation.get("responses", {}).items():
                if "HTTPValidationError" in json.dumps(response):
                    operation["responses"][status] = {"description": "The request is not right", "content": problem}
    return schema


def main() -> None:
    """Write the description as JSON."""
    from vru.gateway.app import create_gateway

    settings = GatewaySettings(
        secret_key=SecretStr("x" * 32), admin_email="nobody@localhost", admin_password=SecretStr("not used")
    )
    text = json.dumps(create_gateway(settings).openapi(), indent=2, ensure_ascii=False)
    Path(sys.argv[1]).write_text(f"{text}\n")


if __name__ == "__main__":
    main()
