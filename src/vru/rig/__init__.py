"""The virtual rig: a device under test whose every signal is known.

A scenario says who is on the road and how the device behaves: delays, misses, false alarms, duplicates, loss. What is
sent is known to the last signal, so a camera run that receives it can be checked against the truth table:

    scenario = load_scenario("late")
    plan = plan_of(scenario, road_of(scenario))
    plan.table  # road users, detections, misses, false positives, latencies
"""

from vru.rig.plan import Plan, Transmission, TruthTable, plan_of
from vru.rig.player import Player
from vru.rig.road import Road, RoadUser, road_of
from vru.rig.scenario import SCENARIO_NAMES, Scenario, load_scenario

__all__ = [
    "SCENARIO_NAMES",
    "Plan",
    "Player",
    "Road",
    "RoadUser",
    "Scenario",
    "Transmission",
    "TruthTable",
    "load_scenario",
    "plan_of",
    "road_of",
]
