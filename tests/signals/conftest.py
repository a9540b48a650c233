"""Sources that run, and what they hand on."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from vru.signals import Event, Receiver, Record, SourceSettings, State, StateChange


class Rig:
    """Receivers that are stopped at the end of the test, and all their records."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._receivers: list[Receiver] = []

    def start(self, driver: str, settings: dict[str, Any], *, running: bool = True, **more: Any) -> Receiver:
        """A receiver, running unless the test says that it cannot."""
        source = SourceSettings(name="front", driver=driver, settings=settings, **more)
        receiver = Receiver(source, self._sink, longest_wait_s=0.3)
        self._receivers.append(receiver)
        receiver.start()
        if running:
            until(lambda: receiver.state().state == State.RUNNING)
        return receiver

    def _sink(self, records: Sequence[Record]) -> None:
        self.records.extend(records)

    @property
    def events(self) -> list[Event]:
        return [record for record in self.records if isinstance(record, Event)]

    @property
    def states(self) -> list[str]:
        return [record.state for record in self.records if isinstance(record, StateChange)]

    def stop(self) -> None:
        for receiver in self._receivers:
            receiver.stop()


@pytest.fixture
def rig() -> Iterator[Rig]:
    found = Rig()
    yield found
    found.stop()


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until it holds; the test fails if it does not."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come to hold in time"
        time.sleep(0.01)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody has just now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
