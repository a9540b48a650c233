"""Each driver on the real thing: sockets, a pseudo-terminal, python-can's virtual bus, a real MQTT broker, files."""

import json
import os
import pty
import shutil
import socket
import subprocess
import time
import tty
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import can
import cantools
import pytest
from paho.mqtt import publish
from tests.signals.conftest import Rig, free_port, until

from vru.domain import SignalKind, VruClass, VruError
from vru.signals import State, driver_names, make_driver
from vru.signals.drivers.voltage import Threshold

MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
JSON = {"payload": {"format": "json"}}
DBC = """VERSION ""
NS_ :
BS_:
BU_: Camera
BO_ 256 Warning: 8 Camera
 SG_ Active : 0|1@1+ (1,0) [0|1] "" Camera
 SG_ Who : 8|8@1+ (1,0) [0|255] "" Camera
 SG_ Clock : 16|32@1+ (1,0) [0|4294967295] "ms" Camera
VAL_ 256 Who 1 "Ped" 2 "Bike" ;
"""
CAN = {
    "interface": "virtual", "dbc": DBC, "message": "Warning", "signal": "Active", "class_signal": "Who",
    "classes": {"Ped": "pedestrian", "Bike": "cyclist"}, "time_signal": "Clock",
}  # fmt: skip


def test_all_drivers_are_found_by_entry_point() -> None:
    assert driver_names() == ["can", "gpio", "http", "mqtt", "serial", "udp", "voltage"]


def test_udp_packets_are_events_with_both_clocks(rig: Rig) -> None:
    port = free_port(socket.SOCK_DGRAM)
    receiver = rig.start("udp", {"port": port}, **JSON)
    before = time.monotonic_ns()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(500):
            said = {"class": "pedestrian", "time_ns": number * 1000, "value": number}
            sender.sendto(json.dumps(said).encode(), ("127.0.0.1", port))
    until(lambda: len(rig.events) == 500)
    assert [event.device_ns for event in rig.events] == [number * 1000 for number in range(500)]
    assert [event.value for event in rig.events] == [str(number) for number in range(500)]
    assert {event.road_user for event in rig.events} == {VruClass.PEDESTRIAN}
    assert {event.kind for event in rig.events} == {SignalKind.UDP}
    times = [event.time_ns for event in rig.events]
    assert times == sorted(times)
    assert before < times[0] <= times[-1] < time.monotonic_ns()
    assert len({event.id for event in rig.events}) == 500
    assert (receiver.state().received, receiver.state().events) == (500, 500)


def test_udp_from_other_senders_is_counted_and_no_event(rig: Rig) -> None:
    port = free_port(socket.SOCK_DGRAM)
    receiver = rig.start("udp", {"port": port, "senders": ["127.0.0.9"]})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"1", ("127.0.0.1", port))
    until(lambda: receiver.state().malformed == {"unknown_sender": 1})
    assert rig.events == []


def test_what_the_kernel_drops_of_udp_is_counted() -> None:
    port = free_port(socket.SOCK_DGRAM)
    driver = make_driver("udp", {"port": port})
    driver.open()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(2000):  # more than any buffer that the kernel grants here holds
                sender.sendto(b"x" * 60_000, ("127.0.0.1", port))
            got, lost = 0, 0
            while items := driver.read(0.2):
                got += sum(not hasattr(item, "count") for item in items)
                lost += sum(getattr(item, "count", 0) for item in items)
            # The kernel says with a packet what was dropped before it: one more packet tells of the last.
            sender.sendto(b"last", ("127.0.0.1", port))
            items = driver.read(2.0)
            got += sum(not hasattr(item, "count") for item in items)
            lost += sum(getattr(item, "count", 0) for item in items)
        assert lost > 0
        assert got + lost == 2001
    finally:
        driver.close()


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A pseudo-terminal: the device's end, and the name of the line."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    os.close(slave)
    yield master, name
    try:
        os.close(master)
    except OSError:  # the test has closed it
        return


def test_serial_lines_and_garbage(rig: Rig, terminal: tuple[int, str]) -> None:
    master, name = terminal
    receiver = rig.start("serial", {"device": name}, payload={"pattern": r"^DET (?P<class>\w+) (?P<time_ns>\d+)$"})
    os.write(master, b"DET cyclist 17\r\nDET ped")
    until(lambda: len(rig.events) == 1)
    os.write(master, b"estrian 18\n\xff\xfe\x00\n\nnonsense\nDET dragon 19\n")
    until(lambda: sum(receiver.state().malformed.values()) == 4)
    for _ in range(6):
        os.write(master, b"y" * 1000)
        time.sleep(0.02)
    os.write(master, b"\nDET cyclist 20\n")
    until(lambda: len(rig.events) == 3)
    assert [(event.road_user, event.device_ns) for event in rig.events] == [
        (VruClass.CYCLIST, 17), (VruClass.PEDESTRIAN, 18), (VruClass.CYCLIST, 20)
    ]  # fmt: skip
    assert receiver.state().malformed == {
        "not_text": 1, "empty": 1, "no_match": 1, "unknown_class": 1, "too_long": 1
    }  # fmt: skip


def test_a_serial_line_that_is_pulled_out_fails_and_recovers(rig: Rig, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    receiver = rig.start("serial", {"device": os.ttyname(slave)})
    os.close(slave)
    os.close(master)
    until(lambda: receiver.state().state == State.FAILED)
    assert receiver.state().reason
    # The kernel gives the lowest free number again: the same device is back.
    held = []
    while True:
        master, slave = pty.openpty()
        if os.ttyname(slave) == receiver.settings.settings["device"]:
            break
        held.append((master, slave))
        assert len(held) < 50
    tty.setraw(slave)
    until(lambda: receiver.state().state == State.RUNNING)
    os.write(master, b"back\n")
    until(lambda: [event.value for event in rig.events] == ["back"])
    assert receiver.state().reopened >= 1
    for pair in [*held, (master, slave)]:
        for end in pair:
            os.close(end)


def test_can_frames_are_decoded_and_give_one_event_a_rise(rig: Rig) -> None:
    receiver = rig.start("can", {**CAN, "channel": "rise"})
    message = cantools.database.load_string(DBC, database_format="dbc").get_message_by_name("Warning")
    with can.Bus(interface="virtual", channel="rise") as bus:
        for active, who, clock in [(0, 1, 5), (1, 1, 10), (1, 1, 15), (0, 1, 20), (1, 2, 25), (0, 2, 30), (1, 9, 35)]:
            data = message.encode({"Active": active, "Who": who, "Clock": clock}, scaling=True)
            bus.send(can.Message(arbitration_id=256, data=data, is_extended_id=False))
        bus.send(can.Message(arbitration_id=256, data=b"", is_extended_id=False))
        bus.send(can.Message(arbitration_id=999, data=b"x", is_extended_id=False))
        bus.send(can.Message(is_error_frame=True))
        until(lambda: receiver.state().malformed.get("error_frame"))
    assert [(event.road_user, event.device_ns, event.value) for event in rig.events] == [
        (VruClass.PEDESTRIAN, 10_000_000, "Active=1"), (VruClass.CYCLIST, 25_000_000, "Active=1")
    ]  # fmt: skip
    assert receiver.state().malformed == {"unknown_class": 1, "does_not_decode": 1, "error_frame": 1}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"message": "Other"}, "no message 'Other'"),
        ({"signal": "Other"}, "no signal 'Other'"),
        ({"dbc": "this is no DBC"}, "cannot be read"),
        ({"interface": "other"}, "interface"),
    ],
)
def test_a_dbc_that_does_not_fit_is_refused(changed: dict[str, str], said: str) -> None:
    with pytest.raises(VruError, match=said):
        make_driver("can", {**CAN, "channel": "x", **changed})


def test_hysteresis() -> None:
    threshold = Threshold(3.0, 1.0)
    volts = [5.0, 2.0, 0.9, 2.9, 3.0, 2.0, 3.5, 1.0, 3.1]
    assert [threshold.rises(value) for value in volts] == [False, False, False, False, True, False, False, False, True]


def test_a_voltage_in_a_file_that_stands_in_for_a_converter(rig: Rig, tmp_path: Path) -> None:
    channel = tmp_path / "in_voltage0_raw"

    def write(text: str) -> None:
        channel.with_suffix(".new").write_text(text)
        channel.with_suffix(".new").replace(channel)

    write("100\n")
    receiver = rig.start("voltage", {"path": str(channel), "scale": 0.001, "on_v": 3, "off_v": 1})

    def rises() -> bool:
        """Lower and raise it: on a busy machine it may have risen before the first sample, or between two."""
        write("100\n")
        time.sleep(0.05)
        write("3300\n")
        time.sleep(0.05)
        return bool(rig.events)

    until(rises)
    assert rig.events[0].value == "3.3 V"
    write("rubbish")
    until(lambda: receiver.state().malformed.get("no_number"))
    channel.unlink()
    until(lambda: receiver.state().state == State.FAILED)
    write("100\n")
    until(lambda: receiver.state().state == State.RUNNING)
    with pytest.raises(VruError, match="off_v must be below on_v"):
        make_driver("voltage", {"path": str(channel), "on_v": 1, "off_v": 1})


def test_http_posts(rig: Rig) -> None:
    port = free_port()
    receiver = rig.start("http", {"port": port, "token": "a secret"}, **JSON)

    def post(body: bytes, token: str = "a secret") -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", body, {"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert post(b'{"class": "cyclist", "time_ns": 5}') == 204
    assert post(b'{"class": "cyclist"}', token="wrong") == 401
    assert post(b" " * 5000) == 413
    assert post(b"no json") == 204
    until(lambda: sum(receiver.state().malformed.values()) == 3)
    assert [(event.road_user, event.device_ns) for event in rig.events] == [(VruClass.CYCLIST, 5)]
    assert receiver.state().malformed == {"no_token": 1, "too_long": 1, "not_json": 1}


@pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto here: apt-get install mosquitto")
def test_mqtt_with_a_real_broker_that_goes_and_comes_back(rig: Rig, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "m.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")

    def broker() -> subprocess.Popen[bytes]:
        assert MOSQUITTO is not None
        started = subprocess.Popen([MOSQUITTO, "-c", str(tmp_path / "m.conf")], stderr=subprocess.DEVNULL)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(listens)
        return started

    running = broker()
    try:
        publish.single("rig/front", b'{"class": "cyclist"}', retain=True, hostname="127.0.0.1", port=port)
        receiver = rig.start("mqtt", {"host": "127.0.0.1", "port": port, "topic": "rig/+"}, **JSON)
        publish.single("rig/front", b'{"class": "pedestrian", "time_ns": 3}', qos=1, hostname="127.0.0.1", port=port)
        until(lambda: len(rig.events) == 1)
        assert receiver.state().malformed == {"retained": 1}
        running.terminate()
        running.wait(10)
        until(lambda: receiver.state().state == State.FAILED)
        running = broker()
        until(lambda: receiver.state().state == State.RUNNING)
        publish.single("rig/side", b'{"class": "pedestrian"}', qos=1, hostname="127.0.0.1", port=port)
        until(lambda: len(rig.events) == 2)
        assert {event.road_user for event in rig.events} == {VruClass.PEDESTRIAN}
    finally:
        running.terminate()
        running.wait(10)


def test_gpio_edges_of_a_mock_line(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mock: no GPIO chip here. It has the names that the driver uses of gpiod 2."""
    import gpiod

    kinds = gpiod.EdgeEvent.Type
    edges = [
        [SimpleNamespace(timestamp_ns=50, line_seqno=1, event_type=kinds.RISING_EDGE, Type=kinds)],
        [SimpleNamespace(timestamp_ns=90, line_seqno=4, event_type=kinds.FALLING_EDGE, Type=kinds)],
    ]
    asked: dict[str, Any] = {}

    class Request:
        def wait_edge_events(self, timeout: Any) -> bool:
            if not edges:
                time.sleep(0.01)
            return bool(edges)

        def read_edge_events(self) -> list[Any]:
            return edges.pop(0)

        def release(self) -> None:
            asked["released"] = True

    def request_lines(chip: str, config: dict[int, Any], consumer: str) -> Request:
        asked.update(chip=chip, config=config)
        return Request()

    monkeypatch.setattr(gpiod, "request_lines", request_lines)
    receiver = rig.start("gpio", {"line": 17, "edge": "both"}, road_user="pedestrian")
    until(lambda: len(rig.events) == 2)
    assert [(event.time_ns, event.value) for event in rig.events] == [(50, "rising"), (90, "falling")]
    assert {event.road_user for event in rig.events} == {VruClass.PEDESTRIAN}
    assert receiver.state().malformed == {"dropped": 2}
    assert asked["chip"] == "/dev/gpiochip0"
    receiver.stop()
    assert asked["released"]


def test_a_gpio_chip_that_is_not_there_is_the_state(rig: Rig) -> None:
    receiver = rig.start("gpio", {"chip": "/dev/gpiochip987", "line": 1}, running=False)
    until(lambda: receiver.state().state == State.FAILED)
    assert receiver.state().reason
