"""`vru init` before a server that has, or has not, passwords of an earlier deployment: against a real sshd."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.deploy.sshd import Sshd, known_hosts, needs_sshd, running

from vru.cli import main
from vru.deploy.commands import deploy

pytestmark = needs_sshd
WORDS = "runs the platform already, with passwords of its own"


def init(sshd: Sshd, project: Path, *more: str) -> str:
    arguments = ["init", "--project", str(project), "--host", "127.0.0.1", "--port", str(sshd.port)]
    done = CliRunner().invoke(main, [*arguments, "--key", str(sshd.key), *more])
    assert done.exit_code == 0, done.output
    return done.output


def test_passwords_on_the_server_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(deploy, "ROOT", str(tmp_path / "server"))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "server").mkdir()
    project = tmp_path / "project"
    project.mkdir()
    with running(tmp_path / "sshd") as sshd:
        known_hosts().write_text(sshd.known())
        assert WORDS not in init(sshd, project)
        (tmp_path / "server" / ".env").write_text("X=1\n")
        # The file's passwords are kept, so nothing would be replaced.
        assert WORDS not in init(sshd, project, "--force")
        (project / ".env.production").unlink()
        said = init(sshd, project)
        assert WORDS in said
        assert f"{tmp_path}/server/.env on the server" in said
        assert "Wrote" in said
        # A host key that nobody has accepted is nothing to ask about here.
        known_hosts().unlink()
        (project / ".env.production").unlink()
        assert WORDS not in init(sshd, project)
        assert not known_hosts().exists()
