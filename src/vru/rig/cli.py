"""``vru rig``: a virtual device under test, on this machine."""

import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vru.domain import VruError
from vru.rig.scenario import SCENARIO_NAMES, Output, Scenario, load_scenario
from vru.signals.cli import parse_settings

if TYPE_CHECKING:
    from vru.rig.proof import Proof

# They wait for their moments most of the time.
_AT_ONCE = 20
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def rig() -> None:
    """Play the device under test: signals of a road scene, with known delays, misses and false alarms.

    Exit codes: 0 it worked; 1 it did not, or a camera run reports something else than was sent; 2 wrong usage.
    """


@rig.command("list")
def list_scenarios() -> None:
    """List the scenarios that come with the rig. A file of your own is as good: docs/cameras.md says what it holds."""
    width = max(map(len, SCENARIO_NAMES))
    for name in SCENARIO_NAMES:
        click.echo(f"{name:<{width}}  {load_scenario(name).description}")


@rig.command("play")
@click.argument("scenario")
@click.option("--driver", type=click.Choice(["udp", "serial", "can", "http", "mqtt"]), help="Send over this bus.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the bus, such as port=5005.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Other draws of the same scenario.")
@click.option("-o", "--output", type=_FOLDER, help="Write truth, markers and truth table into this folder.")
def play(scenario: str, driver: str | None, settings: tuple[str, ...], seed: int | None, output: Path | None) -> None:
    """Send the signals of SCENARIO, a file or one of `vru rig list`, in real time, and say what was right of them.

    With -o they can be measured: record them meanwhile (`vru signals record`), then `vru evaluate
    FOLDER/truth.coco.json signals.csv --protocol camera --markers FOLDER/markers.csv`.
    """
    _exit_on_error(_play, scenario, driver, settings, seed, output)


@rig.command("prove")
@click.argument("scenarios", nargs=-1)
@click.option("--simulate", is_flag=True, help="Let the signals arrive when planned, and send none.")
@click.option("--driver", type=click.Choice(["udp", "serial", "can", "http", "mqtt"]), help="Send over this bus.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the bus, such as port=5005.")
def prove(scenarios: tuple[str, ...], simulate: bool, driver: str | None, settings: tuple[str, ...]) -> None:
    """Send and receive SCENARIOS (all that come with the rig), measure them as camera runs, and compare.

    Nothing may differ: road users, detections, misses, false positives, duplicates, each latency.
    """
    _exit_on_error(_prove, scenarios or SCENARIO_NAMES, simulate, driver, settings)


def _exit_on_error(run: Any, *arguments: Any) -> None:
    try:
        run(*arguments)
    except VruError as error:
        click.echo(f"error: {error.message}" + (f"\n  {error.fix}" if error.fix else ""), err=True)
        sys.exit(1)


def _asked(name: str, driver: str | None, settings: tuple[str, ...], seed: int | None = None) -> Scenario:
    """The scenario with what the command line changes of it."""
    scenario = load_scenario(name)
    changes: dict[str, Any] = {} if seed is None else {"seed": seed}
    if driver is not None or settings:
        kept = scenario.output.settings if driver in (None, scenario.output.driver) else {}
        given = parse_settings(settings)
        changes["output"] = Output(driver=driver or scenario.output.driver, settings=kept | given)
    return scenario.model_copy(update=changes)


def _play(name: str, driver: str | None, settings: tuple[str, ...], seed: int | None, output: Path | None) -> None:
    from vru.rig.files import write_play
    from vru.rig.plan import plan_of
    from vru.rig.player import Player
    from vru.rig.road import road_of
    from vru.rig.senders import SerialSender, make_sender

    scenario = _asked(name, driver, settings, seed)
    plan = plan_of(scenario, road_of(scenario))
    if output is not None and output.exists() and any(output.iterdir()):
        raise VruError(f"{output} is not empty.", "Name a new folder.")
    sender = make_sender(scenario.output)
    try:
        if isinstance(sender, SerialSender):
            click.echo(f"The serial line is {sender.device}")
        player = Player(plan, sender, scenario.clock, scenario.seed)
        with _bar(plan.road.end_s, scenario.name) as progress:
            table = player.run(progress)
    finally:
        sender.close()
    click.echo(
        f"{len(player.sent)} sent, {plan.lost} lost on the way: {table.detections} of {table.road_users} road users "
        f"detected, {table.misses} missed, {table.false_positives} false positives, {table.duplicates} duplicates"
    )
    if output is not None:
        for path in write_play(output, scenario, plan, player, table):
            click.echo(path)


def _prove(names: tuple[str, ...], simulate: bool, driver: str | None, settings: tuple[str, ...]) -> None:
    from vru.rig.proof import Proof, proof_of, with_free_port

    scenarios = [_asked(name, driver, settings) for name in names]
    if not simulate:
        scenarios = [with_free_port(one) for one in scenarios]
    longest = max(scenarios, key=lambda one: one.road.traffic.count if one.road.traffic else 0)
    with _bar(None, f"{len(names)} scenarios") as progress, ThreadPoolExecutor(_AT_ONCE) as pool:

        def proof(scenario: Scenario) -> Proof:
            return proof_of(scenario, send=not simulate, progress=progress if scenario is longest else None)

        proofs = list(pool.map(proof, scenarios))
    width = max(len(name) for name in names)
    click.echo(f"{'':<{width}}  users  found  missed  false  twice  sent, median  reported, 95 %")
    for one in proofs:
        table = one.said
        click.echo(
            f"{one.scenario.name:<{width}}  {table.road_users:5}  {table.detections:5}  {table.misses:6}  "
            f"{table.false_positives:5}  {table.duplicates:5}  {one.injected_median_ms:9.1f} ms  {_interval(one)}"
        )
        for difference in one.differences:
            click.echo(f"  differs: {difference}")
    wrong = sum(bool(one.differences) for one in proofs)
    if wrong:
        raise VruError(f"{wrong} of {len(names)} scenarios are not reported as they were sent.", "")
    click.echo(f"All {len(names)} are reported as they were sent.")


def _interval(proof: "Proof") -> str:
    lower, upper = proof.evaluation.slices["all"]["latency_median_ms"].bounds(0.95)
    return " ".join(
        part
        for part in (
            f"from {lower:.1f}" if lower is not None and math.isfinite(lower) else "",
            f"to {upper:.1f} ms" if upper is not None and math.isfinite(upper) else "without an upper bound",
        )
        if part
    )


@contextmanager
def _bar(duration_s: float | None, name: str) -> Iterator[Callable[[float], None]]:
    """A progress bar of media seconds, on a terminal only; gives the function that moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.1f} s"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=duration_s)
        yield lambda media_s: bar.update(task, completed=media_s)
