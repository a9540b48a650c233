"""What the labels ``vru.*`` in the Compose file say of a service: this program knows no service by name.

``vru.port``      where it listens inside its container
``vru.ready``     the path at which it says whether it can work
``vru.rollout``   ``rolling`` (new containers beside the old), ``stateful`` (before all others), or ``in-place``
``vru.routed``    ``true``: nginx routes requests to it, under the variable of its name
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..base.errors import HostError

Rollout = Literal["in-place", "rolling", "stateful"]
_ROLLOUTS: Mapping[str, Rollout] = {"in-place": "in-place", "rolling": "rolling", "stateful": "stateful"}


@dataclass(frozen=True)
class Topology:
    """Where a service listens, where it says whether it is ready, and how its containers are replaced."""

    port: int | None = None
    ready: str = ""
    rollout: Rollout = "in-place"
    routed: bool = False


def of_labels(service: str, labels: Mapping[str, str]) -> Topology:
    """Read a service's labels.

    Raises:
        HostError: a label is not what it may be.
    """
    port, rollout = labels.get("vru.port", ""), labels.get("vru.rollout", "in-place")
    if port and not port.isdecimal():
        raise _wrong(service, "vru.port", port, "a port")
    if rollout not in _ROLLOUTS:
        raise _wrong(service, "vru.rollout", rollout, "rolling, stateful or in-place")
    routed, ready = labels.get("vru.routed") == "true", labels.get("vru.ready", "")
    if (routed or ready) and not port:
        raise HostError(f"The service {service} has no label vru.port.", "Say in the Compose file where it listens.")
    return Topology(int(port) if port else None, ready, _ROLLOUTS[rollout], routed)


def _wrong(service: str, label: str, value: str, allowed: str) -> HostError:
    return HostError(f"The label {label} of the service {service} is {value!r}.", f"It may be {allowed}.")
