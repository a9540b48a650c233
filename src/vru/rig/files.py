"""What a play leaves behind: the truth, the markers that join the clocks, and the truth table."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

from vru.rig.plan import Plan, TruthTable
from vru.rig.player import Player
from vru.rig.scenario import Scenario
from vru.scenes.truth import to_coco


def write_play(folder: Path, scenario: Scenario, plan: Plan, player: Player, table: TruthTable) -> list[Path]:
    """Write truth.coco.json, markers.csv and truth-table.json into ``folder``; the paths.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    truth, markers, said = (folder / name for name in ("truth.coco.json", "markers.csv", "truth-table.json"))
    truth.write_text(json.dumps(to_coco(plan.road.truth, f"{scenario.name}.mp4", plan.road.times)) + "\n")
    with markers.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("media_s", "time_ns"))
        writer.writerows((repr(one.media_s), one.time_ns) for one in player.markers())
    sent = [
        {
            "at_s": one.at_s,
            "class": one.road_user and one.road_user.value,
            "track_id": one.track_id,
            "garbage": one.garbage,
        }
        for one in player.sent
    ]
    document = {"scenario": scenario.model_dump(mode="json", by_alias=True), **asdict(table), "sent": sent}
    said.write_text(json.dumps(document, indent=1) + "\n")
    return [truth, markers, said]
