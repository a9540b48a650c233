"""The page repeats a few things of the Python side: here they are kept equal."""

import json
import re

from vru.domain import DEFAULT_CRITERIA, Criterion
from vru.domain.metrics import CAMERA_METRICS, MODEL_METRICS
from vru.frontend.build import WEB
from vru.frontend.metrics import typescript
from vru.gateway.app import create_gateway
from vru.gateway.settings import GatewaySettings


def test_the_metrics_and_default_criteria_are_the_domains() -> None:
    assert (WEB / "src/lib/metrics.gen.ts").read_text() == typescript(), "A metric changed: run `make client`."


def test_the_generated_metrics_are_those_of_the_domain() -> None:
    text = typescript()
    metrics = json.loads(text.split("export const METRICS = ")[1].split(" satisfies ")[0])
    assert list(metrics) == [*MODEL_METRICS, *CAMERA_METRICS]
    assert metrics["recall"]["better"] == ">=" and metrics["recall"]["most"] == 1
    assert metrics["latency_p95_ms"]["unit"] == "ms" and metrics["latency_p95_ms"]["better"] == "<="
    assert metrics["offset_ms"]["least"] is None and metrics["early_signals"]["exact"]
    criteria = json.loads(text.split("export const DEFAULT_CRITERIA = ")[1].split(" as const")[0])
    assert [Criterion(**row) for row in criteria] == list(DEFAULT_CRITERIA)


def test_the_page_tells_the_kinds_of_runs_apart_by_kind_alone() -> None:
    pages = [path for path in (WEB / "src").rglob("*.ts*") if "generated" not in path.parts]
    assert not [path for path in pages if re.search(r'"(clocks|tolerance_ms)" in ', path.read_text())]


def test_the_client_was_generated_from_the_gateways_present_description() -> None:
    stored = json.loads((WEB / "openapi.json").read_text())
    app = create_gateway(GatewaySettings(secret_key="s" * 32, admin_email="a@example.com", admin_password="p" * 12))
    present = json.loads(json.dumps(app.openapi()))
    stored["info"].pop("version", None)
    present["info"].pop("version", None)
    assert stored == present, "The API changed: run `make client`."


def test_the_generated_client_has_every_operation() -> None:
    operations = {
        operation["operationId"]
        for path in json.loads((WEB / "openapi.json").read_text())["paths"].values()
        for operation in path.values()
    }
    sdk = (WEB / "src/api/generated/sdk.gen.ts").read_text()
    generated = {name.lower() for name in re.findall(r"^export const (\w+)", sdk, re.MULTILINE)}
    assert {operation.replace("_", "").lower() for operation in operations} <= generated
