"""docs/api.md names only what the API has."""

import re
from pathlib import Path

import pytest

from vru.gateway.app import PREFIX, create_gateway
from vru.gateway.settings import GatewaySettings

GUIDE = Path(__file__).parents[2] / "docs" / "api.md"
VARIABLES = {
    "SOURCE": "source_id",
    "LIVE": "live_run_id",
    "PROJECT": "project_id",
    "VIDEO": "video_id",
    "TRUTH": "ground_truth_id",
    "RUN": "run_id",
} | {
    "FORM": "form",
    "SIGNALS": "signals_id",
    "DATASET": "data_set_id",
    "VERSION": "number",
    "PREDICTIONS": "predictions_id",
}


@pytest.fixture(scope="module")
def paths():
    settings = GatewaySettings(secret_key="x" * 32, admin_email="a@b", admin_password="p" * 8)
    return create_gateway(settings).openapi()["paths"]


def test_every_address_in_the_guide_exists(paths):
    found = re.findall(r"\$API(/[\w/${}.-]+)", GUIDE.read_text(encoding="utf-8"))
    assert len(found) > 20
    for address in found:
        path = PREFIX + re.sub(r"\$(\w+)", lambda match: f"{{{VARIABLES[match[1]]}}}", address)
        assert path in paths, address


def test_every_noun_is_in_the_guide(paths):
    guide = GUIDE.read_text(encoding="utf-8")
    for path in paths:
        noun = path.removeprefix(PREFIX).split("/")[1]
        assert f"/{noun}" in guide, noun
