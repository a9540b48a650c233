"""What every source does, whatever its driver: filters, counters, states, recovery."""

import socket
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import pytest
from tests.signals.conftest import Rig, free_port, until

from vru.domain import SignalKind, VruClass, VruError
from vru.signals import Fault, Reading, State, driver, make_driver
from vru.signals.receiver import Filter
from vru.signals.source import Payload, SourceSettings


class Scripted:
    """A user's own driver: it hands out what stands in ``script``, and raises what is an exception."""

    kind: ClassVar[SignalKind] = SignalKind.OTHER
    script: ClassVar[list[Any]] = []
    opened: ClassVar[int] = 0

    def __init__(self, **settings: Any) -> None:
        if settings:
            raise TypeError("it takes none")

    def open(self) -> None:
        Scripted.opened += 1

    def read(self, timeout_s: float) -> Sequence[Reading | Fault]:
        if not Scripted.script:
            return []
        step = Scripted.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return [step]

    def close(self) -> None:
        if Scripted.opened == 1:
            raise RuntimeError("cannot even close")


@pytest.fixture(autouse=True)
def user_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("mine", "tests.signals.test_receiver:Scripted", driver.GROUP)
    installed = driver.entry_points
    monkeypatch.setattr(driver, "entry_points", lambda group: [*installed(group=group), entry])
    Scripted.script, Scripted.opened = [], 0


def test_a_driver_that_throws_is_the_state_and_recovers_while_others_run(rig: Rig) -> None:
    port = free_port(socket.SOCK_DGRAM)
    other = rig.start("udp", {"port": port})
    Scripted.script = [Reading(1, "a"), ZeroDivisionError("in the driver"), Reading(2, "b")]
    receiver = rig.start("mine", {}, running=False)
    until(lambda: [event.value for event in rig.events] == ["a", "b"])
    assert receiver.state().state == State.RUNNING
    assert receiver.state().reopened == 1
    reasons = [getattr(record, "reason", "") for record in rig.records]
    assert "ZeroDivisionError: in the driver" in reasons
    assert "on closing: RuntimeError: cannot even close" in reasons
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"c", ("127.0.0.1", port))
    until(lambda: other.state().events == 1)
    assert other.state().reopened == 0
    assert len({record.id for record in rig.records}) == len(rig.records)


def test_a_taken_port_is_the_state_until_it_is_free(rig: Rig) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        receiver = rig.start("udp", {"port": holder.getsockname()[1]}, running=False)
        until(lambda: receiver.state().state == State.FAILED)
        assert "in use" in receiver.state().reason
    until(lambda: receiver.state().state == State.RUNNING)


def test_a_device_clock_that_jumps_back_is_counted(rig: Rig) -> None:
    Scripted.script = [Reading(1, "a", 100), Reading(2, "b", 50), Reading(3, "c", 60)]
    receiver = rig.start("mine", {}, running=False)
    until(lambda: len(rig.events) == 3)
    assert receiver.state().clock_back == 1


def test_debounce_and_rate_limit_count_what_they_drop(rig: Rig) -> None:
    ms = 1_000_000
    Scripted.script = [Reading(when * ms, "a") for when in (0, 10, 49, 50, 99, 100)] + [Reading(101 * ms, "b")]
    receiver = rig.start("mine", {}, running=False, debounce_ms=50)
    until(lambda: receiver.state().received == 7)
    assert [(event.time_ns // ms, event.value) for event in rig.events] == [(0, "a"), (50, "a"), (100, "a"), (101, "b")]
    assert receiver.state().debounced == 3
    limit = Filter(0, 10.0)
    taken = [limit.drops(number * 10 * ms, None, "") is None for number in range(1000)]
    # 10 that fill the bucket, and 10 in each of the 9.99 seconds.
    assert sum(taken) in (109, 110)


def test_what_the_sink_does_not_take_is_counted(rig: Rig) -> None:
    def full(records: Any) -> None:
        raise OSError("no space left")

    Scripted.script = [Reading(1, "a")]
    receiver = rig.start("mine", {}, running=False)
    receiver._sink = full
    Scripted.script.append(Reading(2, "b"))
    until(lambda: receiver.state().undelivered == 1)
    assert "no space left" in receiver.state().last_fault


def test_the_kinds_of_faults_stay_few(rig: Rig) -> None:
    Scripted.script = [Fault(1, f"kind {number}", "x") for number in range(200)]
    receiver = rig.start("mine", {}, running=False)
    until(lambda: sum(receiver.state().malformed.values()) == 200)
    assert len(receiver.state().malformed) == 51


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("none", {}, "no signal driver 'none'"),
        ("mine", {"port": 1}, "does not take"),
        ("udp", {"port": 70_000}, "port"),
        ("udp", {"port": 7000, "prot": 1}, "prot"),
        ("serial", {"device": "/etc/passwd"}, "device"),
    ],
)
def test_wrong_settings_are_one_sentence_with_the_fix(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(VruError, match=said) as caught:
        make_driver(name, settings)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b"\xff", "not_text"),
        (b"{", "not_json"),
        (b"[" * 3000, "not_json"),
        (b"[1]", "not_an_object"),
        (b'{"class": "dragon"}', "unknown_class"),
        (b'{"time_ns": 1.5}', "bad_time"),
        (b'{"time_ns": -1}', "bad_time"),
        (b'{"time_ns": true}', "bad_time"),
        (b" " * 5000 + b"x", "too_long"),
    ],
)
def test_malformed_payloads_by_kind(data: bytes, kind: str) -> None:
    found = Payload(format="json").read(Reading(7, data))
    assert isinstance(found, Fault)
    assert (found.kind, found.received_ns) == (kind, 7)


def test_a_payload_says_whom_in_the_devices_words() -> None:
    payload = Payload(format="json", classes={"P1": VruClass.PEDESTRIAN})
    found = payload.read(Reading(7, b'{"class": "P1", "time_ns": 9, "value": {"x": 1}, "more": 2}'))
    assert found == Reading(7, '{"x": 1}', 9, VruClass.PEDESTRIAN)


def test_a_pattern_with_other_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="name its groups"):
        SourceSettings(name="x", driver="udp", payload={"pattern": "(?P<who>.)"})  # type: ignore[arg-type]
