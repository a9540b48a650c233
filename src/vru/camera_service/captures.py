"""Captures: a stretch of a signal source's records, and the virtual rig that may play meanwhile."""

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import structlog
from pydantic import ValidationError

from vru.camera_service.delivery import Deliverer
from vru.camera_service.signal_sources import SignalSources
from vru.domain import VruError
from vru.rig.plan import Plan, plan_of
from vru.rig.player import Player
from vru.rig.road import RoadUser, road_of_users
from vru.rig.scenario import SCENARIO_NAMES, Output, Scenario, load_scenario
from vru.rig.senders import DBC, Sender, make_sender
from vru.service.errors import ConflictError, NotFoundError, UnprocessableError
from vru.service.schemas.captures import CaptureBody, CaptureCreate, MarkerBody, PlayTable, RigBody
from vru.signals import SourceSettings

_MOST_AT_ONCE = 20
_MOST_REMEMBERED = 200
# What is on its way when the last signal has left.
_SETTLE_S = 0.5
_STORE_S = 600.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where the rig sends to who listens everywhere

log = structlog.get_logger("vru.camera_service")


class Captures:
    """Captures of this process; they do not survive it. All methods block."""

    def __init__(self, sources: SignalSources, deliverer: Callable[[], Deliverer]) -> None:
        self._sources, self._deliverer = sources, deliverer
        self._lock = threading.Lock()
        self._captures: OrderedDict[uuid.UUID, _Capture] = OrderedDict()

    def begin(self, wanted: CaptureCreate) -> CaptureBody:
        """Begin to capture what a source says, and to play.

        Raises:
            NotFoundError: there is no such source.
            ConflictError: it does not run, it is captured already, or there are as many captures as may be.
            UnprocessableError: the rig cannot play this, or not to this source.
            UnavailableError: another process of the service listens.
        """
        deliverer = self._deliverer()
        source = self._sources.get(wanted.source_id)
        if source.state != "running":
            why = f" ({source.reason})" if source.reason else ""
            raise ConflictError(f"The signal source {source.name!r} is {source.state}{why}.", "Start it first.")
        player, sender = None, None
        if wanted.rig is not None:
            player, sender = _player(wanted, wanted.rig, self._sources.settings(wanted.source_id))
        capture = _Capture(wanted, player, sender, self._sources, deliverer)
        try:
            self._add(capture, source.name)
        except ConflictError:
            capture.close()
            raise
        capture.thread.start()
        return capture.body()

    def get(self, capture_id: uuid.UUID) -> CaptureBody:
        """One capture. Raises NotFoundError if there is none with this id."""
        return self._find(capture_id).body()

    def stop(self, capture_id: uuid.UUID) -> CaptureBody:
        """End a capture, and the play; does nothing if it has ended. Raises NotFoundError if there is none."""
        capture = self._find(capture_id)
        capture.stop()
        return capture.body()

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            captures = list(self._captures.values())
        for capture in captures:
            capture.stop()
        for capture in captures:
            capture.thread.join(2.0)

    def _add(self, capture: "_Capture", name: str) -> None:
        with self._lock:
            current = [one for one in self._captures.values() if one.state in ("recording", "storing")]
            if any(one.wanted.source_id == capture.wanted.source_id and one.state == "recording" for one in current):
                raise ConflictError(f"The signal source {name!r} is captured already.", "Wait for its end, or stop it.")
            if len(current) >= _MOST_AT_ONCE:
                raise ConflictError(f"{len(current)} captures run, as many as may be.", "Wait for the end of one.")
            self._captures[capture.id] = capture
            ended = [number for number, one in self._captures.items() if one not in current and one is not capture]
            for number in ended[: max(0, len(self._captures) - _MOST_REMEMBERED)]:
                del self._captures[number]

    def _find(self, capture_id: uuid.UUID) -> "_Capture":
        with self._lock:
            found = self._captures.get(capture_id)
        if found is None:
            raise NotFoundError(
                f"There is no capture {capture_id}.", "It ended with the camera service's process: begin another one."
            )
        return found


class _Capture:
    """One capture, in a thread of its own."""

    def __init__(
        self,
        wanted: CaptureCreate,
        player: Player | None,
        sender: Sender | None,
        sources: SignalSources,
        deliverer: Deliverer,
    ) -> None:
        self.id, self.wanted, self.state = uuid.uuid4(), wanted, "recording"
        self.thread = threading.Thread(target=self._run, name=f"capture {self.id}", daemon=True)
        self._player, self._sender, self._sources, self._deliverer = player, sender, sources, deliverer
        self._error: str | None = None
        self._table: PlayTable | None = None
        self._stopping = threading.Event()
        self._began = time.monotonic()
        self._first = deliverer.spool.last()
        self._last: int | None = None
        self._events, self._signals = self._count(), 0

    def stop(self) -> None:
        self._stopping.set()
        if self._player is not None:
            self._player.stop()

    def close(self) -> None:
        if self._sender is not None:
            self._sender.close()

    def body(self) -> CaptureBody:
        if self.state == "recording":
            self._signals = max(self._signals, self._count() - self._events)
        markers = self._player.markers() if self._player is not None and self.state == "ended" else []
        return CaptureBody.model_validate(
            {
                "id": self.id,
                "source_id": self.wanted.source_id,
                "state": self.state,
                "error": self._error,
                "stopped": self._stopping.is_set(),
                "media_s": self._media_s(),
                "end_s": self.wanted.end_s,
                "signals": self._signals,
                "spool": self._deliverer.spool.id,
                "first": self._first,
                "last": self._last,
                "markers": [MarkerBody(media_s=one.media_s, time_ns=one.time_ns) for one in markers],
                "table": self._table,
            }
        )

    def _media_s(self) -> float:
        """How far it is. Without a rig nobody here knows the video's clock: seconds since the beginning."""
        if self._player is None:
            return time.monotonic() - self._began
        return min(max(0.0, self._player.media_s()), self.wanted.end_s) if self._player.start_ns else 0.0

    def _count(self) -> int:
        return self._sources.get(self.wanted.source_id).counts.events

    def _run(self) -> None:
        try:
            self._record()
        except VruError as error:
            self.state, self._error = "failed", str(error)
        except Exception as error:
            log.exception("a capture failed unexpectedly", capture=str(self.id))
            self.state, self._error = "failed", f"It failed unexpectedly ({type(error).__name__})."
        finally:
            self.close()

    def _record(self) -> None:
        if self._player is None:
            self._stopping.wait()
        else:
            table = asdict(self._player.run())
            self._table = PlayTable(**{name: table[name] for name in PlayTable.model_fields})
            time.sleep(_SETTLE_S)
        self._signals = max(self._signals, self._count() - self._events)
        last = self._deliverer.spool.last()
        self._last, self.state = last, "storing"
        if not self._deliverer.wait_stored("postgresql", last, _STORE_S):
            raise VruError("PostgreSQL does not take the signals.", "Bring it back: they wait on the service's disk.")
        self.state = "ended"


def _player(wanted: CaptureCreate, rig: RigBody, source: SourceSettings) -> tuple[Player, Sender]:
    """A player of what is wanted, connected to the source."""
    users = [
        RoadUser(
            one.track_id,
            one.road_user,
            one.shown_s if one.first_s is None else one.first_s,
            one.gone_s if one.last_s is None else one.last_s,
            one.shown_s,
            one.gone_s,
        )
        for one in wanted.road_users
    ]
    counted = [one.first_s is not None for one in wanted.road_users]
    try:
        scenario = _scenario(rig, wanted.tolerance_ms)
        plan: Plan = plan_of(scenario, road_of_users(users, counted, wanted.end_s))
        sender = make_sender(_output(source))
    except VruError as error:
        raise UnprocessableError(error.message, error.fix) from error
    return Player(plan, sender, scenario.clock, scenario.seed), sender


def _scenario(rig: RigBody, tolerance_ms: float) -> Scenario:
    if rig.scenario is not None and rig.scenario not in SCENARIO_NAMES:
        # A name and never a path: load_scenario would also read a file.
        raise VruError(f"There is no scenario {rig.scenario!r}.", f"Use one of: {', '.join(SCENARIO_NAMES)}.")
    base: dict[str, Any] = {"name": "live"}
    if rig.scenario is not None:
        base |= load_scenario(rig.scenario).model_dump(include={"device", "clock", "faults", "seed"}, by_alias=True)
    asked = rig.model_dump(exclude={"scenario"}, exclude_none=True)
    # Who is on the road is said by the ground truth.
    said = base | asked | {"tolerance_ms": tolerance_ms, "road": {"traffic": {"count": 1}}}
    try:
        return Scenario.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise VruError(f"rig.{place}: {first['msg']}.", "docs/cameras.md says what a scenario holds.") from error


def _output(source: SourceSettings) -> Output:
    """How the rig reaches a source of this machine."""
    said = source.settings
    driver = source.driver
    if driver == "can":
        if said.get("dbc") != DBC or said.get("message") != "Warning":
            raise VruError(
                "The rig speaks CAN in its own DBC only.", "Give the source vru/rig/rig.dbc and its message."
            )
        names: tuple[str, ...] = ("channel", "interface")
    elif driver in ("udp", "http", "mqtt"):
        if source.payload.format != "json":
            raise VruError("The rig speaks JSON.", 'Give the source the payload {"format": "json"}.')
        if said.get("tls"):
            raise VruError("The rig does not speak TLS.", "Use a source without tls.")
        names = {
            "udp": ("port", "host"),
            "http": ("port", "host", "token"),
            "mqtt": ("host", "port", "topic", "username", "password"),
        }[driver]
    else:
        raise VruError(
            f"The rig cannot reach a source of the driver {driver!r} from here.",
            "Leave out rig, and play on the device's machine: vru rig play.",
        )
    settings = {name: said[name] for name in names if name in said}
    if "host" in settings:
        settings["host"] = _ANYWHERE.get(str(settings["host"]), str(settings["host"]))
    return Output(driver=driver, settings=settings)
