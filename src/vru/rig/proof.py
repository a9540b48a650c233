"""The proof of the platform: what a camera run reports of a scenario, beside the scenario's truth table."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from vru.domain import Signal, SignalKind, VruError
from vru.evaluation.camera import (
    CameraEvaluation,
    CameraSettings,
    RoadUsers,
    SignalOutcome,
    SignalTable,
    evaluate_camera,
    join_clocks,
)
from vru.rig.plan import GUARD_S, Plan, TruthTable, delay_quantile_s, plan_of
from vru.rig.player import Marker, Player, markers_of, rate
from vru.rig.road import road_of
from vru.rig.scenario import Output, Scenario
from vru.rig.senders import CAN_CLASSES, DBC, Sender, SerialSender, make_sender
from vru.signals import Event, Receiver, Record, SourceSettings, SourceState, State

_KIND = {
    "udp": SignalKind.UDP,
    "serial": SignalKind.SERIAL,
    "can": SignalKind.CAN,
    "http": SignalKind.HTTP,
    "mqtt": SignalKind.MQTT,
}
_READY_S = 10.0
# What is on its way when the last signal has left.
_SETTLE_S = 0.5
# Float noise of differences of nanoseconds.
_EXACT_S = 1e-6


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was received of a play, and what joins its clocks."""

    signals: tuple[Signal, ...]
    markers: tuple[Marker, ...]
    table: TruthTable
    source: SourceState | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """``said`` is the camera run's table. ``differences`` are sentences, none where both are equal: a latency may be
    longer by what a signal takes on its way, 50 ms at most, beside twice the expanded uncertainty of the join.
    """

    scenario: Scenario
    planned: TruthTable
    said: TruthTable
    evaluation: CameraEvaluation
    injected_median_ms: float
    differences: tuple[str, ...]

    @property
    def covered(self) -> bool:
        """Whether the median that was injected lies in the reported interval."""
        lower, upper = self.evaluation.slices["all"]["latency_median_ms"].bounds(0.95)
        return (lower is None or lower <= self.injected_median_ms) and (
            upper is None or self.injected_median_ms <= upper
        )


def simulate(scenario: Scenario, plan: Plan) -> Recorded:
    """What a receiver would record, without sending: each signal arrives at its planned time."""
    chance = random.Random(scenario.seed + 1)  # noqa: S311 - no secret
    start_ns, per_s = 10**12, 1e9 / rate(scenario.clock)
    kind = _KIND[scenario.output.driver]
    signals = tuple(
        Signal(start_ns + round(one.at_s * per_s), kind, one.road_user) for one in plan.transmissions if not one.garbage
    )
    return Recorded(signals, tuple(markers_of(scenario.clock, plan.road.end_s, start_ns, chance)), plan.table)


def record(
    scenario: Scenario,
    plan: Plan,
    progress: Callable[[float], None] | None = None,
    running: Sequence[Callable[[Player], None]] = (),
) -> Recorded:
    """Send the plan for real, and receive it with ``vru.signals``: nothing but the bus is between the two.

    ``running`` are called with the player while it plays, each in a thread of its own.

    Raises:
        VruError: the bus cannot be used, or a signal could not be sent.
    """
    records: list[Record] = []
    with _connected(scenario, records.extend) as (sender, receiver):
        player = Player(plan, sender, scenario.clock, scenario.seed)
        others = [threading.Thread(target=one, args=(player,), daemon=True) for one in running]
        for other in others:
            other.start()
        table = player.run(progress)
        for other in others:
            other.join()
        time.sleep(_SETTLE_S)
        state = receiver.state()
    events = sorted((one for one in records if isinstance(one, Event)), key=lambda one: one.time_ns)
    signals = tuple(Signal(one.time_ns, one.kind, one.road_user, one.value, one.source) for one in events)
    return Recorded(signals, tuple(player.markers()), table, state)


def prove(scenario: Scenario, recorded: Recorded, plan: Plan, settings: CameraSettings | None = None) -> Proof:
    """Evaluate what was recorded as a camera run, and compare it with the truth table.

    Raises:
        VruError: signals fit several road users at once: then time alone cannot tell what the table says.
    """
    ambiguous = plan.ambiguous()
    if ambiguous:
        raise VruError(
            f"{ambiguous} signals of {scenario.name} come while several road users are visible whom they fit: "
            "time alone cannot tell whom they mean, so the truth table cannot be compared.",
            "Let the device say the class, or leave gaps between road users of one class.",
        )
    evaluation = evaluate_camera(
        SignalTable.of(recorded.signals),
        RoadUsers.of(plan.road.truth),
        plan.road.times,
        join_clocks([one.media_s for one in recorded.markers], [one.time_ns for one in recorded.markers]),
        settings or CameraSettings(tolerance_s=plan.tolerance_s, seed=scenario.seed),
    )
    said, planned = reported(evaluation, plan), recorded.table
    differences = [
        f"{name}: planned {getattr(planned, name)}, reported {getattr(said, name)}"
        for name in ("road_users", "detections", "misses", "false_positives", "duplicates")
        if getattr(planned, name) != getattr(said, name)
    ]
    either = sorted(planned.latency_s.keys() ^ said.latency_s.keys())
    if either:
        differences.append(f"detected in one of them only: track {', '.join(map(str, either[:10]))}")
    away = {
        track: said.latency_s[track] - planned.latency_s[track]
        for track in sorted(said.latency_s.keys() & planned.latency_s)
    }
    reach = 2 * evaluation.reach_s + _EXACT_S
    differences += [
        f"track {track}: sent after {planned.latency_s[track] * 1000:.1f} ms, reported {by * 1000:+.1f} ms beside"
        for track, by in away.items()
        if not -reach <= by <= reach + GUARD_S
    ]
    median = delay_quantile_s(scenario.device, 0.5) * 1000
    return Proof(scenario, planned, said, evaluation, median, tuple(differences))


def reported(evaluation: CameraEvaluation, plan: Plan) -> TruthTable:
    """The camera run's own counts, as a truth table."""
    matches = evaluation.matches
    counts = {outcome: int((matches.outcome == outcome).sum()) for outcome in SignalOutcome}
    ids = [track.track_id for track in plan.road.truth.tracks]
    latency = {
        ids[position]: float(evaluation.latency_s[position])
        for position in np.flatnonzero(matches.signal >= 0).tolist()
    }
    users = int(matches.counted.sum())
    wrong = counts[SignalOutcome.FALSE_ALARM] + counts[SignalOutcome.EARLY]
    return TruthTable(users, len(latency), users - len(latency), wrong, counts[SignalOutcome.DUPLICATE], latency)


def proof_of(scenario: Scenario, *, send: bool = True, progress: Callable[[float], None] | None = None) -> Proof:
    """Plan, play (or only simulate), evaluate and compare a scenario.

    Raises:
        VruError: as ``plan_of``, ``record`` and ``prove`` say.
    """
    plan = plan_of(scenario, road_of(scenario))
    return prove(scenario, record(scenario, plan, progress) if send else simulate(scenario, plan), plan)


def with_free_port(scenario: Scenario) -> Scenario:
    """The scenario with a port of this machine that nobody has, where its bus needs one and none is set."""
    output = scenario.output
    if output.driver not in ("udp", "http") or "port" in output.settings:
        return scenario
    kind = socket.SOCK_DGRAM if output.driver == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    return scenario.model_copy(
        update={"output": Output(driver=output.driver, settings=output.settings | {"port": port})}
    )


@contextmanager
def _connected(scenario: Scenario, sink: Callable[[Sequence[Record]], None]) -> Iterator[tuple[Sender, Receiver]]:
    """A sender and a receiver at the two ends of the scenario's bus; the end that listens is opened first."""
    output, settings = scenario.output, dict(scenario.output.settings)
    sender: Sender | None = None
    if output.driver == "serial" and "device" not in settings:
        sender = SerialSender()
        settings["device"] = sender.device
    receiver = Receiver(source_of(scenario, settings), sink)
    try:
        receiver.start()
        ends = time.monotonic() + _READY_S
        while receiver.state().state is not State.RUNNING:
            if receiver.state().state is State.FAILED or time.monotonic() > ends:
                raise VruError(
                    f"The {output.driver} bus cannot be listened to: {receiver.state().reason}", "See above."
                )
            time.sleep(0.01)
        sender = sender or make_sender(Output(driver=output.driver, settings=settings))
        yield sender, receiver
    finally:
        receiver.stop()
        if sender is not None:
            sender.close()


def source_of(scenario: Scenario, settings: dict[str, object]) -> SourceSettings:
    """How ``vru.signals`` receives what this scenario sends."""
    driver = scenario.output.driver
    if driver == "can":
        settings = settings | {"dbc": DBC, "message": "Warning", "signal": "Active", "time_signal": "TimeMs"}
        if scenario.device.says_class:
            settings |= {"class_signal": "RoadUser", "classes": {one.value: one for one in CAN_CLASSES}}
    if driver == "http":
        settings = {name: value for name, value in settings.items() if name != "path"}
    payload = {} if driver == "can" else {"payload": {"format": "json"}}
    return SourceSettings.model_validate({"name": "rig", "driver": driver, "settings": settings, **payload})
