"""The file that leads nginx to the services: what it says, and what is read back from it."""

from pathlib import Path

import pytest
from tests.host.containers import container, view_of

from vru.host.base.errors import HostError
from vru.host.base.host import Host
from vru.host.rolling import routes
from vru.host.rolling.routes import Route

VIEW = view_of("api_gateway", "frontend", "validation_worker", "nginx", "postgres")


def test_a_service_is_its_containers_name() -> None:
    found = [container("api_gateway", 7), container("frontend", 2), container("postgres")]
    wanted = routes.steady(VIEW.routed, found)
    assert wanted == {
        "api_gateway": Route(8000, ("vru-platform-api_gateway-7",)),
        "frontend": Route(3000, ("vru-platform-frontend-2",)),
    }
    text = routes.render(wanted, {})
    assert 'map "" $api_gateway { default "vru-platform-api_gateway-7:8000"; }' in text
    assert 'map "" $frontend { default "vru-platform-frontend-2:3000"; }' in text
    assert "upstream" not in text


def test_before_there_is_a_container_and_where_there_are_several_it_is_the_common_name() -> None:
    assert 'default "frontend:3000"' in routes.render(routes.steady(VIEW.routed, []), {})
    two = [container("frontend", 1), container("frontend", 2)]
    assert 'default "frontend:3000"' in routes.render(routes.steady(VIEW.routed, two), {})


def test_only_those_that_run_serve() -> None:
    found = [container("frontend", 1), container("frontend", 2, state="exited")]
    assert routes.steady(VIEW.routed, found)["frontend"] == Route(3000, ("vru-platform-frontend-1",))
    away = [container("frontend", 2, state="exited")]
    assert routes.steady(VIEW.routed, away)["frontend"] == Route(3000, ("vru-platform-frontend-2",))


def test_while_it_is_watched_a_service_is_a_group_with_the_old_container_behind_the_new() -> None:
    watched = {"api_gateway": Route(8000, ("new",), ("old",)), "frontend": Route(3000, ("page",))}
    text = routes.render(watched, {"new": "172.20.0.9", "old": "172.20.0.5"})
    group = text[text.index("upstream api_gateway_watched {") :]
    assert "    server 172.20.0.9:8000 max_fails=3 fail_timeout=10s;\n    server 172.20.0.5:8000 backup;\n}" in group
    assert 'map "" $api_gateway { default "api_gateway_watched"; }' in group
    with pytest.raises(HostError, match="old has no address"):
        routes.render(watched, {"new": "172.20.0.9"})


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert routes.read(host) == {}
    watched = {"api_gateway": Route(8000, ("new",), ("old",)), "frontend": Route(3000, ("page",))}
    text = routes.render(watched, {"new": "172.20.0.9", "old": "172.20.0.5"})
    assert routes.write(host, text)
    assert not routes.write(host, text)
    assert routes.read(host) == watched
    assert routes.path(host).stat().st_mode & 0o777 == 0o644
    for nonsense in ("", "# routes: {", '# routes: {"api_gateway": 1}', "# routes: []", "map"):
        routes.write(host, nonsense)
        assert routes.read(host) == {}


def test_a_file_is_made_before_nginx_starts_and_then_left_alone(tmp_path: Path) -> None:
    host = Host(tmp_path)
    routes.ensure(host, VIEW, [])
    assert set(routes.read(host)) == {"api_gateway", "frontend"}
    routes.write(host, routes.render({"api_gateway": Route(8000, ("a",)), "frontend": Route(3000, ("b",))}, {}))
    routes.ensure(host, VIEW, [container("api_gateway", 3)])
    assert routes.read(host)["api_gateway"] == Route(8000, ("a",))


def test_what_somebody_changed_is_noticed() -> None:
    found = [container("api_gateway", 7), container("frontend", 2), container("postgres")]
    text = routes.render(routes.steady(VIEW.routed, found), {})
    assert routes.up_to_date(text, found)
    assert not routes.up_to_date(text.replace("api_gateway-7", "api_gateway-6"), found)
    assert not routes.up_to_date(text + "# a word\n", found)
    assert not routes.up_to_date(text, [container("api_gateway", 8), container("frontend", 2)])


def test_of_a_change_that_was_broken_off_the_old_ones_are_trusted_more() -> None:
    old, new = container("api_gateway", 1), container("api_gateway", 2)
    known = {"api_gateway": Route(8000, (new.name,), (old.name,))}
    assert routes.repaired(known, [old, new])["api_gateway"] == Route(8000, (old.name,))
    assert routes.repaired(known, [new])["api_gateway"] == Route(8000, (new.name,))
    gone = {"api_gateway": Route(8000, ("vru-platform-api_gateway-9",))}
    assert routes.repaired(gone, [new])["api_gateway"] == Route(8000, (new.name,))
