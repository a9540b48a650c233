"""`vru exec` over a real sshd; only the `docker` on its other side is a stand-in, which runs the program itself."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest
from tests.deploy.sshd import Sshd, needs_sshd, opened, running

from vru.deploy.access import container_exec
from vru.deploy.ssh.connection import Server

pytestmark = needs_sshd
PATIENCE_S = 40.0

_DOCKER_STAND_IN = """#!/bin/sh
# docker exec --interactive [--tty] CONTAINER PROGRAM [ARGUMENT...]
shift
while [ "${1#--}" != "$1" ]; do shift; done
shift
exec "$@"
"""


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    home, programs = tmp_path / "home", tmp_path / "programs"
    home.mkdir()
    programs.mkdir()
    (programs / "docker").write_text(_DOCKER_STAND_IN)
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with running(tmp_path / "sshd", f"SetEnv PATH={programs}:/usr/bin:/bin") as server:
        yield server


class Keyboard:
    """A terminal that is this process's standard input and output, and whoever sits before it."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.resize(31, 97)
        self.before = termios.tcgetattr(self.theirs)
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        """The kernel tells nobody: this terminal is not the tests' own."""
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def ask(self, text: str, wanted: str) -> None:
        """Type a question again and again, until the answer is the wanted one."""
        end = time.monotonic() + PATIENCE_S
        while wanted not in self.seen:
            assert time.monotonic() < end, f"no {wanted!r} in {self.seen!r}"
            self.type(text)
            while wanted not in self.seen and select.select([self.ours], [], [], 1.0)[0]:
                self.seen += os.read(self.ours, 65536).decode(errors="replace")


@pytest.fixture
def keyboard() -> Iterator[Keyboard]:
    one = Keyboard()
    yield one
    os.close(one.ours)
    os.close(one.theirs)


@contextmanager
def streams(**streams: TextIO) -> Iterator[None]:
    """Other standard streams, put in place within the test: pytest puts its own there before each phase."""
    with pytest.MonkeyPatch.context() as patch:
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        yield


def run(server: Server, keyboard: Keyboard) -> int:
    """A shell in a container, on this terminal."""
    with (
        os.fdopen(keyboard.theirs, "r", closefd=False) as stdin,
        os.fdopen(keyboard.theirs, "w", closefd=False) as stdout,
        streams(stdin=stdin, stdout=stdout),
    ):
        return container_exec.run(server, "postgres", ["sh"], terminal=True)


class LockWithSignal:
    """paramiko's lock on what is sent; when armed, a signal comes just after the main thread has taken it."""

    def __init__(self, lock: Any) -> None:
        self.lock, self.armed, self.raised, self.taken_s = lock, False, False, 0.0

    def acquire(self) -> None:
        # Who waits for himself waits for ever: the test says so and ends.
        assert self.lock.acquire(timeout=PATIENCE_S / 4), "the lock is never given back"
        if self.armed and threading.current_thread() is threading.main_thread():
            self.armed, self.raised = False, True
            begun = time.monotonic()
            signal.raise_signal(signal.SIGWINCH)  # its handler has run when this returns
            self.taken_s = time.monotonic() - begun

    def release(self) -> None:
        self.lock.release()


def played(by: Callable[[], None], and_then: Callable[[], None]) -> threading.Thread:
    """The user, in a thread: the main thread is the one that gets signals. Whatever becomes of it, the program ends."""

    def play() -> None:
        try:
            by()
        finally:
            and_then()

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    return thread


def test_a_resize_is_told_though_its_signal_comes_while_the_connection_is_locked(
    sshd: Sshd, keyboard: Keyboard
) -> None:
    with opened(sshd) as server:
        transport = server.connection.transport
        transport.clear_to_send_lock = lock = LockWithSignal(transport.clear_to_send_lock)

        def user() -> None:
            keyboard.ask("stty size\n", "31 97")
            keyboard.resize(40, 120)
            lock.armed = True  # the next key that is sent takes the lock
            keyboard.ask("stty size\n", "40 120")

        thread = played(user, lambda: keyboard.type("exit 9\n"))
        assert run(server, keyboard) == 9
        thread.join(PATIENCE_S)
        assert lock.raised
        assert lock.taken_s < PATIENCE_S / 8  # it waited for nothing
        assert re.search(r"31 97[^!]*40 120", keyboard.seen)
        assert termios.tcgetattr(keyboard.theirs) == keyboard.before


def test_a_resize_before_anybody_listens_for_it_is_told(
    sshd: Sshd, keyboard: Keyboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(sshd) as server:
        opening = server.session

        def slow(*arguments: Any) -> Any:
            keyboard.resize(40, 120)
            return opening(*arguments)

        monkeypatch.setattr(type(server), "session", lambda _server, *arguments: slow(*arguments))
        thread = played(lambda: keyboard.ask("stty size\n", "40 120"), lambda: keyboard.type("exit\n"))
        assert run(server, keyboard) == 0
        thread.join(PATIENCE_S)
        assert "31 97" not in keyboard.seen


def test_the_terminal_is_as_it_was_when_the_program_is_ended(sshd: Sshd, keyboard: Keyboard) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP)]
    with opened(sshd) as server:
        thread = played(lambda: keyboard.ask("stty size\n", "31 97"), lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit) as ended:
            run(server, keyboard)
        assert ended.value.code == 128 + signal.SIGTERM
        thread.join(PATIENCE_S)
    assert termios.tcgetattr(keyboard.theirs) == keyboard.before
    assert [signal.getsignal(n) for n in (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP)] == handlers


def test_without_a_terminal_the_streams_and_the_exit_code_are_the_programs_own(sshd: Sshd, tmp_path: Path) -> None:
    given, answer, errors = (tmp_path / name for name in ("input", "output", "errors"))
    given.write_text("one\ntwo\n")
    with (
        opened(sshd) as server,
        given.open() as stdin,
        answer.open("w") as stdout,
        errors.open("w") as stderr,
        streams(stdin=stdin, stdout=stdout, stderr=stderr),
    ):
        code = container_exec.run(server, "postgres", ["sh", "-c", "cat; echo bad >&2; exit 7"], terminal=False)
    assert (code, answer.read_text(), errors.read_text()) == (7, "one\ntwo\n", "bad\n")
