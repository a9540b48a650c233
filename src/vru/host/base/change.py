"""One thing that is still needed on the server, and the function that does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .journal import Step

Apply = Callable[[Step], None]


@dataclass(frozen=True)
class Change:
    """One thing that is still needed, and the function that does it. ``lines`` tell more than fits into ``detail``."""

    resource: str
    name: str
    action: str
    detail: str = ""
    apply: Apply | None = field(default=None, compare=False, repr=False)
    lines: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As it goes over the wire in a plan; ``lines`` only where there are some."""
        told: dict[str, Any] = {
            "resource": self.resource, "name": self.name, "action": self.action, "detail": self.detail,
        }  # fmt: skip
        return {**told, "lines": list(self.lines)} if self.lines else told

    def __str__(self) -> str:
        return f"{self.action} {self.name}" + (f" ({self.detail})" if self.detail else "")
