"""CPU and memory limits that fit the server: the configured ones are ceilings, scaled down on a smaller machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from vru.deploy.settings import values
from vru.deploy.settings.variables import LIMITED, label
from vru.domain import VruError

_MIB = 1024**2
# What the containers may use together; the rest is the system's, Docker's and the file cache's.
_SHARE_OF_MEMORY = 0.9
_EXPORTERS = 5


class Machine(Protocol):
    """What of a server's facts the limits depend on."""

    @property
    def cpus(self) -> int:
        """CPU cores."""

    @property
    def memory_bytes(self) -> int:
        """Memory in bytes."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What one container may use at most."""

    cpus: float
    memory_bytes: int

    @property
    def compose_cpus(self) -> str:
        """As Compose reads it."""
        return f"{self.cpus:g}"

    @property
    def compose_memory(self) -> str:
        """As Compose reads it, in whole mebibytes."""
        return f"{self.memory_mib}m"

    @property
    def memory_mib(self) -> int:
        """The memory in whole mebibytes."""
        return self.memory_bytes // _MIB

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU, {self.memory_mib} MiB"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limit of each service, and for people: what was scaled down (``notes``)."""

    of: Mapping[str, Limit]
    notes: tuple[str, ...]


def scale_limits(configured: Mapping[str, str], machine: Machine | None) -> Limits:
    """Fit the configured ceilings to the machine.

    More CPU cores than the machine has is an error of Docker, so each is cut there. Memory: as long as the ceilings
    of all containers together fit into 90% of the machine's, they stay; otherwise all are scaled by one factor, none
    below what its service needs.

    Args:
        configured: ``VRU_<SERVICE>_CPUS``, ``VRU_<SERVICE>_MEMORY`` and ``VRU_WORKER_REPLICAS``.
        machine: the server; None if it is not known, then the ceilings themselves are returned.

    Raises:
        VruError: the machine is too small for what the services need at least.
    """
    ceilings = {
        service: Limit(
            values.cpus(configured[f"VRU_{service.upper()}_CPUS"]),
            values.size(configured[f"VRU_{service.upper()}_MEMORY"]),
        )
        for service in LIMITED
    }
    if machine is None:
        return Limits(ceilings, ())
    copies = {"exporter": _EXPORTERS, "validation_worker": int(configured["VRU_WORKER_REPLICAS"])}
    memory = _fit_memory(ceilings, copies, machine.memory_bytes)
    fitted = {
        service: Limit(min(ceiling.cpus, float(machine.cpus)), memory[service]) for service, ceiling in ceilings.items()
    }
    has = f"the server has {machine.cpus} CPU and {machine.memory_bytes // _MIB} MiB"
    notes = tuple(
        f"{label(service)}: {fitted[service]} instead of {ceilings[service]}; {has}"
        for service in LIMITED
        if fitted[service].compose_cpus != ceilings[service].compose_cpus
        or fitted[service].compose_memory != ceilings[service].compose_memory
    )
    return Limits(fitted, notes)


def _fit_memory(ceilings: Mapping[str, Limit], copies: Mapping[str, int], memory_bytes: int) -> dict[str, int]:
    budget = int(memory_bytes * _SHARE_OF_MEMORY)
    floors = {service: min(LIMITED[service][2] * _MIB, ceilings[service].memory_bytes) for service in ceilings}

    def total(factor: float) -> int:
        return sum(
            max(floors[service], int(ceiling.memory_bytes * factor)) * copies.get(service, 1)
            for service, ceiling in ceilings.items()
        )

    if total(0.0) > budget:
        raise VruError(
            f"The server has {memory_bytes // _MIB} MiB of memory; the platform needs "
            f"{int(total(0.0) / _SHARE_OF_MEMORY) // _MIB + 1} MiB at least.",
            "Use a larger server" + (", or lower VRU_WORKER_REPLICAS." if copies["validation_worker"] > 1 else "."),
        )
    factor = 1.0
    if total(factor) > budget:
        # The sum grows with the factor: halve the interval until whole mebibytes no longer change.
        low, high = 0.0, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if total(middle) <= budget else (low, middle)
        factor = low
    return {
        service: max(floors[service], int(ceiling.memory_bytes * factor)) // _MIB * _MIB
        for service, ceiling in ceilings.items()
    }
