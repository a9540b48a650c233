"""How long a deployment takes, beside Ansible, pyinfra and work by hand: ``python -m benchmarks.deploy``.

A bare Debian 13 server is started as a container (a Docker engine and the OpenSSH client are needed) and deployed to.
Then everything is measured in one run on one machine, in turns, after warm-ups; medians are compared. The tools that
are compared with come from PyPI, into an environment that is removed again. Exit code 1: a target was missed.
"""

import argparse
import re
import shutil
import sys
from typing import Any

from benchmarks.deploy import state, update
from benchmarks.deploy.delay import Delay
from benchmarks.deploy.peers import Peers, install
from benchmarks.deploy.scene import ROOT, Scene, Times, as_json, clocked, in_turns, processes, scene
from benchmarks.deploy.table import Row, markdown
from tests.e2e.laptop import VRU, Laptop

PARTS = ("noop", "delayed", "update", "small")
DELAY_S = 0.1
_BARE = f"cd {ROOT} && docker compose -f docker-compose.production.yml up -d --wait"


def nothing_to_do(at: Scene) -> dict[str, Any]:
    """A deploy that changes nothing, and says so."""
    outcome = at.vru("deploy")
    if outcome["changed"]:
        raise RuntimeError(f"the deploy was to change nothing, and changed {outcome['changed']}")
    return outcome


def compare(at: Scene, peers: Peers, repeats: int) -> dict[str, Times]:
    """All four ways to make sure that nothing has to be done."""
    try:
        found = in_turns(
            repeats,
            ansible=peers.ansible,
            pyinfra=peers.pyinfra,
            vru=lambda: nothing_to_do(at),
            bare=lambda: at.ssh(_BARE),
        )
        recap = peers.ansible()
        if "changed=0" not in recap:
            raise RuntimeError(f"Ansible still changes something:\n{recap[-3000:]}")
    finally:
        peers.close()
    return found


def noop_rows(found: dict[str, Times], outcome: dict[str, Any], limit: float) -> list[Row]:
    """The comparison's rows: times, and how many times faster."""
    vru, ansible, pyinfra, bare = (found[name].median for name in ("vru", "ansible", "pyinfra", "bare"))
    return [
        Row("vru deploy", f"{found['vru']} s", vru, limit, " s"),
        Row("round trips", str(outcome["round_trips"]), outcome["round_trips"], 3),
        Row("bytes sent", f"{outcome['bytes_sent']:,}"),
        Row("Ansible", f"{found['ansible']} s"),
        Row("pyinfra", f"{found['pyinfra']} s"),
        Row("one bare ssh ... docker compose up -d --wait", f"{found['bare']} s"),
        Row("Ansible / vru", f"{ansible / vru:.1f}", ansible / vru, 6, "x", least=True),
        Row("pyinfra / vru", f"{pyinfra / vru:.1f}", pyinfra / vru, 2, "x", least=True),
        Row("vru / bare compose", f"{vru / bare:.1f}"),
    ]


def delayed(at: Scene, line: Delay) -> Scene:
    """The same laptop, behind a long line: another SSH address in its settings."""
    root = at.folder / "far"
    shutil.copytree(at.laptop.root, root, symlinks=True)
    text = (at.laptop.root / ".env.production").read_text()
    text = re.sub(r"(?m)^VRU_HOST=.*$", f"VRU_HOST={line.address}", text)
    text = re.sub(r"(?m)^VRU_SSH_PORT=.*$", f"VRU_SSH_PORT={line.port}", text)
    (root / ".env.production").write_text(text)
    laptop = Laptop(root, at.laptop.home, at.server)
    laptop.vru("validate", "--accept-host-key", at.server.host_key_fingerprint())
    return Scene(at.server, laptop, at.folder)


def update_rows(figures: update.Figures, changed: int) -> list[Row]:
    """The rows of the changed line."""
    times, lives = figures.times(), figures.lives()
    sent = max(figures.bytes_sent)
    ratio = times["vru"].median / times["by hand"].median
    waiting = times["vru"].median / times["by hand, waiting"].median
    rows = [
        Row(f"bytes sent (the changed file has {changed:,})", f"{sent:,}", sent, changed + 65536),
        Row("round trips", str(max(figures.round_trips))),
        Row("vru update --watch 0, command / by hand, command", f"{ratio:.2f}", ratio, 1.3, "x"),
        Row("vru update --watch 0, command / by hand with up --wait, command", f"{waiting:.2f}"),
    ]
    rows += [
        Row(
            f"{name}: command ends; new version answers; failed requests",
            f"{times[name]} s; {lives[name]} s; {figures.refused[name]}",
        )
        for name in times
    ]
    live = lives["vru"].median / lives["by hand"].median
    rows.append(Row("new version answers: vru / by hand", f"{live:.2f}"))
    return rows


def run(parts: list[str], repeats: int) -> bool:
    """Measure and print; whether every target was met."""
    tables: list[tuple[str, list[Row]]] = []
    raw: dict[str, Any] = {}
    with scene() as at:
        fresh, outcome = clocked(lambda: at.vru("deploy", "--accept-host-key", at.server.host_key_fingerprint()))
        raw["fresh"] = {"seconds": fresh, **outcome}
        tables.append(("A bare server", [Row("fresh deploy, until all is verified", f"{fresh:.1f} s")]))
        if {"noop", "delayed"} & set(parts):
            (at.folder / "state").mkdir()
            described = state.described(state.export(at, at.folder / "state"))
            programs = install(at.folder)
            print(f"Ansible and pyinfra keep: {described}.", flush=True)
            ways = {"noop": (0.0, 1.5), "delayed": (DELAY_S, 2.5)}
            for name, (seconds, limit) in ways.items():
                if name not in parts:
                    continue
                with Delay(at.server.ssh_address, at.server.ssh_port, seconds) as line:
                    far = delayed(at, line) if seconds else at
                    where = (line.address, line.port) if seconds else (at.server.ssh_address, at.server.ssh_port)
                    peers = Peers(programs, at, at.folder / "state" / "state.json", at.folder / name, *where)
                    bare = far if not seconds else _through(far, line)
                    found = compare(bare, peers, repeats)
                    rows = noop_rows(found, nothing_to_do(bare), limit)
                title = "Nothing to do" + (f", {seconds * 1000:.0f} ms each way to the SSH port" if seconds else "")
                tables.append((f"{title} ({described})", rows))
                raw[name] = found
        if "update" in parts:
            figures = update.measure(at, repeats)
            changed = (at.laptop.root / update.FILE).stat().st_size
            tables.append(("One changed line of Python", update_rows(figures, changed)))
            raw["update"] = vars(figures)
        if "small" in parts:
            times = {
                "vru --help": (processes(10, [VRU, "--help"]), 0.15),
                "vru validate --local": (
                    processes(10, [VRU, "validate", "--local"], cwd=at.laptop.root, env=at.laptop_environment()), 1.0,
                ),
            }  # fmt: skip
            rows = [Row(name, f"{one} s", one.median, limit, " s") for name, (one, limit) in times.items()]
            tables.append(("On the laptop alone", rows))
            raw["small"] = {name: one for name, (one, _) in times.items()}
    for title, rows in tables:
        print(markdown(title, rows))
    print(as_json(raw), file=sys.stderr)
    return all(row.met for _, rows in tables for row in rows)


def _through(far: Scene, line: Delay) -> Scene:
    """A scene whose `ssh` takes the long line too."""
    return Scene(far.server, far.laptop, far.folder, way=(line.address, line.port))


def main() -> None:
    """Read the options, measure, and say by the exit code whether all targets were met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deploy", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help=f"comma-separated: {', '.join(PARTS)}")
    parser.add_argument("--repeats", type=int, default=5, help="measured rounds (default 5)")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if set(parts) - set(PARTS):
        parser.error(f"there are these parts: {', '.join(PARTS)}")
    sys.exit(0 if run(parts, options.repeats) else 1)


if __name__ == "__main__":
    main()
