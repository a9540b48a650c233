"""``vru rig`` and ``vru signals``, as a user runs them."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from tests.signals.conftest import free_port

from vru.cli import main

SCENARIO = """
description: Four in a row
road: {traffic: {count: 4, visible_s: 0.6, every_s: 1.0}}
device: {miss_rate: 0.6, false_alarms_per_minute: 15, delay: {distribution: constant, ms: 150}}
clock: {markers: 5}
seed: 2
"""


def test_what_is_played_is_recorded_and_measured(tmp_path: Path) -> None:
    scenario = tmp_path / "four.yaml"
    scenario.write_text(SCENARIO)
    port = free_port(socket.SOCK_DGRAM)
    vru = str(Path(sys.executable).with_name("vru"))
    recorder = subprocess.Popen(
        [vru, "signals", "record", "udp", "--set", f"port={port}", "--seconds", "8",
         "-o", str(tmp_path / "signals.csv")],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert recorder.stderr is not None
    while "running" not in recorder.stderr.readline():
        assert recorder.poll() is None
    played = CliRunner().invoke(
        main, ["rig", "play", str(scenario), "--set", f"port={port}", "-o", str(tmp_path / "play")]
    )
    said, _ = recorder.communicate(timeout=30)
    assert played.exit_code == 0, played.output
    table = json.loads((tmp_path / "play" / "truth-table.json").read_text())
    sent = table["detections"] + table["false_positives"]
    assert f"{sent} signals" in said and sent >= 2 and table["misses"] >= 1
    assert f"{table['detections']} of 4 road users detected" in played.output
    truth, markers = (str(tmp_path / "play" / name) for name in ("truth.coco.json", "markers.csv"))
    arguments = ["evaluate", truth, str(tmp_path / "signals.csv"), "--protocol", "camera", "--markers", markers]
    measured = CliRunner().invoke(main, arguments)
    assert measured.exit_code == 0, measured.output
    said_of = {name: float(value) for name, value in re.findall(r"([a-z0-9_]+)\W+([0-9.]+) ", measured.output)}
    assert said_of["track_recall"] == table["detections"] / 4
    assert said_of["false_alarm_signals"] + said_of["early_signals"] == table["false_positives"]
    assert said_of["duplicate_signals"] == table["duplicates"] == 0


def test_a_silent_device_is_a_recording_too(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    output = tmp_path / "silent.csv"
    arguments = ["signals", "record", "udp", "--set", f"port={port}", "--seconds", "0.3", "-o", str(output)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0 and "0 signals" in result.output
    assert output.read_text().strip() == "time_ns,kind,class,value,source,id"
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1 and "is already there" in again.output


def test_a_port_that_is_taken_fails_and_says_so(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        result = CliRunner().invoke(
            main,
            ["signals", "record", "udp", "--set", f"port={port}", "--seconds", "0.5", "-o", str(tmp_path / "x.csv")],
        )
    assert result.exit_code == 1 and "Address already in use" in result.output


def test_wrong_arguments_are_named() -> None:
    for arguments, message in (
        (["rig", "play", "nope"], "There is no scenario 'nope'"),
        (["rig", "play", "prompt", "--set", "port"], "--set port names no setting"),
        (["rig", "play", "prompt", "--set", "colour=red", "--set", "port=9"], "unexpected keyword argument 'colour'"),
        (["rig", "play", "prompt"], "missing a required argument: 'port'"),
        (["rig", "prove", "--simulate", "nope"], "There is no scenario 'nope'"),
        (["signals", "record", "udp", "--set", "port=0", "-o", "/nowhere"], "port"),
        (["signals", "record", "can", "--set", "dbc=@/no/such.dbc", "-o", "/nowhere"], "/no/such.dbc cannot be read"),
        (["signals", "record", "udp", "--set", "port=[", "-o", "/nowhere"], "--set port=[ has no value"),
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 1 and message in result.output, result.output


def test_the_list_and_a_simulated_proof() -> None:
    listed = CliRunner().invoke(main, ["rig", "list"])
    assert listed.exit_code == 0 and len(listed.output.splitlines()) == 20
    proved = CliRunner().invoke(main, ["rig", "prove", "--simulate", "drift", "misses"])
    assert proved.exit_code == 0 and "All 2 are reported as they were sent." in proved.output
