"""How long a deployment takes, what it sends and how often it asks: ``python -m benchmarks.deploy``.

A bare Debian 13 server is started as a container (a Docker engine is needed), deployed to, deployed to again without a
change, updated with one changed line of Python, and removed. Everything is measured in one run on one machine.
"""

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.e2e.bareserver import BareServer
from tests.e2e.laptop import ADDRESS, VRU, Laptop, copy_project

REPEATS = 5


def timed(laptop: Laptop, *arguments: str) -> dict[str, Any]:
    """Run one `vru ... --json`; its last event, with the seconds that it took."""
    started = time.monotonic()
    outcome: dict[str, Any] = laptop.vru_json(*arguments)
    outcome["seconds"] = time.monotonic() - started
    return outcome


def row(name: str, outcomes: list[dict[str, Any]]) -> str:
    """One line of the table: medians where there are several."""
    seconds = [outcome["seconds"] for outcome in outcomes]
    spread = f" ({min(seconds):.2f} to {max(seconds):.2f})" if len(seconds) > 1 else ""
    last = outcomes[-1]
    return (
        f"| {name} | {statistics.median(seconds):.2f}{spread} | {last['bytes_sent']:,} | {last['round_trips']} "
        f"| {last['changed']} |"
    )


def help_seconds() -> list[float]:
    """Wall time of `vru --help`, a whole process each."""
    found = []
    for _ in range(10):
        started = time.monotonic()
        subprocess.run([VRU, "--help"], capture_output=True, check=True)
        found.append(time.monotonic() - started)
    return found


def main() -> None:
    """Measure and print a Markdown table."""
    with tempfile.TemporaryDirectory() as folder, BareServer("vru-bench", address=ADDRESS) as server:
        root, home = Path(folder) / "project", Path(folder) / "home"
        root.mkdir()
        copy_project(root)
        (home / ".ssh").mkdir(mode=0o700, parents=True)
        shutil.copy2(server.key_path, home / ".ssh" / "id_ed25519")
        laptop = Laptop(root, home, server)
        laptop.vru("init", "--host", server.ssh_address, "--port", str(server.ssh_port), "--external-ip", ADDRESS)
        fresh = timed(laptop, "deploy", "--accept-host-key", server.host_key_fingerprint())
        again = [timed(laptop, "deploy") for _ in range(REPEATS)]
        app = root / "src" / "vru" / "gateway" / "app.py"
        original = app.read_text()
        updates = []
        for number in range(REPEATS):
            app.write_text(re.sub(r'title="[^"]*"', f'title="Update {number}"', original, count=1))
            updates.append(timed(laptop, "update"))
    helps = help_seconds()
    print("\n| what | seconds | bytes sent | round trips | changes |\n|---|---|---|---|---|")
    print(row("fresh deploy", [fresh]))
    print(row(f"deploy that changes nothing, median of {REPEATS}", again))
    print(row(f"one changed line of Python, median of {REPEATS}", updates))
    print(f"| `vru --help`, median of {len(helps)} | {statistics.median(helps):.3f} | - | - | - |")
    print(json.dumps({"fresh": fresh, "again": again, "updates": updates, "help": helps}), file=sys.stderr)


if __name__ == "__main__":
    main()
