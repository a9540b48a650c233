"""The proof of the platform: what is sent is what a camera run reports."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from tests.signals.conftest import free_port

from vru.domain import VruError
from vru.rig import SCENARIO_NAMES, Player, Scenario, load_scenario, plan_of, road_of
from vru.rig.proof import Proof, prove, record, simulate, with_free_port
from vru.rig.scenario import Fault, Output

MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def sent(scenario: Scenario) -> Proof:
    plan = plan_of(scenario, road_of(scenario))
    return prove(scenario, record(scenario, plan), plan)


def simulated(scenario: Scenario) -> Proof:
    plan = plan_of(scenario, road_of(scenario))
    return prove(scenario, simulate(scenario, plan), plan)


def brief(name: str = "brief", **parts: object) -> Scenario:
    said = {"name": name, "road": {"traffic": {"count": 4, "visible_s": 0.6, "every_s": 0.9}}, **parts}
    return Scenario.model_validate(said)


@pytest.mark.slow
def test_twenty_scenarios_are_reported_as_they_were_sent_by_udp() -> None:
    scenarios = [with_free_port(load_scenario(name)) for name in SCENARIO_NAMES]
    with ThreadPoolExecutor(len(scenarios)) as pool:
        proofs = list(pool.map(sent, scenarios))
    assert len(proofs) == 20
    assert {proof.scenario.name: proof.differences for proof in proofs if proof.differences} == {}
    found = {proof.scenario.name: proof.said for proof in proofs}
    # They are no runs of a device that is always right.
    assert found["blind"].detections == 0 and found["blind"].false_positives == 4
    assert found["duplicates"].duplicates == 6
    assert sum(table.misses > 0 for table in found.values()) >= 6


@pytest.mark.slow
def test_the_injected_latency_lies_in_the_reported_interval() -> None:
    covered = bounded = 0
    for seed in range(200):
        proof = simulated(
            Scenario.model_validate(
                {
                    "name": "many",
                    "seed": seed,
                    "road": {"traffic": {"count": 60, "visible_s": 1.5, "every_s": 2.0}},
                    "device": {
                        "delay": {"distribution": "lognormal", "median_ms": 120, "sigma": 0.4},
                        "miss_rate": 0.02,
                    },
                    "clock": {"marker_jitter_ms": 1.0, "drift_ppm": seed - 100},
                }
            )
        )
        assert proof.differences == ()
        covered += proof.covered
        bounded += proof.evaluation.slices["all"]["latency_median_ms"].bounds(0.95)[1] < 300
    assert covered >= 190
    assert bounded == 200, "an interval without bounds covers everything"


def test_a_table_that_does_not_agree_is_told() -> None:
    scenario = brief(device={"delay": {"distribution": "constant", "ms": 100}})
    plan = plan_of(scenario, road_of(scenario))
    recorded = simulate(scenario, plan)
    short = type(recorded)(recorded.signals[1:], recorded.markers, recorded.table)
    proof = prove(scenario, short, plan)
    assert proof.differences == (
        "detections: planned 4, reported 3",
        "misses: planned 0, reported 1",
        "detected in one of them only: track 1",
    )
    late = plan.table_of([plan.transmissions[0], *plan.transmissions[1:]])
    later = type(late)(4, 4, 0, 0, 0, {track: by - 0.08 for track, by in late.latency_s.items()})
    proof = prove(scenario, type(recorded)(recorded.signals, recorded.markers, later), plan)
    assert len(proof.differences) == 4 and "+80.0 ms" in proof.differences[0]


def test_signals_that_fit_several_are_refused_and_not_compared() -> None:
    road = {
        "road_users": [{"class": "pedestrian", "first_s": 0.5 + n / 10, "last_s": 2.0} for n in range(2)],
        "duration_s": 3,
    }
    with pytest.raises(VruError, match="2 signals of brief come while several road users are visible"):
        simulated(brief(road=road, device={"delay": {"distribution": "constant", "ms": 200}}))


class TestBuses:
    """Each bus for real: sender and driver are joined by nothing else."""

    def test_serial(self) -> None:
        proof = sent(brief(output={"driver": "serial"}))
        assert proof.differences == () and proof.said.detections == 4

    def test_can(self) -> None:
        output = {"driver": "can", "settings": {"interface": "virtual", "channel": uuid4().hex}}
        road = {"traffic": {"count": 4, "visible_s": 0.6, "every_s": 0.9, "classes": ["pedestrian", "cyclist"]}}
        proof = sent(brief(output=output, road=road, faults=[{"kind": "garbage", "at_s": 1.0, "count": 3}]))
        assert proof.differences == () and proof.said.detections == 4

    def test_can_that_says_no_class(self) -> None:
        output = {"driver": "can", "settings": {"interface": "virtual", "channel": uuid4().hex}}
        proof = sent(brief(output=output, device={"says_class": False}))
        assert proof.differences == () and proof.said.detections == 4

    def test_http(self) -> None:
        output = {"driver": "http", "settings": {"port": free_port(), "token": "of-the-test"}}
        proof = sent(brief(output=output))
        assert proof.differences == () and proof.said.detections == 4

    @pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
    def test_mqtt(self, broker: int) -> None:
        output = {"driver": "mqtt", "settings": {"host": "127.0.0.1", "port": broker, "topic": "vru/warnings"}}
        proof = sent(brief(output=output))
        assert proof.differences == () and proof.said.detections == 4


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([str(MOSQUITTO), "-c", str(config)], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    yield port
    process.terminate()
    process.wait()


def test_faults_injected_while_it_plays_are_in_the_table() -> None:
    scenario = with_free_port(brief(output=Output().model_dump()))

    def break_it(player: Player) -> None:
        while not player.start_ns or player.media_s() < 1.0:
            time.sleep(0.01)
        player.inject(Fault(kind="silence", seconds=1.0))
        player.inject(Fault(kind="garbage", count=5))
        player.inject(Fault(kind="clock_back", seconds=100))
        while player.media_s() < 2.2:
            time.sleep(0.01)
        player.inject(Fault(kind="false_alarms", count=3))

    plan = plan_of(scenario, road_of(scenario))
    recorded = record(scenario, plan, running=[break_it])
    proof = prove(scenario, recorded, plan)
    assert proof.differences == ()
    assert proof.said.misses == 1, "one road user comes while the device is silent"
    assert proof.said.false_positives == 3
    assert recorded.source is not None and recorded.source.clock_back == 1


def test_a_play_can_be_stopped() -> None:
    scenario = with_free_port(brief(road={"traffic": {"count": 100}}))
    plan = plan_of(scenario, road_of(scenario))

    def stop(player: Player) -> None:
        time.sleep(0.5)
        player.stop()

    before = time.monotonic()
    recorded = record(scenario, plan, running=[stop])
    assert time.monotonic() - before < 20
    assert recorded.table.detections <= 1
