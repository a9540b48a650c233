import json
import re
from typing import Any

import pytest
from tests.deploy.conftest import ROOT, ComposeConfig
from tests.deploy.secrecy import NEEDED
from tests.host.containers import TOPOLOGY

from vru.deploy.release import topology
from vru.deploy.release.configuration import (
    CONFIG,
    digests,
    directories,
    render,
)
from vru.deploy.release.images import BUILD_IMAGES, base_images, images, public_images
from vru.deploy.settings.environment import Environment
from vru.deploy.settings.limits import scale_limits
from vru.deploy.settings.server_env import server_env
from vru.deploy.settings.variables import BUILT, CONFIGURED, VARIABLES
from vru.host.rolling import rollout
from vru.service.app import DRAIN_S

COMPOSE = (ROOT / "docker-compose.production.yml").read_text()
REQUIRED = sorted(set(re.findall(r"\$\{(VRU_[A-Z0-9_]+):\?", COMPOSE)))
# Whose images hold no program that could ask.
LAPTOP = topology.load(ROOT)
EXPORTERS = {name for name, one in LAPTOP.items() if one.metrics == "address"}
ROLLING = {name for name, one in TOPOLOGY.items() if one.rollout == "rolling"}
NO_HEALTH_CHECK = {"migrate", *(name for name in EXPORTERS if name != "alertmanager")}


def env_text(example: Environment) -> str:
    rendered = render(ROOT, example, None)
    tags = {image.service: image.tag for image in images(ROOT, example)}
    return server_env(example, scale_limits(example.values, None), tags, digests(ROOT, rendered))


@pytest.fixture
def config(example: Environment, compose_config: ComposeConfig) -> dict[str, Any]:
    code, out, errors = compose_config(env_text(example))
    assert code == 0, errors
    assert errors == "", "docker compose config warns"
    parsed: dict[str, Any] = json.loads(out)
    return parsed


def test_every_interpolation_is_required_by_name() -> None:
    assert set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE)) == set(REQUIRED)


def test_an_empty_variable_stops_it_by_name(example: Environment, compose_config: ComposeConfig) -> None:
    text = env_text(example)
    for name in ("VRU_API_GATEWAY_REDIS_PASSWORD", "VRU_API_GATEWAY_TAG", "VRU_REDIS_CONFIG_DIGEST"):
        for broken in (re.sub(rf"^{name}=.*$", f"{name}=''", text, flags=re.M), re.sub(rf"(?m)^{name}=.*\n", "", text)):
            code, _, errors = compose_config(broken)
            assert code != 0
            assert name in errors


def test_it_is_the_papers_services(config: dict[str, Any]) -> None:
    assert config["name"] == "vru-platform"
    assert {
        "postgres", "redis", "api_gateway", "ml_engine", "camera_service", "validation_engine", "validation_worker",
        "frontend", "nginx", "prometheus", "grafana",
    } <= set(config["services"])  # fmt: skip


@pytest.mark.parametrize(
    ("address", "host_ip"), [("0.0.0.0", "0.0.0.0"), ("192.0.2.7", "192.0.2.7"), ("fd00::5", "fd00::5"), ("::", None)]
)
def test_nginx_listens_where_the_operator_says(
    example: Environment, compose_config: ComposeConfig, address: str, host_ip: str | None
) -> None:
    code, out, errors = compose_config(env_text(example.replace(VRU_PUBLISH_ADDRESS=address)))
    assert code == 0, errors
    ports = json.loads(out)["services"]["nginx"]["ports"]
    # The last one is not published at all: a place of its own on the loopback address, where nobody listens.
    assert {port.get("host_ip") for port in ports if port.get("published")} == {host_ip}
    assert {port["published"] for port in ports if port.get("published")} == {"80", "3000", "8000", "3001"}
    assert [(one["host_ip"], one["target"]) for one in ports if not one.get("published")] == [("127.0.0.1", 8443)]


def test_with_tls_every_published_port_leads_to_where_nginx_speaks_it(
    example: Environment, compose_config: ComposeConfig
) -> None:
    code, out, errors = compose_config(env_text(example.replace(VRU_TLS="selfsigned")))
    assert code == 0, errors
    services = json.loads(out)["services"]
    assert {(int(port["published"]), port["target"]) for port in services["nginx"]["ports"]} == {
        (80, 8082), (443, 8443), (3000, 3443), (8000, 8444), (3001, 3444),
    }  # fmt: skip
    grafana = services["grafana"]["environment"]
    assert grafana["GF_SERVER_ROOT_URL"] == "https://192.0.2.10:3001/"
    assert grafana["GF_SECURITY_COOKIE_SECURE"] == "true"


def test_only_nginx_publishes_ports_and_they_are_the_papers(config: dict[str, Any]) -> None:
    published = {
        name: {(int(port.get("published") or 0), port["target"]) for port in service["ports"]}
        for name, service in config["services"].items()
        if service.get("ports")
    }
    published = {name: {one for one in ports if one[0]} for name, ports in published.items()}
    assert published == {"nginx": {(80, 8080), (3000, 3000), (8000, 8000), (3001, 3001)}}


def test_every_container_is_locked_down(config: dict[str, Any]) -> None:
    for name, service in config["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert not service.get("cap_add"), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service["user"].startswith("0"), name
        assert service["init"] is True, name
        assert not service.get("privileged"), name
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}, name
        limits = service["deploy"]["resources"]["limits"]
        assert limits["cpus"] and limits["memory"] and limits["pids"], name
        assert service["labels"]["vru.project"] == "vru-platform", name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped"), name


def test_the_papers_limits(config: dict[str, Any]) -> None:
    gib = 1024**3
    for name, (cpus, memory) in {
        "api_gateway": (3, 3),
        "ml_engine": (4, 4),
        "postgres": (2, 2),
        "frontend": (1, 1),
    }.items():
        limits = config["services"][name]["deploy"]["resources"]["limits"]
        assert (float(limits["cpus"]), int(limits["memory"])) == (cpus, memory * gib)


def test_every_service_has_a_health_check_where_its_image_can_ask(config: dict[str, Any]) -> None:
    without = {name for name, service in config["services"].items() if not service.get("healthcheck")}
    assert without == NO_HEALTH_CHECK


def test_configs_are_mounted_read_only_and_as_directories(config: dict[str, Any]) -> None:
    made = {directory.path for directory in directories()} | {
        "/".join(path.split("/")[:depth]) for path in render_paths() for depth in range(1, path.count("/") + 1)
    }
    for name, service in config["services"].items():
        for volume in service.get("volumes", []):
            assert volume["type"] == "bind", name
            source = volume["source"]
            if "/data/" not in source and "/config/" not in source and not source.endswith("/models"):
                assert name == "node_exporter"
                assert volume["read_only"] is True
                continue
            relative = re.sub(r"^.*?/(data|config|models)(/|$)", r"\1\2", source)
            assert relative in made, f"{name}: nobody makes {relative}"
            if relative.startswith(("config", "models")):
                assert volume["read_only"] is True, f"{name} may write {relative}"


def render_paths() -> list[str]:
    from vru.deploy.release.configuration import FILES

    return [path for path in FILES if not path.startswith("/")]


def test_who_reads_configs_mounts_them_and_carries_their_digest(config: dict[str, Any]) -> None:
    for name, service in config["services"].items():
        mounted = any(f"/{CONFIG}" in volume["source"] for volume in service.get("volumes", []))
        assert mounted == (bool(LAPTOP[name].config) or name == "nginx"), name
        assert ("vru.config-digest" in service["labels"]) == bool(LAPTOP[name].config), name
    assert [name for name, one in LAPTOP.items() if one.config] == sorted(CONFIGURED, key=list(LAPTOP).index)


def test_secrets_are_only_where_they_are_needed(config: dict[str, Any], example: Environment) -> None:
    assert set(NEEDED) == {variable.name for variable in VARIABLES.values() if variable.secret}
    values = {**example.values, **example.service_secrets}
    for secret, services in NEEDED.items():
        having = {name for name, service in config["services"].items() if values[secret] in json.dumps(service)}
        assert having == services, secret
    for service in config["services"].values():
        argv = json.dumps([service.get("command"), service.get("entrypoint"), service.get("healthcheck")])
        assert not [secret for secret in example.secrets() if secret in argv]


def test_only_who_needs_it_has_a_way_out(config: dict[str, Any]) -> None:
    assert config["networks"]["internal"]["internal"] is True
    assert config["networks"]["stores"]["internal"] is True
    out = {
        name
        for name, service in config["services"].items()
        if {"edge", "outbound", "alerting"} & set(service.get("networks") or {})
    }
    assert out == {"nginx", "camera_service", "alertmanager"}
    stores = {name for name, service in config["services"].items() if "stores" in (service.get("networks") or {})}
    users = {"api_gateway", "camera_service", "validation_engine", "validation_worker", "migrate", "signer"}
    assert stores == users | {"postgres", "redis", "redis_exporter"}


SERVICES = {"api_gateway", "ml_engine", "camera_service", "validation_engine", "validation_worker", "frontend"}


def test_only_who_needs_whom_shares_a_network(config: dict[str, Any]) -> None:
    """Nothing that a service could be made to ask stands in its networks but the door, and who watches it."""
    networks = {name: set(service.get("networks") or {}) for name, service in config["services"].items()}
    seen = {other for name in SERVICES for other in networks if other != name and networks[name] & networks[other]}
    unseen = {"alertmanager", "node_exporter", "postgres_exporter"}
    assert not unseen & seen
    assert config["networks"]["monitoring"]["internal"] is True
    watched = {name for name, found in networks.items() if "monitoring" in found}
    assert watched == unseen | {"prometheus", "redis_exporter", "nginx_exporter", "blackbox_exporter"}
    for name in ("nginx_exporter", "blackbox_exporter", "prometheus"):
        assert networks[name] & networks["nginx"], f"{name} does not reach nginx"
    callers = {name for name, found in networks.items() if "signing" in found}
    assert callers == {"signer", "validation_engine", "validation_worker", "prometheus"}
    assert networks["signer"] == {"signing", "stores"} and config["networks"]["signing"]["internal"] is True
    for name in EXPORTERS:
        assert networks["prometheus"] & networks[name], f"Prometheus does not reach {name}"
    for name in SERVICES:
        assert networks["prometheus"] & networks[name] and networks["nginx"] & networks[name], name


def test_only_the_gateway_writes_media(config: dict[str, Any]) -> None:
    writers = {
        name
        for name, service in config["services"].items()
        for volume in service.get("volumes", [])
        if volume["source"].endswith("/data/media") and not volume.get("read_only")
    }
    assert writers == {"api_gateway"}


def test_images_are_the_built_ones_and_the_pulled_ones(config: dict[str, Any], example: Environment) -> None:
    built = {image.image: image for image in images(ROOT, example)}
    used = {service["image"] for service in config["services"].values()}
    built_upon = {example[name] for name in BUILD_IMAGES}
    assert used == set(built) | set(public_images(example))
    assert built_upon == set(base_images(example))
    for name in BUILT:
        assert set(config["services"][name]["build"]["args"].values()) == built_upon
    for name in BUILT:
        service = config["services"][name]
        assert service["build"]["target"] == built[service["image"]].target
    assert config["services"]["validation_worker"]["image"] == config["services"]["validation_engine"]["image"]


def test_what_is_recreated_in_place_depends_on_nothing_that_is_replaced_beside_itself(config: dict[str, Any]) -> None:
    """Compose would recreate those as well, and cut off their users."""
    for name, service in config["services"].items():
        if name not in ROLLING and "tools" not in service.get("profiles", ()):
            assert not set(service.get("depends_on") or {}) & ROLLING, name


def test_the_program_asks_services_where_they_answer(config: dict[str, Any]) -> None:
    for name, one in TOPOLOGY.items():
        if one.ready:
            assert f"http://127.0.0.1:{one.port}{one.ready}" in config["services"][name]["healthcheck"]["test"]
        assert bool(one.ready) == (one.rollout == "rolling"), name


def test_services_reach_each_other_through_nginx_and_may_finish_what_they_began(config: dict[str, Any]) -> None:
    for name in ROLLING:
        service = config["services"][name]
        urls = {key: value for key, value in service["environment"].items() if key.endswith("_URL")}
        ports = {one.name: one.proxy_port for one in LAPTOP.values() if one.proxy_port} | {"api_gateway": 8000}
        signer = urls.pop("VRU_SIGNER_URL", None)
        assert (signer == "http://signer:8005") is (name in ("validation_engine", "validation_worker"))
        assert urls == {f"VRU_{other.upper()}_URL": f"http://nginx:{port}" for other, port in ports.items()}
        assert service["stop_grace_period"] == f"{rollout.DRAIN_S // 60}m{rollout.DRAIN_S % 60}s"
    assert DRAIN_S < rollout.DRAIN_S
