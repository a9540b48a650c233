"""What the device of a scenario will send, and what of it is right: known before anything is sent."""

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vru.domain import VruClass, VruError
from vru.rig.road import Road, RoadUser
from vru.rig.scenario import Constant, Device, Fault, LogNormal, Scenario, Uniform

# Nothing is planned so close to where a window begins or ends: there the join of the clocks would decide what it is.
GUARD_S = 0.05


@dataclass(frozen=True, slots=True)
class Transmission:
    """One payload, sent at ``at_s`` of media time. ``track_id`` is whom the device means, None if there is nobody.

    ``road_user`` is what it says, None if it does not say. ``device_s`` is the device's own clock. ``garbage`` means
    nothing.
    """

    at_s: float
    road_user: VruClass | None
    track_id: int | None
    device_s: float
    garbage: bool = False


@dataclass(frozen=True, slots=True)
class TruthTable:
    """What a camera run must report of these transmissions: counts of road users and of signals.

    ``latency_s`` is each detected track's time from its first visible moment to its first signal.
    """

    road_users: int
    detections: int
    misses: int
    false_positives: int
    duplicates: int
    latency_s: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """All transmissions in order of time. ``lost`` never arrive; ``table`` is what the rest amounts to."""

    road: Road
    transmissions: tuple[Transmission, ...]
    lost: int
    tolerance_s: float
    table: TruthTable = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", self.table_of(self.transmissions))

    def table_of(self, sent: Iterable[Transmission]) -> TruthTable:
        """The truth table where only these of the plan's transmissions were sent."""
        signals = [one for one in sent if not one.garbage]
        latency: dict[int, float] = {}
        first_s = {user.track_id: user.first_s for user in self.road.users}
        for one in sorted(signals, key=lambda one: one.at_s):
            if one.track_id is not None:
                latency.setdefault(one.track_id, one.at_s - first_s[one.track_id])
        meant = sum(one.track_id is not None for one in signals)
        users = len(self.road.users)
        return TruthTable(
            users, len(latency), users - len(latency), len(signals) - meant, meant - len(latency), latency
        )

    def ambiguous(self) -> int:
        """How many signals come while several road users are visible whom they fit: whom they mean is not clear."""
        return sum(
            sum(
                _fits(one.road_user, user) and user.first_s <= one.at_s <= user.last_s + self.tolerance_s
                for user in self.road.users
            )
            > 1
            for one in self.transmissions
            if not one.garbage
        )


def plan_of(scenario: Scenario, road: Road) -> Plan:
    """What the device of ``scenario`` sends on this road. Equal scenarios give equal plans.

    A delay that would end less than 50 ms before the road user is gone is a miss: a device does not warn of nobody.

    Raises:
        VruError: there is no time, or no class, for a false alarm that would be one.
    """
    chance = random.Random(scenario.seed)  # noqa: S311 - no secret
    device, tolerance = scenario.device, scenario.tolerance_ms / 1000
    wanted = [*_of_users(road, device, tolerance, chance), *_false_alarms(road, device, tolerance, chance)]
    kept = [one for one in wanted if chance.random() >= device.loss_rate]
    planned = kept
    for fault in scenario.faults:
        planned = _with_fault(planned, fault, road)
    return Plan(road, tuple(sorted(planned, key=lambda one: one.at_s)), len(wanted) - len(kept), tolerance)


def _of_users(road: Road, device: Device, tolerance_s: float, chance: random.Random) -> Iterator[Transmission]:
    for user in road.users:
        # All are drawn for everybody: a changed rate changes nobody else's.
        missed, repeated, held = (chance.random() for _ in range(3))
        delay, way, way_again = delay_s(device, chance), _way_s(device, chance), _way_s(device, chance)
        held_s = device.reorder_ms / 1000 if held < device.reorder_rate else 0.0
        arrives = user.first_s + delay + way + held_s
        ends = min(user.last_s + tolerance_s, road.end_s + tolerance_s) - GUARD_S
        if missed < device.miss_rate or arrives > ends:
            continue
        said = user.road_user if device.says_class else None
        yield Transmission(arrives, said, user.track_id, user.first_s + delay)
        again = user.first_s + delay + device.duplicate_after_ms / 1000
        if repeated < device.duplicate_rate and arrives < again + way_again <= ends:
            yield Transmission(again + way_again, said, user.track_id, again)


def delay_s(device: Device, chance: random.Random) -> float:
    """One delay of the device, seconds."""
    delay = device.delay
    if isinstance(delay, Constant):
        return delay.ms / 1000
    if isinstance(delay, Uniform):
        return chance.uniform(delay.low_ms, delay.high_ms) / 1000
    return chance.lognormvariate(math.log(delay.median_ms), delay.sigma) / 1000


def delay_quantile_s(device: Device, share: float) -> float:
    """The delay that this share of delays does not exceed, seconds: 0.5 is the median."""
    from statistics import NormalDist

    delay = device.delay
    if isinstance(delay, LogNormal):
        return delay.median_ms * math.exp(delay.sigma * NormalDist().inv_cdf(share)) / 1000
    if isinstance(delay, Uniform):
        return (delay.low_ms + share * (delay.high_ms - delay.low_ms)) / 1000
    return delay.ms / 1000


def _way_s(device: Device, chance: random.Random) -> float:
    return abs(chance.gauss(0.0, device.jitter_ms / 1000))


def _false_alarms(road: Road, device: Device, tolerance_s: float, chance: random.Random) -> Iterator[Transmission]:
    count = round(device.false_alarms_per_minute * road.end_s / 60)
    said = device.false_alarm_class if device.says_class else None
    free = _free(road, said, tolerance_s)
    room = sum(end - start for start, end in free)
    if count and room <= 0:
        raise VruError(
            "There is no moment for a false alarm: somebody whom it would fit is always visible.",
            "Choose another false_alarm_class, or leave gaps on the road.",
        )
    for _ in range(count):
        left = chance.uniform(0.0, room)
        for start, end in free:
            if left <= end - start:
                yield Transmission(start + left, said, None, start + left)
                break
            left -= end - start


def _free(road: Road, said: VruClass | None, tolerance_s: float) -> list[tuple[float, float]]:
    """When nobody is visible whom a signal would fit, with the guard on both sides."""
    found, begun = [], road.times[0] + GUARD_S
    for user in sorted((one for one in _everybody(road) if _fits(said, one)), key=lambda one: one.shown_s):
        if user.shown_s - GUARD_S > begun:
            found.append((begun, user.shown_s - GUARD_S))
        begun = max(begun, user.gone_s + tolerance_s + GUARD_S)
    return [*found, (begun, road.end_s - GUARD_S)] if begun < road.end_s - GUARD_S else found


def _everybody(road: Road) -> Iterator[RoadUser]:
    """Also those who do not count: a signal while they are visible is set aside."""
    for track in road.truth.tracks:
        first, last = track.first_visible_s, track.last_visible_s
        yield RoadUser(track.track_id, track.road_user, first, last, first, last)


def _fits(said: VruClass | None, user: RoadUser) -> bool:
    return said is None or said is user.road_user


def _with_fault(planned: Sequence[Transmission], fault: Fault, road: Road) -> list[Transmission]:
    ends = fault.at_s + fault.seconds
    if fault.kind == "silence":
        return [one for one in planned if not fault.at_s <= one.at_s < ends]
    if fault.kind == "clock_back":
        return [
            Transmission(
                one.at_s,
                one.road_user,
                one.track_id,
                one.device_s - fault.seconds * (one.at_s >= fault.at_s),
                one.garbage,
            )
            for one in planned
        ]
    return [*planned, *broken(fault, road, fault.at_s)]


def broken(fault: Fault, road: Road, at_s: float) -> list[Transmission]:
    """What ``garbage`` and ``false_alarms`` send from ``at_s`` on, a millisecond apart.

    Raises:
        VruError: each class is on the road, so that no signal is surely false.
    """
    if fault.kind == "garbage":
        return [Transmission(at_s + n / 1000, None, None, at_s, garbage=True) for n in range(fault.count)]
    present = {track.road_user for track in road.truth.tracks}
    absent = next((one for one in VruClass if one not in present), None)
    if absent is None:
        raise VruError("Each class is on the road: no signal would surely be false.", "Leave out false_alarms.")
    return [Transmission(at_s + n / 1000, absent, None, at_s) for n in range(fault.count)]
