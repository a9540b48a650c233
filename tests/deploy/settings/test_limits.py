from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vru.deploy.settings.limits import scale_limits
from vru.deploy.settings.variables import LIMITED, VARIABLES
from vru.domain import VruError

GIB = 1024**3
CONFIGURED = {variable.name: variable.default for variable in VARIABLES.values()}
COPIES = {"exporter": 5}


@dataclass(frozen=True)
class Machine:
    cpus: int
    memory_bytes: int


def test_the_papers_limits_hold_on_a_large_machine() -> None:
    limits = scale_limits(CONFIGURED, Machine(16, 64 * GIB))
    shown = {service: (limit.cpus, limit.memory_bytes / GIB) for service, limit in limits.of.items()}
    assert shown["api_gateway"] == (3, 3)
    assert shown["ml_engine"] == (4, 4)
    assert shown["postgres"] == (2, 2)
    assert shown["frontend"] == (1, 1)
    assert limits.notes == ()


def test_no_service_gets_more_cores_than_the_machine_has() -> None:
    limits = scale_limits(CONFIGURED, Machine(2, 64 * GIB))
    assert max(limit.cpus for limit in limits.of.values()) == 2
    assert len(limits.notes) == 2
    assert limits.notes[0] == (
        "API gateway: 2 CPU, 3072 MiB instead of 3 CPU, 3072 MiB; the server has 2 CPU and 65536 MiB"
    )


@given(st.integers(1, 64), st.integers(3 * GIB, 64 * GIB))
def test_together_they_fit_into_the_machine_and_none_grows(cpus: int, memory: int) -> None:
    limits = scale_limits(CONFIGURED, Machine(cpus, memory))
    ceilings = scale_limits(CONFIGURED, None)
    assert sum(limit.memory_bytes * COPIES.get(service, 1) for service, limit in limits.of.items()) <= memory * 0.9
    for service, limit in limits.of.items():
        assert limit.memory_bytes <= ceilings.of[service].memory_bytes
        assert limit.cpus <= min(cpus, ceilings.of[service].cpus)
        assert limit.memory_mib >= LIMITED[service][2]


def test_more_memory_never_means_less_for_a_service() -> None:
    before = scale_limits(CONFIGURED, Machine(4, 3 * GIB))
    for gib in range(4, 32):
        after = scale_limits(CONFIGURED, Machine(4, gib * GIB))
        assert all(after.of[name].memory_bytes >= before.of[name].memory_bytes for name in LIMITED)
        before = after


def test_a_machine_that_is_too_small_is_an_error_that_says_what_is_needed() -> None:
    with pytest.raises(VruError, match=r"has 1024 MiB of memory; the platform needs \d+ MiB at least"):
        scale_limits(CONFIGURED, Machine(1, GIB))


def test_each_worker_counts() -> None:
    with pytest.raises(VruError, match="VRU_WORKER_REPLICAS"):
        scale_limits({**CONFIGURED, "VRU_WORKER_REPLICAS": "10"}, Machine(4, 4 * GIB))
