"""Containers that are the right ones, with what somebody changed on them by hand -> what mends them in place."""

from dataclasses import replace

from tests.host.containers import container, view_of
from tests.host.resources.common import HOST, names

from vru.host.docker.compose import Compose, Limits
from vru.host.resources import settings
from vru.host.resources.containers import ContainerFacts

COMPOSE = Compose(HOST)
LIMITS = Limits(1_000_000_000, 256 * 1024 * 1024, 128)
BASE = view_of("api")
VIEW = replace(BASE, services={"api": replace(BASE.services["api"], limits=LIMITS, networks=("a", "b"))})
RIGHT = container("api", limits=LIMITS, networks=("a", "b"))


def told(*there, without=(), impostors=()):
    facts = ContainerFacts(there, None, None, impostors=tuple(impostors))
    found = [*settings.impostor_changes(COMPOSE, facts), *settings.changes(COMPOSE, VIEW, facts, without)]
    return names(found), [change.detail for change in found]


def test_a_container_as_compose_made_it_needs_nothing():
    assert told(RIGHT) == ([], [])


def test_limits_and_restart_policy_are_told_together():
    changed = replace(RIGHT, limits=Limits(500_000_000, 0, 128), restart="no")
    found, details = told(changed)
    assert found == [("container", "vru-platform-api-1", "update")]
    assert details == [
        "CPU limit 0.5 -> 1, memory limit none -> 256.0 MiB, restart policy no -> unless-stopped",
    ]


def test_networks_are_joined_and_left():
    assert told(replace(RIGHT, networks=("a", "c")))[1] == ["is not in the network b", "is in the network c"]


def test_what_is_paused_is_woken():
    assert told(replace(RIGHT, state="paused"))[0] == [("container", "vru-platform-api-1", "start")]


def test_what_is_replaced_anyway_is_not_mended():
    assert told(replace(RIGHT, restart="no"), without={"api"}) == ([], [])


def test_containers_under_a_name_of_ours_are_removed():
    assert told(RIGHT, impostors=["vru-platform-web-1"])[0] == [("container", "vru-platform-web-1", "remove")]
