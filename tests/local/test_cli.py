"""The command line, where nothing has to run for it."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from vru.local.cli import local


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(local, [*map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["up", "--port", "redis"], "--port 'redis' is not NAME=PORT"),
        (["up", "--port", "nginx=80"], "There is no process called 'nginx'"),
        (["demo", "--port", "redis=99999"], "Port 99999 for redis"),
    ],
)
def test_wrong_ports_are_refused_before_anything_is_made(invoke, tmp_path, arguments, says):
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_own_files_come_in_pairs(invoke, tmp_path):
    video = tmp_path / "video.mp4"
    video.touch()
    result = invoke("demo", "--video", video)
    assert result.exit_code == 2
    assert "--video and --ground-truth belong together" in result.stderr


def test_a_missing_file_is_named(invoke):
    result = invoke("demo", "--video", "no.mp4", "--ground-truth", "no.json")
    assert result.exit_code == 2
    assert "no.mp4" in result.stderr


def test_a_page_that_was_not_built_is_an_error(invoke, tmp_path, monkeypatch):
    monkeypatch.setenv("VRU_FRONTEND_STATIC_DIR", str(tmp_path / "nowhere"))
    result = invoke("up")
    assert result.exit_code == 1
    assert "The page was not built" in result.stderr
    assert "make page" in result.stderr


def test_nothing_running_is_said(invoke):
    assert invoke("status").exit_code == 1
    assert "Nothing runs" in invoke("status").stdout
    assert '"running": false' in invoke("status", "--json").stdout
    assert invoke("down").exit_code == 0


def test_a_data_directory_that_cannot_be_made_is_an_error(invoke, tmp_path):
    (tmp_path / "file").touch()
    result = invoke("up", "--data", tmp_path / "file" / "below")
    assert result.exit_code == 1
    assert "cannot be used" in result.stderr


def test_help_imports_no_service():
    code = "import sys; from vru.local.cli import local; print([m for m in sys.modules if m.split('.')[0] in {names}])"
    names = {"fastapi", "numpy", "psycopg", "redis", "cv2", "av", "rich", "pydantic", "httpx2", "psutil"}
    answer = subprocess.run(
        [sys.executable, "-c", code.format(names=names)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    assert answer.stdout.strip() == "[]"
