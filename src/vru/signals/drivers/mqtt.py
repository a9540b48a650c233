"""MQTT: each message on a topic is one payload."""

import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import Field, SecretStr

from vru.domain import SignalKind, VruError
from vru.signals.driver import Fault, Reading
from vru.signals.drivers.settings import DriverSettings

_ANSWER_S = 5.0


class MqttSettings(DriverSettings):
    """The broker, and a ``topic`` that may hold + and #. With ``tls`` the broker's certificate is checked."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=1883, ge=1, le=65_535)
    topic: str = Field(min_length=1, max_length=1000)
    qos: Literal[0, 1, 2] = 1
    username: str | None = None
    password: SecretStr | None = None
    tls: bool = False


class MqttDriver:
    """A subscription. What the broker kept from before (retained) is no event, and is counted as ``retained``."""

    kind: ClassVar[SignalKind] = SignalKind.MQTT

    def __init__(self, **settings: Any) -> None:
        self._settings = MqttSettings(**settings)
        self._client: mqtt.Client | None = None
        self._found: list[Reading | Fault] = []
        self._subscribed = False
        self._refused = ""

    def open(self) -> None:
        """Connect and subscribe. Raises OSError or VruError if the broker is not there, or refuses."""
        settings = self._settings
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if settings.username is not None:
            password = settings.password
            client.username_pw_set(settings.username, password.get_secret_value() if password else None)
        if settings.tls:
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.connect_timeout = _ANSWER_S
        self._client, self._found, self._subscribed, self._refused = client, [], False, ""
        client.connect(settings.host, settings.port, keepalive=10)
        ends = time.monotonic() + _ANSWER_S
        while not self._subscribed:
            self._loop(0.1)
            if time.monotonic() > ends:
                raise VruError(f"The broker {settings.host}:{settings.port} does not answer.", "Check host and port.")

    def read(self, timeout_s: float) -> Sequence[Reading | Fault]:
        """The messages that have come. Raises OSError if the broker is gone."""
        if not self._found:
            self._loop(timeout_s)
        found, self._found = self._found, []
        return found

    def close(self) -> None:
        """Leave the broker."""
        if self._client is not None:
            self._client.disconnect()
            self._client = None

    def _loop(self, timeout_s: float) -> None:
        assert self._client is not None  # noqa: S101 - it is open
        code = self._client.loop(timeout_s)
        if self._refused:
            raise VruError(f"The broker refuses: {self._refused}.", "Check username, password and topic.")
        if code != mqtt.MQTT_ERR_SUCCESS:
            raise ConnectionError(f"the broker is gone: {mqtt.error_string(code)}")

    def _on_connect(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refused = str(reason)
        else:
            client.subscribe(self._settings.topic, self._settings.qos)

    def _on_subscribe(self, client: mqtt.Client, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refused = str(reasons[0])
        self._subscribed = True

    def _on_message(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        now = time.monotonic_ns()
        if message.retain:
            self._found.append(Fault(now, "retained", f"a message kept on {message.topic[:100]}"))
        else:
            self._found.append(Reading(now, bytes(message.payload)))
