"""Every variable that the project reads is in .env.production.example, and the reverse."""

import importlib
import re
from pathlib import Path

import pytest
from tests.deploy.conftest import ROOT

from vru.deploy.settings.variable import Scope
from vru.deploy.settings.variables import END_MARKER, GROUPS, OLDER_NAMES, VARIABLES, layout
from vru.service.settings import ServiceSettings

EXAMPLE = ROOT / ".env.production.example"
NAME = re.compile(r"\bVRU_[A-Z0-9_]*[A-Z0-9]\b")


def example_names() -> set[str]:
    return set(re.findall(r"(?m)^#?(VRU_[A-Z0-9_]+)=", EXAMPLE.read_text()))


def setting_names() -> set[str]:
    """The variables of all settings classes of all services."""
    for path in sorted((ROOT / "src/vru").glob("*/settings.py")):
        if "ServiceSettings" in path.read_text():
            importlib.import_module(f"vru.{path.parent.name}.settings")
    found: set[str] = set()
    waiting: list[type[ServiceSettings]] = [ServiceSettings]
    while waiting:
        settings = waiting.pop()
        waiting += settings.__subclasses__()
        if settings.__module__.startswith("vru."):
            found |= {f"VRU_{name.upper()}" for name in settings.model_fields}
    return found


def names_in(*paths: Path) -> set[str]:
    return {name for path in paths for name in NAME.findall(path.read_text())}


def sources() -> list[Path]:
    ignored = {"node_modules", "static", "__pycache__"}
    python = [path for path in (ROOT / "src").rglob("*.py") if not ignored & set(path.parts)]
    web = [
        path
        for path in (ROOT / "src/vru/frontend/web").rglob("*.ts*")
        if path.is_file() and not ignored & set(path.parts)
    ]
    others = [ROOT / "docker-compose.production.yml", ROOT / "Dockerfile", ROOT / "deploy-production.sh"]
    return [*python, *web, *(ROOT / "templates").rglob("*.j2"), *(path for path in others if path.is_file())]


def test_every_variable_that_is_read_is_in_the_example() -> None:
    registry = ROOT / "src/vru/deploy/settings/variables.py"
    placeholders = {"VRU_X"}  # in explanations
    # Parts of names that code completes with a service's name.
    completed = {"VRU_"}
    read = names_in(*(path for path in sources() if path != registry)) | setting_names()
    unknown = read - example_names() - placeholders - completed
    assert not unknown


def test_every_variable_in_the_example_is_read() -> None:
    registry = ROOT / "src/vru/deploy/settings/variables.py"
    read = names_in(*(path for path in sources() if path != registry)) | setting_names()
    assert not example_names() - read


def test_the_example_is_what_the_registry_says() -> None:
    text = EXAMPLE.read_text()
    (address,) = re.findall(r"(?m)^VRU_EXTERNAL_IP=(.+)$", text)
    assert text == layout({"VRU_EXTERNAL_IP": address})
    assert text.endswith(f"{END_MARKER}\n")


def test_every_variable_is_described_in_one_line() -> None:
    for variable in VARIABLES.values():
        assert variable.about
        assert "\n" not in variable.about
        assert len(variable.about) <= 120
    assert sum(len(group.variables) for group in GROUPS) == len(VARIABLES), "a variable is listed twice"


@pytest.mark.parametrize("name", [name for name, variable in VARIABLES.items() if variable.check])
def test_defaults_are_allowed(name: str) -> None:
    variable = VARIABLES[name]
    assert variable.check is not None
    if variable.default:
        variable.check(variable.default)


def test_secrets_are_required_and_empty_in_the_example() -> None:
    text = EXAMPLE.read_text()
    # An older file lacks it, and is good without TLS.
    only_with_tls = ("VRU_TLS_SEED",)
    for variable in VARIABLES.values():
        if variable.secret and variable.scope is Scope.GENERATED:
            assert f"\n#{variable.name}=\n" in text
        elif variable.secret:
            assert variable.required is (variable.name not in only_with_tls)
            assert variable.scope is Scope.OPERATOR
            assert f"\n{variable.name}=\n" in text


def test_the_older_names_are_mentioned_but_never_set() -> None:
    text = EXAMPLE.read_text()
    for name in OLDER_NAMES:
        assert name in text
        assert f"\n{name}=" not in text
