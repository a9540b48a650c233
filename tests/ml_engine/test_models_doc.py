"""The cards in docs/models.md are cards."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter
from tests.ml_engine.onnx_models import card

from vru.ml_engine.fetching import catalogue
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.onnx.outputs import Output
from vru.ml_engine.repository import ModelCard

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
WHOLE, OUTPUTS = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def test_the_card_of_the_page_is_valid_and_names_every_key() -> None:
    model = ModelCard.model_validate(WHOLE)
    parameters = OnnxParameters.model_validate(model.parameters)
    assert set(WHOLE) == set(ModelCard.model_fields)
    assert set(WHOLE["parameters"]) == set(OnnxParameters.model_fields)
    named = set(WHOLE["parameters"]["input"]) | {"size_input"}
    assert named == set(type(parameters.input).model_fields)
    assert set(model.classes) == parameters.road_users()


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output["adapter"])
def test_outputs_of_the_page_are_valid(output: dict[str, Any]) -> None:
    assert card({"file": "model.onnx", "sha256": "0" * 64}, output).output.adapter == output["adapter"]


def test_every_adapter_is_on_the_page() -> None:
    schema = TypeAdapter(Output).json_schema()
    assert set(schema["discriminator"]["mapping"]) == {output["adapter"] for output in OUTPUTS}


def test_everything_that_can_be_fetched_is_on_the_page() -> None:
    assert all(f"vru model fetch {name}" in PAGE for name in catalogue())
