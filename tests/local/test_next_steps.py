"""What the demo suggests next can be typed where one stands."""

from pathlib import Path

import pytest

from vru.local.cli import _print_next_steps
from vru.local.output import Output


def test_outside_of_a_project_one_is_laid_out_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _print_next_steps(Output(), None)
    said = capsys.readouterr().out
    assert " new my-platform && " in said and " init --project my-platform --host" in said
    (tmp_path / "docker-compose.production.yml").touch()
    _print_next_steps(Output(), None)
    said = capsys.readouterr().out
    assert "my-platform" not in said and " init --host YOUR-SERVER && " in said
