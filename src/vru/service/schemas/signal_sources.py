"""Signal sources: devices that the camera service listens to."""

import re
import uuid
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from vru.domain import VruClass
from vru.service.schemas.base import Schema

# What is named so is no setting that may be shown.
_SECRET = re.compile(r"pass(word|wd|phrase)?$|secret|token|credential|(api|private)_?key", re.IGNORECASE)


class PayloadBody(Schema):
    """What the bytes of a device mean; docs/cameras.md says more."""

    format: Literal["json", "text"] = "text"
    pattern: str | None = Field(None, max_length=500, description="of text: groups class_, time_ns, value")
    classes: dict[str, VruClass] = Field({}, description="the device's words for road users", max_length=100)


class SignalSourceCreate(Schema):
    """A device on a driver. docs/cameras.md lists drivers and settings."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")
    driver: str = Field(min_length=1, max_length=50, description="such as udp, serial, can, http, mqtt")
    settings: dict[str, Any] = Field({}, description="of the driver")
    secrets: dict[str, str] = Field({}, description="settings that are encrypted and never shown, such as password")
    camera_id: uuid.UUID | None = Field(None, description="the camera that it belongs to")
    payload: PayloadBody = PayloadBody()
    road_user: VruClass | None = Field(None, description="whom it sees where a payload does not say")
    debounce_ms: float = Field(0.0, ge=0, le=60_000, description="repeats within this time are dropped, and counted")
    most_per_second: float | None = Field(None, gt=0, le=1e6, description="what exceeds it is dropped, and counted")

    @model_validator(mode="after")
    def _no_open_secret(self) -> Self:
        for name in self.settings:
            if _SECRET.search(name):
                raise ValueError(f"{name} looks like a secret: put it into secrets, where it is encrypted")
        both = sorted(self.settings.keys() & self.secrets.keys())
        if both:
            raise ValueError(f"{both[0]} is in settings and in secrets: put it into one of them")
        return self


class SignalCounts(Schema):
    """What a source counted since it was started: ``received`` = ``events`` + what was dropped, and malformed ones."""

    received: int = 0
    events: int = 0
    debounced: int = 0
    limited: int = Field(0, description="above the rate")
    clock_back: int = Field(0, description="the device's own clock was earlier than before")
    undelivered: int = Field(0, description="lost: there was no room to keep them")
    reopened: int = Field(0, description="times that the device was lost")
    malformed: dict[str, int] = Field({}, description="by kind")


class SignalSourceBody(Schema):
    """A signal source, and what it is doing. A source that failed is opened again after a while."""

    id: uuid.UUID
    name: str
    driver: str
    settings: dict[str, Any]
    secret_names: list[str] = Field(description="of the secrets that it has")
    camera_id: uuid.UUID | None
    payload: PayloadBody
    road_user: VruClass | None
    debounce_ms: float
    most_per_second: float | None
    state: Literal["stopped", "opening", "running", "failed"]
    reason: str = Field(description="why it failed")
    counts: SignalCounts
    last_fault: str


class SignalSourceList(Schema):
    """All signal sources, in order of name."""

    items: list[SignalSourceBody]
    total: int


class DestinationBody(Schema):
    """Whether a store takes what sources say, and how many records wait for it on disk."""

    name: str
    connected: bool
    reason: str
    waiting: int
    stored: int = Field(description="since the service was started")
    refused: int


class SignalDelivery(Schema):
    """The way of records into the stores."""

    active: bool = Field(description="false while another process of the service, which is being replaced, does it")
    spool_bytes: int
    destinations: list[DestinationBody]
