"""A service is described in one place: a sixth one needs the compose file, its package and a target, nothing else."""

import json
import re
from pathlib import Path

import pytest
import yaml
from tests.deploy.conftest import ROOT
from tests.deploy.servers import GOOD
from tests.host.containers import container

from vru.deploy.checks.check import problems
from vru.deploy.checks.validation import check_configuration, check_project
from vru.deploy.pipeline.inspection import Target, fit_release
from vru.deploy.release import topology
from vru.deploy.release.compose_file import check
from vru.deploy.settings.environment import Environment
from vru.domain import VruError
from vru.host.docker.compose import View, _service
from vru.host.rolling import rollout, routes

SERVICE = """
  sixth:
    <<: *service
    image: ${VRU_IMAGE_PREFIX:?}/sixth:${VRU_SIXTH_TAG:?}
    build: {context: ., target: sixth, args: *build-args}
    environment: *environment
    volumes: ["./config/production:/etc/vru:ro"]
    networks: [internal]
    healthcheck:
      test: [CMD, python, -m, vru.service.probe, "http://127.0.0.1:8006/ready"]
      <<: *health
    labels:
      vru.project: vru-platform
      vru.config-digest: "${VRU_SIXTH_CONFIG_DIGEST:?}"
      vru.config: ml_config.yaml
      vru.port: "8006"
      vru.metrics: containers
      vru.proxy-port: "8006"
      vru.ready: /ready
      vru.rollout: rolling
      vru.routed: "true"

networks:
"""
TARGET = """
FROM service_packages AS sixth
COPY src/vru/domain/ ${SITE}/domain/
COPY src/vru/service/ ${SITE}/service/
COPY src/vru/sixth/ ${SITE}/sixth/
CMD ["python", "-m", "vru.sixth"]
"""


@pytest.fixture
def with_sixth(project: Path) -> Path:
    file = project / "docker-compose.production.yml"
    file.write_text(file.read_text().replace("\nnetworks:\n", SERVICE, 1))
    with (project / "Dockerfile").open("a") as dockerfile:
        dockerfile.write(TARGET)
    (project / "src/vru/sixth").mkdir()
    (project / "src/vru/sixth/__main__.py").write_text('"""The sixth service."""\n')
    return project


def test_the_laptop_checks_builds_configures_and_scrapes_it(with_sixth: Path, example: Environment) -> None:
    assert problems(check_project(with_sixth)) == []
    assert problems(check_configuration(with_sixth, example, GOOD)) == []
    fitted = fit_release(Target(with_sixth, example, pytest.fail), GOOD)
    [image] = [one for one in fitted.release.manifest.images if one.service == "sixth"]
    assert image.target == "sixth"
    assert fitted.release.environment["VRU_SIXTH_TAG"] == image.image.rpartition(":")[2]
    assert re.fullmatch(r"[0-9a-f]{12}", fitted.release.environment["VRU_SIXTH_CONFIG_DIGEST"])
    assert fitted.release.manifest.file("src/vru/sixth/__main__.py") is not None
    scraped = yaml.safe_load(fitted.rendered["config/production/prometheus.yml"])["scrape_configs"]
    assert [job["dns_sd_configs"][0]["port"] for job in scraped if job["job_name"] == "sixth"] == [8006]
    nginx = fitted.rendered["config/production/nginx.conf"].decode()
    assert "listen 8006 default_server;" in nginx
    assert "proxy_pass http://$sixth;" in nginx
    json.dumps(scraped)


def test_a_change_of_its_package_builds_it_alone(with_sixth: Path, example: Environment) -> None:
    before = fit_release(Target(with_sixth, example, pytest.fail), GOOD).release.manifest.images
    (with_sixth / "src/vru/sixth/__main__.py").write_text("changed = True\n")
    after = fit_release(Target(with_sixth, example, pytest.fail), GOOD).release.manifest.images
    assert [one.service for one, other in zip(before, after, strict=True) if one != other] == ["sixth"]


def test_the_host_program_rolls_it_and_leads_nginx_to_it(with_sixth: Path) -> None:
    raw = yaml.safe_load((with_sixth / "docker-compose.production.yml").read_text())["services"]["sixth"]
    service = _service("sixth", {**raw, "deploy": {}}, "wanted", {})
    view = View({"sixth": service}, {})
    assert (view.rolling, view.routed, view.stateful) == (["sixth"], {"sixth": 8006}, [])
    old = container("sixth", topology=service.topology, digest="earlier")
    [shift] = rollout.shifts(view, [old])
    assert (shift.lacking, shift.old) == (1, (old,))
    text = routes.render(routes.steady(view.routed, [old]), {})
    assert 'map "" $sixth { default "vru-platform-sixth-1:8006"; }' in text
    assert routes.up_to_date(text, [old])


def test_what_the_image_takes_in_is_read_from_the_dockerfile() -> None:
    assert topology.rooms(ROOT, "ml_engine") == ("domain", "media", "ml_engine", "sandbox", "service")
    assert topology.rooms(ROOT, "frontend") == ("domain", "frontend", "service")
    with pytest.raises(VruError, match="no target nothing"):
        topology.rooms(ROOT, "nothing")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('vru.port: "8001"', 'vru.prot: "8001"', "There is no label vru.prot"),
        ("${VRU_ML_ENGINE_TAG:?}", "${VRU_ML_ENGIN_TAG:?}", "VRU_ML_ENGIN_TAG is not a variable"),
    ],
)
def test_a_wrong_label_is_named(old: str, new: str, said: str) -> None:
    text = (ROOT / "docker-compose.production.yml").read_text().replace(old, new, 1)
    assert said in check(text.encode())[0].message


def test_a_port_that_is_none_is_refused(project: Path) -> None:
    file = project / "docker-compose.production.yml"
    file.write_text(file.read_text().replace('vru.proxy-port: "8001"', "vru.proxy-port: many", 1))
    with pytest.raises(VruError, match=r"vru\.proxy-port of the service ml_engine is 'many'"):
        topology.load(project)
