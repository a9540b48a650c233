"""The page repeats a few things of the Python side: here they are kept equal."""

import json
import re

from vru.domain import DEFAULT_CRITERIA
from vru.frontend.build import WEB
from vru.gateway.app import create_gateway
from vru.gateway.settings import GatewaySettings


def test_the_editors_default_criteria_are_the_platforms() -> None:
    shown = json.loads((WEB / "src/lib/default-criteria.json").read_text())
    assert shown == [
        {"metric": item.metric, "comparator": item.comparator, "threshold": item.threshold} for item in DEFAULT_CRITERIA
    ]


def test_the_client_was_generated_from_the_gateways_present_description() -> None:
    stored = json.loads((WEB / "openapi.json").read_text())
    app = create_gateway(GatewaySettings(secret_key="s" * 32, admin_email="a@example.com", admin_password="p" * 12))
    present = json.loads(json.dumps(app.openapi()))
    stored["info"].pop("version", None)
    present["info"].pop("version", None)
    assert stored == present, (
        "The API changed. In src/vru/frontend/web: python -m vru.gateway.openapi > openapi.json && npm run client"
    )


def test_the_generated_client_has_every_operation() -> None:
    operations = {
        operation["operationId"]
        for path in json.loads((WEB / "openapi.json").read_text())["paths"].values()
        for operation in path.values()
    }
    sdk = (WEB / "src/api/generated/sdk.gen.ts").read_text()
    generated = {name.lower() for name in re.findall(r"^export const (\w+)", sdk, re.MULTILINE)}
    assert {operation.replace("_", "").lower() for operation in operations} <= generated
