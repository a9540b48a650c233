"""Models under test."""

from typing import Any

from pydantic import Field

from vru.domain import VruClass
from vru.service.schemas.base import Schema


class ModelBody(Schema):
    """One version of a model in the repository, from its ``model.yaml``."""

    name: str
    version: str
    runtime: str
    description: str
    classes: list[VruClass]
    source: str
    licence: str
    sha256: str = Field(description="digest of the version's folder: names the exact model in evidence")
    parameters: dict[str, Any] = Field(default_factory=dict)
    provider: str | None = Field(None, description="what runs it in this ML engine, such as CPUExecutionProvider")
