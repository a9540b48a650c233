"""What a login prints, and a login shell of another kind, do not reach a command: against a real sshd."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.deploy.sshd import Sshd, needs_sshd, opened, running

from vru.deploy.server.facts import gather
from vru.deploy.ssh.connection import ConnectionFailedError, Server, Terminal
from vru.deploy.ssh.markers import MarkedOutput

pytestmark = needs_sshd

NOISE = "echo Welcome to this server; echo have a nice day >&2; printf 'no newline'; printf 'none' >&2;"
# Quotes, a newline, a backslash, a history mark and a dollar sign: each is special to one shell or another.
ODD = "a'b \"c\" !d \\e\n$HOME `id` \\' end"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AbstractContextManager[Sshd]]:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return lambda *options: running(tmp_path / "sshd", *options)


@pytest.fixture(params=["sh", "bash", "tcsh", "fish"])
def server(request: pytest.FixtureRequest, start: Callable[..., AbstractContextManager[Sshd]]) -> Iterator[Server]:
    """A server whose login prints on both streams, and then reads the command with this shell."""
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"needs {request.param}")
    login = f'ForceCommand {NOISE} exec {shell} -c "$SSH_ORIGINAL_COMMAND"'
    with start(login) as sshd, opened(sshd) as connection:
        yield connection


def test_a_commands_answer_is_its_own(server: Server) -> None:
    completed = server.run(["sh", "-c", "cat; echo bad >&2; exit 7"], stdin=b"one\ntwo", check=False)
    assert (completed.exit_code, completed.stdout, completed.stderr) == (7, "one\ntwo", "bad\n")
    assert server.run(["printf", "%s", ODD]).stdout == ODD
    facts = gather(server)
    assert facts.cpus > 0


def test_a_session_begins_with_the_commands_own_output(server: Server) -> None:
    with server.session(["sh", "-c", "cat; echo bad >&2"]) as channel:
        channel.sendall(b"in\n")
        channel.shutdown_write()
        assert channel.makefile("rb").read() == b"in\n"
        assert channel.makefile_stderr("rb").read() == b"bad\n"


def test_a_terminal_begins_with_the_commands_own_output(server: Server) -> None:
    with server.session(["sh", "-c", "test -t 0 && echo terminal"], Terminal("xterm", 80, 24)) as channel:
        assert channel.makefile("rb").read() == b"terminal\r\n"


def test_a_login_that_ends_before_the_command_is_one_clear_sentence(
    start: Callable[..., AbstractContextManager[Sshd]],
) -> None:
    said = "This account is currently not available"
    with start(f"ForceCommand echo {said}.; exit 1") as sshd, opened(sshd) as server:
        with pytest.raises(ConnectionFailedError, match=f"ended before the command could run.*{said}"):
            server.run(["true"], check=False)
        with pytest.raises(ConnectionFailedError, match="ended before the command could run"), server.session(["true"]):
            pytest.fail("there is no session")


def test_the_marker_is_found_across_pieces() -> None:
    pieces = iter([b"noise MAR", b"K", b"\nown", b" words", b""])
    stream = MarkedOutput(lambda _size: next(pieces), "MARK")
    assert [stream.read(10), stream.read(10), stream.read(10)] == [b"own", b" words", b""]
