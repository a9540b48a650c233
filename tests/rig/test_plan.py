"""What a scenario's device will send."""

import statistics
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vru.domain import VruClass, VruError
from vru.rig import SCENARIO_NAMES, Plan, Scenario, load_scenario, plan_of, road_of
from vru.rig.plan import GUARD_S, delay_quantile_s


def planned(device: dict[str, Any] | None = None, count: int = 400, **parts: Any) -> Plan:
    scenario = Scenario.model_validate(
        {
            "name": "x",
            "road": {"traffic": {"count": count, "visible_s": 2.0, "every_s": 3.0}, "fps": 10},
            "device": device or {},
            **parts,
        }
    )
    return plan_of(scenario, road_of(scenario))


def test_equal_scenarios_give_equal_plans_and_other_seeds_others() -> None:
    device = {"miss_rate": 0.3, "delay": {"distribution": "uniform", "low_ms": 10, "high_ms": 500}, "jitter_ms": 5}
    assert planned(device).transmissions == planned(device).transmissions
    assert planned(device).transmissions != planned(device, seed=1).transmissions


def test_another_rate_of_misses_changes_nobody_elses_delay() -> None:
    delay = {"distribution": "uniform", "low_ms": 10, "high_ms": 500}
    some, all_ = planned({"delay": delay, "miss_rate": 0.5}).table, planned({"delay": delay}).table
    assert 100 < some.detections < 300 and all_.detections == 400
    assert some.latency_s == {track: all_.latency_s[track] for track in some.latency_s}


def test_rates_are_what_they_say() -> None:
    assert 75 <= planned({"miss_rate": 0.25}).table.misses <= 125
    assert 75 <= planned({"loss_rate": 0.25}).lost <= 125
    assert 75 <= planned({"duplicate_rate": 0.25}).table.duplicates <= 125
    # 400 road users pass in 20 minutes.
    assert planned({"false_alarms_per_minute": 3}).table.false_positives == 60


def test_delays_have_the_distribution_that_is_asked_for() -> None:
    for delay, median in (
        ({"distribution": "uniform", "low_ms": 100, "high_ms": 300}, 0.2),
        ({"distribution": "lognormal", "median_ms": 120, "sigma": 0.3}, 0.12),
        ({"distribution": "constant", "ms": 70}, 0.07),
    ):
        plan = planned({"delay": delay})
        scenario = Scenario.model_validate({"name": "x", "road": {"traffic": {"count": 1}}, "device": {"delay": delay}})
        assert statistics.median(plan.table.latency_s.values()) == pytest.approx(median, rel=0.08)
        assert delay_quantile_s(scenario.device, 0.5) == pytest.approx(median)


def test_nothing_is_planned_where_the_clocks_would_decide() -> None:
    plan = planned({"delay": {"distribution": "uniform", "low_ms": 0, "high_ms": 4000}, "false_alarms_per_minute": 20})
    users = {user.track_id: user for user in plan.road.users}
    assert 100 < plan.table.misses < 300, "half the delays are longer than anybody is visible"
    for one in plan.transmissions:
        if one.track_id is not None:
            assert one.at_s <= users[one.track_id].last_s + 0.1 - GUARD_S
        else:
            assert all(not u.first_s - GUARD_S < one.at_s < u.last_s + 0.1 + GUARD_S for u in users.values())


def test_reordering_lets_later_signals_overtake() -> None:
    road = {"traffic": {"count": 20, "visible_s": 2.5, "every_s": 0.5}}
    plan = planned({"reorder_rate": 0.3, "reorder_ms": 950, "delay": {"distribution": "constant", "ms": 80}}, road=road)
    tracks = [one.track_id for one in plan.transmissions]
    assert tracks != sorted(tracks)  # type: ignore[type-var]


def test_faults_are_scripted() -> None:
    faults = [
        {"kind": "silence", "at_s": 3.0, "seconds": 3.0}, {"kind": "garbage", "at_s": 1.0, "count": 7},
        {"kind": "clock_back", "at_s": 8.0, "seconds": 50.0}, {"kind": "false_alarms", "at_s": 9.0, "count": 2},
    ]  # fmt: skip
    plan = planned(count=4, faults=faults)
    assert (plan.table.misses, plan.table.false_positives) == (1, 2)
    assert sum(one.garbage for one in plan.transmissions) == 7
    assert {one.road_user for one in plan.transmissions if one.track_id is None and not one.garbage} == {
        VruClass.CYCLIST
    }
    assert [round(one.at_s - one.device_s) for one in plan.transmissions if one.track_id] == [0, 0, 50]


def test_the_first_signal_that_arrives_is_the_detection() -> None:
    plan = planned({"duplicate_rate": 1.0, "duplicate_after_ms": 300}, count=1)
    first, again = plan.transmissions
    assert (plan.table.detections, plan.table.duplicates) == (1, 1)
    only = plan.table_of([again])
    assert (only.detections, only.duplicates) == (1, 0)
    assert only.latency_s[1] == pytest.approx(plan.table.latency_s[1] + 0.3)
    assert plan.table_of([first, replace(again, garbage=True)]).duplicates == 0


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 60),
    st.booleans(),
    st.integers(0, 10_000),
    st.floats(0, 500),
)
def test_the_table_adds_up(
    miss: float, loss: float, duplicate: float, false: float, says: bool, seed: int, jitter: float
) -> None:
    device = {
        "miss_rate": miss, "loss_rate": loss, "duplicate_rate": duplicate, "false_alarms_per_minute": false,
        "says_class": says, "jitter_ms": jitter,
    }  # fmt: skip
    plan = planned(device, count=8, seed=seed)
    table = plan.table
    assert table.detections + table.misses == table.road_users == 8
    assert table.detections + table.duplicates + table.false_positives == len(plan.transmissions)
    assert len(table.latency_s) == table.detections and all(by >= 0 for by in table.latency_s.values())
    assert plan.ambiguous() == 0


class TestScenarios:
    def test_each_shipped_one_is_read_and_says_what_it_is(self) -> None:
        assert len(SCENARIO_NAMES) == 20
        for name in SCENARIO_NAMES:
            scenario = load_scenario(name)
            assert scenario.name == name and scenario.description

    def test_a_scene_is_a_road(self) -> None:
        road = road_of(
            Scenario.model_validate({"name": "x", "road": {"scene": "crossing", "fps": 10, "duration_s": 4}})
        )
        assert len(road.users) >= 3 and len(road.times) == 40 and road.end_s == pytest.approx(4.0)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("road: {}", "give exactly one of scene, file, road_users, traffic; there are 0"),
            ("road: {scene: crossing, traffic: {count: 2}}", "there are 2"),
            ("road: {traffic: {count: 0}}", "road.traffic.count"),
            ("road: {traffic: {count: 2}}\ndevice: {miss_rate: 2}", "device.miss_rate"),
            ("road: {traffic: {count: 2}}\ndevice: {delay: {distribution: normal}}", "device.delay"),
            (
                "road: {road_users: [{class: pedestrian, first_s: 3, last_s: 2}], duration_s: 5}",
                "last_s is not after first_s",
            ),
            ("road: {road_users: []}", "road_users need duration_s"),
            ("road: {traffic: {count: 2}}\ncolour: red", "colour"),
            ("road: [", "is no YAML"),
            ("[]", "holds no scenario"),
        ],
    )
    def test_a_wrong_one_is_refused_with_its_place(self, tmp_path: Any, text: str, message: str) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        with pytest.raises(VruError) as caught:
            load_scenario(str(path))
        assert message in caught.value.message and "mine.yaml" in caught.value.message

    def test_one_that_is_not_there_is_named(self) -> None:
        with pytest.raises(VruError, match="There is no scenario 'nope'"):
            load_scenario("nope")

    def test_a_road_without_room_for_false_alarms_is_refused(self) -> None:
        road = {"road_users": [{"class": "pedestrian", "first_s": 0, "last_s": 5}], "duration_s": 5.1}
        with pytest.raises(VruError, match="no moment for a false alarm"):
            planned({"false_alarms_per_minute": 60}, road=road)

    def test_a_road_user_beyond_the_video_is_refused(self) -> None:
        road = {"road_users": [{"class": "pedestrian", "first_s": 0, "last_s": 9}], "duration_s": 5}
        with pytest.raises(VruError, match="visible until 9 s, and the video ends after 5 s"):
            planned(road=road)
