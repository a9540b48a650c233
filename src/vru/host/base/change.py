"""One thing that is still needed on the server, and the function that does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .. import wire
from .journal import Step

Apply = Callable[[Step], None]


@dataclass(frozen=True)
class Change:
    """One thing that is still needed, and the function that does it. ``lines`` tell more than fits into ``detail``.

    ``setup``: it prepares the server, and belongs to `vru setup`. ``stage`` is the step that makes it, by name.
    """

    resource: str
    name: str
    action: str
    detail: str = ""
    apply: Apply | None = field(default=None, compare=False, repr=False)
    lines: tuple[str, ...] = ()
    setup: bool = False
    stage: str = ""

    def to_wire(self) -> wire.Change:
        """As it goes over the wire in a plan: what is done, without the function that does it."""
        return wire.Change(self.resource, self.name, self.action, self.detail, self.lines, self.setup, self.stage)

    def __str__(self) -> str:
        return f"{self.action} {self.name}" + (f" ({self.detail})" if self.detail else "")
