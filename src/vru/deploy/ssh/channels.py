"""Channels of one SSH connection: never more at once than sshd allows, and the next one opened ahead."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

OPEN_TIMEOUT_S = 15.0
# sshd's MaxSessions where nobody changed it.
_USUAL_LIMIT = 10
_REFUSALS = 3
_PATIENCE = 10
_REFUSAL_PAUSE_S = 0.05
_ECHO, _END_OF_MODES = 53, 0


class NoChannelError(paramiko.SSHException):
    """The server opens not even one session."""


@dataclass(slots=True)
class Channels:
    """The sessions of a connection. How many there may be is learned when the server refuses one."""

    transport: paramiko.Transport
    _limit: int = _USUAL_LIMIT
    _open: int = 0
    _asked: int = 0
    _spare: paramiko.Channel | None = None
    _spare_asked: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def session(self) -> Iterator[paramiko.Channel]:
        """A fresh session, closed at the end; waits for one of ours to end where the server allows no more.

        Raises:
            NoChannelError: the server refuses even the only one.
            paramiko.SSHException, OSError, EOFError: the connection is gone.
        """
        channel = self._take()
        try:
            yield channel
        finally:
            channel.close()
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    def prepare(self) -> None:
        """Open a spare session in the background: the next command then needs one round trip less."""
        with self._changed:
            if self._spare is not None or self._spare_asked or self._open + self._asked >= self._limit:
                return
            self._spare_asked = True
        threading.Thread(target=self._open_spare, daemon=True).start()

    def _open_spare(self) -> None:
        try:
            spare = self._ask()
        except (paramiko.SSHException, OSError, EOFError):
            # The connection is gone: whoever needs a session next finds out.
            spare = None
        with self._changed:
            self._spare_asked = False
            self._spare = spare
            if spare is None and self._open > 0:
                self._limit = self._open
            self._changed.notify_all()

    def _take(self) -> paramiko.Channel:
        refusals = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._spare is not None or self._open + self._asked < self._limit)
                if self._spare is not None:
                    channel, self._spare = self._spare, None
                    return channel
            granted = self._ask()
            if granted is not None:
                return granted
            with self._changed:
                # sshd gives up a closed session a moment later: only repeated refusals say what it allows.
                refusals += 1
                if refusals >= _REFUSALS and self._open > 0:
                    self._limit = self._open
                elif refusals >= _REFUSALS * _PATIENCE and self._open == 0 and self._asked == 0:
                    raise NoChannelError("it refuses the only one")
                self._changed.wait(_REFUSAL_PAUSE_S)

    def _ask(self) -> paramiko.Channel | None:
        """Ask the server for a session; None if it refuses."""
        with self._changed:
            self._asked += 1
        granted = None
        try:
            granted = self.transport.open_session(timeout=OPEN_TIMEOUT_S)
        except paramiko.SSHException as error:
            # paramiko keeps one exception for all threads: of two refusals at once, one comes without its reason.
            nameless = str(error) == "Unable to open channel." and self.transport.is_active()
            if not nameless and not isinstance(error, paramiko.ChannelException):
                raise
        finally:
            with self._changed:
                self._asked -= 1
                self._open += granted is not None
                self._changed.notify_all()
        return granted


def request_terminal(channel: paramiko.Channel, kind: str, columns: int, rows: int) -> None:
    """Ask for a terminal that does not echo: what is typed before the command has set it up is not shown."""
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("pty-req")
    message.add_boolean(False)
    message.add_string(kind)
    for number in (columns, rows, 0, 0):
        message.add_int(number)
    modes = paramiko.Message()
    modes.add_byte(bytes([_ECHO]))
    modes.add_int(0)
    modes.add_byte(bytes([_END_OF_MODES]))
    message.add_string(modes.asbytes())
    transport = channel.get_transport()
    transport._send_user_message(message)  # type: ignore[attr-defined]  # Channel.get_pty knows no modes
