"""What a scenario is: a data file that says who is on the road, how the device behaves, and where its signals go."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vru.domain import VruClass, VruError

_FOLDER = files("vru.rig") / "scenarios"
SCENARIO_NAMES: tuple[str, ...] = tuple(
    sorted(file.name[:-5] for file in _FOLDER.iterdir() if file.name[-5:] == ".yaml")
)
_LARGEST_BYTES = 1_000_000
_HOW = "docs/cameras.md says what a scenario holds."


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RoadUserSettings(_Part):
    """Somebody who is visible from ``first_s`` to ``last_s`` of media time, in every frame."""

    road_user: VruClass = Field(alias="class")
    first_s: float = Field(ge=0)
    last_s: float = Field(ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> "RoadUserSettings":
        if self.last_s <= self.first_s:
            raise ValueError("last_s is not after first_s")
        return self


class Traffic(_Part):
    """One road user every ``every_s``, each of the next of ``classes`` and visible for ``visible_s``."""

    count: int = Field(ge=1, le=10_000)
    visible_s: float = Field(2.0, gt=0, le=600)
    every_s: float = Field(3.0, gt=0, le=600)
    classes: tuple[VruClass, ...] = Field((VruClass.PEDESTRIAN,), min_length=1)


class RoadSettings(_Part):
    """Who is on the road: one of a scene of ``vru.scenes``, a COCO file with tracks and times, a list, traffic."""

    scene: str | None = None
    file: Path | None = None
    road_users: tuple[RoadUserSettings, ...] | None = None
    traffic: Traffic | None = None
    duration_s: float | None = Field(None, gt=0, le=86_400)
    fps: float = Field(25.0, gt=0, le=1000)

    @model_validator(mode="after")
    def _one(self) -> "RoadSettings":
        given = [name for name in ("scene", "file", "road_users", "traffic") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of scene, file, road_users, traffic; there are {len(given)}")
        if self.road_users is not None and self.duration_s is None:
            raise ValueError("road_users need duration_s")
        return self


class Constant(_Part):
    """Always the same delay."""

    distribution: Literal["constant"] = "constant"
    ms: float = Field(ge=0, le=60_000)


class Uniform(_Part):
    """Any delay from ``low_ms`` to ``high_ms``."""

    distribution: Literal["uniform"]
    low_ms: float = Field(ge=0, le=60_000)
    high_ms: float = Field(ge=0, le=60_000)

    @model_validator(mode="after")
    def _in_order(self) -> "Uniform":
        if self.high_ms < self.low_ms:
            raise ValueError("high_ms is below low_ms")
        return self


class LogNormal(_Part):
    """The logarithm of the delay is normal: half are below ``median_ms``; ``sigma`` is the logarithm's deviation."""

    distribution: Literal["lognormal"]
    median_ms: float = Field(gt=0, le=60_000)
    sigma: float = Field(0.3, ge=0, le=3)


class Device(_Part):
    """How the device behaves. Rates are of the road users; each draw comes from the scenario's seed.

    ``says_class``: whether a signal says whom it saw. A duplicate follows its signal ``duplicate_after_ms`` later.
    ``reorder_rate`` of the signals are held back by ``reorder_ms``, so that a later one may overtake. ``jitter_ms`` is
    the deviation of the time that the way takes, normal and never negative; ``loss_rate`` of all sent are lost.
    """

    delay: Annotated[Constant | Uniform | LogNormal, Field(discriminator="distribution")] = Constant(ms=50)
    miss_rate: float = Field(0.0, ge=0, le=1)
    false_alarms_per_minute: float = Field(0.0, ge=0, le=10_000)
    false_alarm_class: VruClass = VruClass.PEDESTRIAN
    duplicate_rate: float = Field(0.0, ge=0, le=1)
    duplicate_after_ms: float = Field(100.0, gt=0, le=60_000)
    jitter_ms: float = Field(0.0, ge=0, le=10_000)
    loss_rate: float = Field(0.0, ge=0, le=1)
    reorder_rate: float = Field(0.0, ge=0, le=1)
    reorder_ms: float = Field(200.0, gt=0, le=60_000)
    says_class: bool = True


class ClockSettings(_Part):
    """How the screen's clock and the receiver's differ: ``drift_ppm`` is how much slower the screen is; each marker is
    seen with a normal error of ``marker_jitter_ms``. ``markers`` are shown over the whole run.
    """

    drift_ppm: float = Field(0.0, ge=-900, le=900)
    marker_jitter_ms: float = Field(0.2, ge=0, le=1000)
    markers: int = Field(20, ge=5, le=10_000)


class Fault(_Part):
    """Something that breaks at ``at_s`` of media time.

    ``silence``: for ``seconds`` nothing is sent. ``garbage``: ``count`` payloads that mean nothing. ``clock_back``: the
    device's own clock jumps back by ``seconds``. ``false_alarms``: ``count`` of a class that nobody on the road has.
    """

    kind: Literal["silence", "garbage", "clock_back", "false_alarms"]
    at_s: float = Field(0.0, ge=0)
    seconds: float = Field(1.0, gt=0, le=3600)
    count: int = Field(1, ge=1, le=10_000)


class Output(_Part):
    """Where signals go: ``driver`` is udp, serial, can, http or mqtt, ``settings`` are those of docs/cameras.md."""

    driver: Literal["udp", "serial", "can", "http", "mqtt"] = "udp"
    settings: dict[str, Any] = {}


class Scenario(_Part):
    """A whole scenario."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")
    description: str = ""
    seed: int = Field(0, ge=0, le=2**31 - 1)
    tolerance_ms: float = Field(100.0, ge=0, le=60_000)
    road: RoadSettings
    device: Device = Device()
    clock: ClockSettings = ClockSettings()
    faults: tuple[Fault, ...] = ()
    output: Output = Output()


def load_scenario(name: str, **changes: Any) -> Scenario:
    """The scenario in the file ``name``, or the shipped one of that name; ``changes`` replace whole parts.

    Raises:
        VruError: there is none, or it is wrong; the message names the file and the place in it.
    """
    path = Path(name)
    if name in SCENARIO_NAMES:
        text, where = (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), name
    elif path.is_file():
        if path.stat().st_size > _LARGEST_BYTES:
            raise VruError(f"{path} has {path.stat().st_size} bytes: that is no scenario.", _HOW)
        text, where = path.read_text(encoding="utf-8", errors="replace"), str(path)
    else:
        raise VruError(f"There is no scenario {name!r}.", f"Give a file, or one of: {', '.join(SCENARIO_NAMES)}.")
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise VruError(f"{where} is no YAML: {' '.join(str(error).split())}.", _HOW) from error
    if not isinstance(said, dict):
        raise VruError(f"{where} holds no scenario.", _HOW)
    try:
        return Scenario.model_validate({"name": path.stem} | said | changes)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise VruError(f"{where}: {place}: {first['msg']}.", _HOW) from error
