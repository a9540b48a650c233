"""Running a program in a container on the server, as if it ran here: three streams, or a terminal."""

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import paramiko

from vru.deploy.server import host_program
from vru.deploy.ssh.connection import RemoteError, Server, Terminal

_CHUNK = 64 * 1024


def find_container(server: Server, service: str, index: int | None, program: str) -> str:
    """The id of the container that is meant. The server records who asked, and for which program.

    Raises:
        RemoteError: there is no such service, or it does not run.
    """
    arguments = ["find-container", service, "--program", program, *([] if index is None else ["--index", str(index)])]
    return str(host_program.ask(server, *arguments)["id"])


def run(server: Server, container: str, command: Sequence[str], *, terminal: bool, user: str | None = None) -> int:
    """Run a command in a container, its streams ours; on a terminal if ours is one.

    Returns:
        Its exit code.

    Raises:
        ConnectionFailedError: the connection broke.
    """
    options = ["--interactive", *(["--tty"] if terminal else []), *(["--user", user] if user else [])]
    argv = ["docker", "exec", *options, container, *command]
    if not terminal:
        with server.session(argv) as channel:
            return _with_pipes(channel)
    begun = _size()
    with server.session(argv, begun) as channel, _raw_terminal() as resized:
        if _size() != begun:
            _resize(channel)  # before anybody listened for it
        return _with_terminal(channel, resized)


def _with_pipes(channel: paramiko.Channel) -> int:
    threading.Thread(target=_send, args=(channel,), daemon=True).start()
    errors = threading.Thread(target=_copy, args=(channel.recv_stderr, sys.stderr.fileno()), daemon=True)
    errors.start()
    _copy(channel.recv, sys.stdout.fileno())
    errors.join()
    return _exit_code(channel)


def _send(channel: paramiko.Channel) -> None:
    try:
        while data := os.read(sys.stdin.fileno(), _CHUNK):
            channel.sendall(data)
        channel.shutdown_write()
    except (OSError, EOFError):
        # The command ended without reading all of it, or there is no standard input.
        with contextlib.suppress(OSError, EOFError):
            channel.shutdown_write()


def _copy(receive: Callable[[int], bytes], target: int) -> None:
    while data := receive(_CHUNK):
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]


def _with_terminal(channel: paramiko.Channel, resized: int) -> int:
    keyboard = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([channel, keyboard, resized], [], [])
        if resized in ready:
            os.read(resized, _CHUNK)
            _resize(channel)
        if channel in ready:
            data = channel.recv(_CHUNK)
            if not data:
                return _exit_code(channel)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        if keyboard in ready:
            typed = os.read(keyboard, 4096)
            if not typed:
                channel.shutdown_write()
                _copy(channel.recv, sys.stdout.fileno())
                return _exit_code(channel)
            channel.sendall(typed)


def _resize(channel: paramiko.Channel) -> None:
    size = _size()
    # On a connection that has just gone there is nothing to resize.
    with contextlib.suppress(paramiko.SSHException, OSError):
        channel.resize_pty(size.columns, size.rows)


@contextmanager
def _raw_terminal() -> Iterator[int]:
    """Every key goes to the other side, Ctrl-C too; the terminal is as before at every end, a signal's as well.

    Yields:
        The descriptor on which a byte comes when the terminal got another size.
    """
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    resized, changed = os.pipe()
    os.set_blocking(changed, False)

    # A signal comes in the middle of anything, also while the connection holds its locks: the handler only says that
    # it came.
    def resize(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(changed, b"\0")

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    handlers = {signal.SIGWINCH: resize, signal.SIGTERM: leave, signal.SIGHUP: leave}
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        tty.setraw(keyboard)
        yield resized
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(resized)
        os.close(changed)


def _size() -> Terminal:
    size = os.get_terminal_size(sys.stdin.fileno())
    return Terminal(os.environ.get("TERM") or "xterm", size.columns, size.lines)


def _exit_code(channel: paramiko.Channel) -> int:
    code = channel.recv_exit_status()
    if code == -1:
        raise RemoteError("The connection broke, or the command was killed.", "Look at: vru status")
    return code
