"""The terminal of ``vru exec`` here: against a real sshd, on a pseudo-terminal of this test's own."""

import os
import pty
import select
import signal
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.deploy.sshd import needs_sshd, opened, running

from vru.deploy.access import container_exec
from vru.deploy.ssh.connection import Server, Terminal

pytestmark = needs_sshd


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with running(tmp_path / "sshd") as sshd, opened(sshd) as connection:
        yield connection


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end of a terminal at which a person types; its other end is this process's standard input."""
    ours, theirs = pty.openpty()
    monkeypatch.setattr("sys.stdin", os.fdopen(os.dup(theirs)))
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)
    # Python asks this one for the size.
    monkeypatch.setattr("sys.__stdout__", os.fdopen(os.dup(theirs), "w"))
    yield ours
    os.close(ours)
    os.close(theirs)


def test_a_new_size_that_comes_while_the_connection_is_locked_is_told_afterwards(
    server: Server, keyboard: int, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["sh", "-c", "read -r line; stty size"]
    with server.session(command, Terminal("xterm", 80, 24)) as channel, container_exec._raw_terminal() as resized:
        lock = channel.get_transport().clear_to_send_lock
        with lock:
            # Without this a handler that waits for the lock would wait for ever.
            rescue = threading.Timer(20, lock.release)
            rescue.start()
            termios.tcsetwinsize(keyboard, (40, 120))
            signal.raise_signal(signal.SIGWINCH)
            assert lock.locked(), "the handler waited for the connection"
            rescue.cancel()
        assert select.select([resized], [], [], 20)[0]
        os.write(keyboard, b"\n")
        assert container_exec._with_terminal(channel, resized) == 0
    assert "40 120" in capfd.readouterr().out


def test_the_terminal_and_the_handlers_are_as_before(keyboard: int) -> None:
    before = termios.tcgetattr(keyboard), signal.getsignal(signal.SIGWINCH)
    with container_exec._raw_terminal() as resized:
        signal.raise_signal(signal.SIGWINCH)
        assert os.read(resized, 10) == b"\0"
    assert (termios.tcgetattr(keyboard), signal.getsignal(signal.SIGWINCH)) == before
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(resized)
