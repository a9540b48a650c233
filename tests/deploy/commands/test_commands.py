"""`vru` as its user types it, where no server is needed."""

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VRU = Path(sys.executable).with_name("vru")


def vru(project: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [VRU, *arguments], cwd=project, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )


def test_init_then_validate_and_render(project: Path) -> None:
    assert vru(project, "init", "--host", "127.0.0.1", "--port", "2222").returncode == 0
    file = project / ".env.production"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "VRU_HOST=127.0.0.1\n" in file.read_text()
    assert "VRU_SSH_PORT=2222\n" in file.read_text()
    done = vru(project, "validate", "--local")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing would stop a deployment" in done.stdout
    rendered = json.loads(vru(project, "render", "--json").stdout.splitlines()[-1])
    assert rendered["ok"]
    assert "config/production/nginx.conf" in rendered["changed"]
    assert (project / "config/production/nginx.conf").is_file()
    assert json.loads(vru(project, "render", "--json").stdout.splitlines()[-1])["changed"] == []


def test_the_papers_script_is_the_same_command(project: Path) -> None:
    done = subprocess.run(
        [ROOT / "deploy-production.sh", "validate", "--local"],
        cwd=project,
        capture_output=True,
        text=True,
        env={"PATH": f"{VRU.parent}:/usr/bin:/bin", "HOME": str(project)},
        check=False,
    )
    assert done.returncode == 1
    assert "vru init" in done.stdout


def test_the_papers_script_works_from_another_folder_and_through_a_link(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = project.rename(project.with_name("my project"))
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/vru").symlink_to(VRU)
    shutil.copy2(ROOT / "deploy-production.sh", project)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "deploy").symlink_to(project / "deploy-production.sh")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(elsewhere)}

    def run(program: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [program, *arguments], cwd=elsewhere, capture_output=True, text=True, env=environment, check=False
        )

    assert run(project / "deploy-production.sh", "init", "--host", "127.0.0.1", "--port", "9").returncode == 0
    assert (project / ".env.production").is_file()
    done = run(elsewhere / "deploy", "validate", "--local")
    assert done.returncode == 0, done.stdout + done.stderr
    # Where there is no vru at all, it says how to get one.
    (project / ".venv/bin/vru").unlink()
    done = run(project / "deploy-production.sh", "validate")
    assert done.returncode == 1
    assert f"fix: cd '{project}' && make install" in done.stderr


def test_init_keeps_an_existing_file_and_its_passwords(project: Path) -> None:
    vru(project, "init", "--host", "one.example")
    before = (project / ".env.production").read_text()
    refused = vru(project, "init", "--host", "two.example")
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert (project / ".env.production").read_text() == before
    assert vru(project, "init", "--host", "two.example", "--force").returncode == 0
    after = (project / ".env.production").read_text()
    assert after == before.replace("VRU_HOST=one.example", "VRU_HOST=two.example")


def test_init_leaves_to_ssh_what_its_configuration_says(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project))
    (project / ".ssh").mkdir()
    (project / ".ssh" / "config").write_text("Host production\n  HostName 192.0.2.7\n  User ada\n  Port 2200\n")
    assert vru(project, "init", "--host", "production").returncode == 0
    text = (project / ".env.production").read_text()
    assert {"VRU_HOST=production", "VRU_SSH_PORT=", "VRU_SSH_USER=", "VRU_EXTERNAL_IP=192.0.2.7"} <= set(
        text.split("\n")
    )
    assert vru(project, "init", "--host", "192.0.2.8", "--force").returncode == 0
    text = (project / ".env.production").read_text()
    assert {"VRU_HOST=192.0.2.8", "VRU_SSH_PORT=", "VRU_SSH_USER=root", "VRU_EXTERNAL_IP="} <= set(text.split("\n"))


def test_what_is_missing_is_said_with_the_fix_and_as_json(project: Path) -> None:
    plain = vru(project, "deploy")
    assert plain.returncode == 1
    assert plain.stderr.startswith("error: ")
    assert "\nfix: Make it with: vru init" in plain.stderr
    last = json.loads(vru(project, "deploy", "--json").stdout.splitlines()[-1])
    assert (last["event"], last["ok"]) == ("end", False)
    assert "vru init" in last["fix"]


def test_validate_says_all_at_once_also_what_is_wrong_with_the_environment_file(project: Path) -> None:
    vru(project, "init", "--host", "server.example")
    file = project / ".env.production"
    text = file.read_text().replace("VRU_HTTP_PORT=80\n", "VRU_HTTP_PORT=eighty\n")
    file.write_text(text.replace("VRU_LOG_LEVEL=INFO\n", "VRU_LOG_LEVEL=LOUD\n"))
    (project / "Dockerfile").unlink()
    done = vru(project, "validate")
    assert done.returncode == 1
    for words in ("VRU_HTTP_PORT", "VRU_LOG_LEVEL", "lacks Dockerfile"):
        assert words in done.stdout
    assert "3 problems would stop a deployment" in done.stderr
    last = json.loads(vru(project, "validate", "--json").stdout.splitlines()[-1])
    assert not last["ok"]
    assert len([check for check in last["checks"] if check["state"] == "problem"]) == 3


def test_a_wrong_template_stops_validation(project: Path) -> None:
    vru(project, "init", "--host", "server.example")
    template = project / "templates" / "redis.conf.j2"
    template.write_text(template.read_text() + "{{ no_such_variable }}\n")
    done = vru(project, "validate", "--local")
    assert done.returncode == 1
    assert "redis.conf.j2" in done.stdout
    assert "no_such_variable" in done.stdout


def test_wrong_usage_is_exit_code_2(project: Path) -> None:
    assert vru(project, "deploy", "--nonsense").returncode == 2
    assert vru(project, "nonsense").returncode == 2


def test_help_imports_no_room() -> None:
    code = (
        "import sys; from vru.cli import main; main(['--help'], standalone_mode=False);"
        "loaded = {name.split('.')[1] for name in sys.modules if name.startswith('vru.')};"
        "heavy = {'fabric', 'paramiko', 'jinja2', 'numpy', 'fastapi', 'rich'} & set(sys.modules);"
        "assert loaded == {'cli'} and not heavy, (loaded, heavy)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
