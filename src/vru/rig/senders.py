"""How payloads leave the rig: one class a bus, each received by the driver of that name."""

import json
import os
import socket
from collections.abc import Callable
from importlib.resources import files
from inspect import signature
from typing import Any, Protocol

from vru.domain import VruClass, VruError
from vru.rig.plan import Transmission
from vru.rig.scenario import Output

# A frame of the rig's own DBC says active, and then that it is over.
DBC = (files("vru.rig") / "rig.dbc").read_text(encoding="ascii")
CAN_CLASSES = tuple(VruClass)
# What the device's own clock shows at media time 0.
DEVICE_UP_S = 86_400
_GARBAGE = b"\xff\xfe{no signal"
_ANSWER_S = 5.0


class Sender(Protocol):
    """One way out."""

    def send(self, one: Transmission) -> None:
        """Send it now. Raises OSError if that cannot be done."""
        ...

    def close(self) -> None:
        """Let go of the bus."""
        ...


def payload(one: Transmission) -> bytes:
    """JSON as ``vru.signals`` reads it, or bytes that mean nothing."""
    if one.garbage:
        return _GARBAGE
    said: dict[str, Any] = {"time_ns": round((DEVICE_UP_S + one.device_s) * 1e9), "value": "warning"}
    return json.dumps(said if one.road_user is None else {"class": one.road_user.value, **said}).encode()


def make_sender(output: Output) -> Sender:
    """The sender of a scenario's output, connected.

    Raises:
        VruError: a setting is missing or wrong, a library is not installed, or nobody is there.
    """
    kinds = {"udp": UdpSender, "serial": SerialSender, "can": CanSender, "http": HttpSender, "mqtt": MqttSender}
    kind: Callable[..., Sender] = kinds[output.driver]
    try:
        signature(kind).bind(**output.settings)
        sender = kind(**output.settings)
    except TypeError as error:
        raise VruError(
            f"The {output.driver} output cannot be used so: {error}.", "docs/cameras.md lists settings."
        ) from error
    except ModuleNotFoundError as error:
        extra = "can" if output.driver == "can" else "signals"
        raise VruError(
            f"The {output.driver} output needs {error.name}, which is not installed.",
            f"Install it: pip install 'vru-platform[{extra}]'.",
        ) from error
    except OSError as error:
        raise VruError(f"The {output.driver} output cannot be opened: {error}.", "Start its receiver first.") from error
    return sender


class UdpSender:
    """Packets to ``host`` and ``port``."""

    def __init__(self, *, port: int, host: str = "127.0.0.1") -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._socket, self._address = socket.socket(family, kind, protocol), address

    def send(self, one: Transmission) -> None:
        """One packet."""
        self._socket.sendto(payload(one), self._address)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class SerialSender:
    """Lines to ``device``, or to a pseudo-terminal that is made: ``device`` then names its other end."""

    def __init__(self, *, device: str | None = None, baud: int = 115_200) -> None:
        import tty

        if device is not None:
            import serial

            self._line: Any = serial.Serial(device, baud)
            self._file = self._line.fileno()
            self.device = device
            return
        self._line = None
        self._file, other = os.openpty()
        tty.setraw(other)
        # Kept open: a terminal whose other end nobody holds is gone.
        self._other = other
        self.device = os.ttyname(other)

    def send(self, one: Transmission) -> None:
        """One line."""
        os.write(self._file, payload(one) + b"\n")

    def close(self) -> None:
        """Close both ends."""
        if self._line is not None:
            self._line.close()
            return
        os.close(self._file)
        os.close(self._other)


class CanSender:
    """Frames of the rig's own DBC (``DBC``): active, and at once not any more."""

    def __init__(self, *, channel: str, interface: str = "socketcan") -> None:
        import can
        import cantools

        self._can = can
        database: Any = cantools.database.load_string(DBC, database_format="dbc")
        self._message = database.get_message_by_name("Warning")
        try:
            self._bus = can.Bus(interface=interface, channel=channel)
        except can.CanError as error:
            raise OSError(str(error)) from error
        self._send(0, 0, 0.0)

    def send(self, one: Transmission) -> None:
        """An edge: a frame that is active and one that is not. Garbage is a frame that is too short."""
        if one.garbage:
            self._bus.send(self._can.Message(arbitration_id=self._message.frame_id, data=b"\x01", is_extended_id=False))
            return
        road_user = 0 if one.road_user is None else CAN_CLASSES.index(one.road_user) + 1
        self._send(1, road_user, one.device_s)
        self._send(0, road_user, one.device_s)

    def close(self) -> None:
        """Leave the bus."""
        self._bus.shutdown()

    def _send(self, active: int, road_user: int, device_s: float) -> None:
        data = self._message.encode(
            {"Active": active, "RoadUser": road_user, "TimeMs": round((DEVICE_UP_S + device_s) * 1000) % 2**32}
        )
        self._bus.send(self._can.Message(arbitration_id=self._message.frame_id, data=data, is_extended_id=False))


class HttpSender:
    """POSTs, each on a connection of its own."""

    def __init__(self, *, port: int, host: str = "127.0.0.1", path: str = "/", token: str | None = None) -> None:
        self._host, self._port, self._path = host, port, path
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    def send(self, one: Transmission) -> None:
        """One POST. Raises OSError if it is not answered, or refused."""
        from http.client import HTTPConnection

        connection = HTTPConnection(self._host, self._port, timeout=_ANSWER_S)
        try:
            connection.request("POST", self._path, payload(one), self._headers)
            status = connection.getresponse().status
        finally:
            connection.close()
        if status >= 400:
            raise OSError(f"the POST was answered with {status}")

    def close(self) -> None:
        """Nothing is kept open."""


class MqttSender:
    """Messages to a topic of a broker, at least once each."""

    def __init__(
        self, *, host: str, topic: str, port: int = 1883, username: str | None = None, password: str | None = None
    ) -> None:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        self._topic = topic
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.connect_timeout = _ANSWER_S
        self._client.connect(host, port)
        self._client.loop_start()

    def send(self, one: Transmission) -> None:
        """One message, and wait until the broker has it. Raises OSError if it does not take it."""
        sent = self._client.publish(self._topic, payload(one), qos=1)
        try:
            sent.wait_for_publish(_ANSWER_S)
        except (RuntimeError, ValueError) as error:
            raise OSError(f"the broker does not take the message: {error}") from error

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()
