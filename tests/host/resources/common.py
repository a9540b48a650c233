"""What the resources' tests share: a host that is nowhere, and how a change is told in short."""

from collections.abc import Iterable
from pathlib import Path

from vru.host.base.change import Change
from vru.host.base.host import Host

HOST = Host(Path("/nowhere"))


def names(changes: Iterable[Change]) -> list[tuple[str, str, str]]:
    """Resource, name and action of each change."""
    return [(change.resource, change.name, change.action) for change in changes]
