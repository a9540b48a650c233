"""Containers as Docker tells of them, and a Compose file -> changes."""

from datetime import UTC, datetime, timedelta

from tests.host.containers import LABELS, TOPOLOGY
from tests.host.resources.common import HOST, names

from vru.host.docker.compose import Compose, Service, View, parse_container
from vru.host.docker.topology import Topology
from vru.host.resources import containers
from vru.host.rolling import routes


def service(name, digest="d1", **differences):
    values = {"image": f"{name}:1", "ports": (), "healthcheck": True, "restart": "unless-stopped", "depends_on": ()}
    return Service(name=name, digest=digest, **{"topology": TOPOLOGY.get(name, Topology()), **values, **differences})


def container(name, digest="d1", *, state="running", health="healthy", started=None, image=None, code=0):
    return parse_container(
        {
            "Id": f"id-{name}",
            "Name": f"/vru-platform-{name}-1",
            "RestartCount": 0,
            "Args": [],
            "State": {
                "Status": state,
                "ExitCode": code,
                "Pid": 1,
                "StartedAt": (started or "2026-01-31T12:00:00.123456789Z"),
                "Health": {"Status": health, "Log": [{"Output": "said\nthis"}]},
            },
            "Config": {
                "Image": image or f"{name}:1",
                "Env": ["A=b=c"],
                "Labels": {
                    **LABELS.get(name, {}),
                    "com.docker.compose.service": name,
                    "com.docker.compose.config-hash": digest,
                },
            },
            "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}},
        }
    )


def view(*services):
    return View({item.name: item for item in services}, {"migrate": service("migrate", "", image="engine:2")})


def found(*there, written=None, loaded=None):
    steady = routes.render(routes.steady(routes.ports_of(there), there), {})
    return containers.ContainerFacts(there, written, loaded, routes=steady)


def test_containers_that_are_as_wanted_need_nothing():
    assert names(containers.changes(view(service("api")), found(container("api")))) == []


def test_containers_are_created_recreated_started_and_removed():
    wanted = view(service("new"), service("api", "d2"), service("worker"), service("image", "d2", image="image:2"))
    there = found(container("api"), container("worker", state="exited", code=1), container("old"), container("image"))
    changed = list(containers.changes(wanted, there))
    assert names(changed) == [
        ("container", "new", "create"),
        ("container", "api", "update"),
        ("container", "worker", "start"),
        ("container", "image", "update"),
        ("container", "vru-platform-old-1", "remove"),
    ]
    assert changed[1].detail == "settings; in place, away for a moment"
    assert changed[3].detail == "image image:1 -> image:2; in place, away for a moment"


def test_the_number_of_containers_is_compared_although_composes_digest_leaves_it_out():
    assert names(containers.changes(view(service("worker", replicas=2)), found(container("worker")))) == [
        ("container", "worker", "update")
    ]
    assert names(containers.changes(view(service("worker", replicas=0)), found())) == []
    assert view(service("worker", replicas=0), service("api")).running == ["api"]


def test_a_one_off_container_is_none_of_the_services():
    raw = {"Config": {"Labels": {"com.docker.compose.oneoff": "True"}}}
    assert parse_container(raw) is None


def test_a_containers_time_health_and_environment_are_read():
    parsed = container("api")
    assert parsed.started == datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
    assert parsed.environment == {"A": "b=c"}
    assert parsed.probe == "said this"
    assert parsed.settled
    assert not container("api", health="starting").settled


def test_nginx_is_reloaded_only_when_its_files_are_newer():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    compose = Compose(HOST)
    newer, older = moment + timedelta(seconds=1), moment - timedelta(seconds=1)
    assert names(containers.nginx_changes(compose, found(written=newer, loaded=moment))) == [
        ("nginx", "configuration", "reload")
    ]
    assert names(containers.nginx_changes(compose, found(written=older, loaded=moment))) == []
    assert names(containers.nginx_changes(compose, found(written=newer))) == []


def test_what_a_service_needs_is_found_through_others():
    wanted = view(service("postgres"), service("api", depends_on=("postgres",)), service("web", depends_on=("api",)))
    assert wanted.before("web") == {"api", "postgres"}


def test_a_container_of_another_image_under_the_same_tag_is_replaced():
    wanted, there = view(service("api")), found(container("api"))
    same, other = {"api:1": there.containers[0].image_id}, {"api:1": "sha256:another"}
    assert names(containers.changes(wanted, there, same)) == []
    assert names(containers.changes(wanted, there, other)) == [("container", "api", "update")]
