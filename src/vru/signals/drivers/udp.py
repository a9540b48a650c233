"""UDP: each packet is one payload."""

import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, IPvAnyAddress

from vru.domain import SignalKind
from vru.signals.driver import Fault, Reading
from vru.signals.drivers.settings import DriverSettings

# Linux: with each packet comes how many the socket has dropped. Python's socket does not name it.
_SO_RXQ_OVFL = 40
_LONGEST = 65_535
_AT_ONCE = 1000
_BUFFER_BYTES = 8 * 2**20


class UdpSettings(DriverSettings):
    """``host`` is the address that it listens on; ``senders`` are those listened to, all if there are none."""

    port: int = Field(ge=1, le=65_535)
    host: IPvAnyAddress = Field(default="127.0.0.1", validate_default=True)
    senders: frozenset[IPvAnyAddress] = frozenset()


class UdpDriver:
    """Packets to one port. What the kernel dropped for want of room is counted as ``dropped``."""

    kind: ClassVar[SignalKind] = SignalKind.UDP

    def __init__(self, **settings: Any) -> None:
        self._settings = UdpSettings(**settings)
        self._senders = {str(sender) for sender in self._settings.senders}
        self._socket: socket.socket | None = None
        self._dropped = 0

    def open(self) -> None:
        """Bind the port. Raises OSError if it is taken."""
        family = socket.AF_INET if self._settings.host.version == 4 else socket.AF_INET6
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            opened.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            opened.bind((str(self._settings.host), self._settings.port))
            opened.setblocking(False)
        except OSError:
            opened.close()
            raise
        self._socket, self._dropped = opened, 0

    def read(self, timeout_s: float) -> Sequence[Reading | Fault]:
        """The packets that are there, up to 1000."""
        assert self._socket is not None  # noqa: S101 - it is open
        select.select([self._socket], [], [], timeout_s)
        found: list[Reading | Fault] = []
        for _ in range(_AT_ONCE):
            try:
                data, extra, _, sender = self._socket.recvmsg(_LONGEST, socket.CMSG_SPACE(4))
            except BlockingIOError:
                break
            now = time.monotonic_ns()
            for level, what, content in extra:
                if (level, what) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                    found += self._lost(now, struct.unpack("=I", content)[0])
            if self._senders and sender[0] not in self._senders:
                found.append(Fault(now, "unknown_sender", f"a packet from {sender[0]}"))
            else:
                found.append(Reading(now, data))
        return found

    def close(self) -> None:
        """Let go of the port."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _lost(self, now: int, dropped: int) -> list[Fault]:
        more = (dropped - self._dropped) % 2**32
        self._dropped = dropped
        return [Fault(now, "dropped", f"{more} packets for want of room in the socket's buffer", more)] if more else []
