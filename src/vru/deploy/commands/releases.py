"""Releases on the server, and going back to one."""

import click

from vru.deploy.commands.common import hooks_of, hooks_option, pass_through, with_server
from vru.deploy.console.reporter import Reporter
from vru.deploy.pipeline import hooks, phases
from vru.deploy.pipeline import rollback as going_back


@click.command()
@with_server
def releases(target: phases.Target, report: Reporter, as_json: bool) -> None:
    """Show the releases that the server keeps: when, by whom, what each changed, and whether it can come back."""
    pass_through(target, ["releases", *(["--json"] if as_json else [])])


@click.command()
@click.argument("release", required=False)
@click.option(
    "--watch",
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="How long the returning containers are watched while the newer ones stand by. Default: VRU_WATCH_S (30).",
)
@hooks_option
@with_server
def rollback(
    target: phases.Target,
    report: Reporter,
    as_json: bool,
    release: str | None,
    watch: float | None,
    skip_hooks: bool,
) -> None:
    """Go back to RELEASE, or to the one that was deployed before the live one. Nothing is built or sent.

    Files, settings, containers, units, firewall and the host program become what they were. The database stays as it
    is: migrations only expand it.
    """
    watch_s = target.environment.watch_s if watch is None else watch
    called = hooks_of(target, report, "rollback", skip_hooks)
    called.before_connecting()
    called.before_rollback({"release": release})
    with called.watching():
        outcome = going_back.rollback(target, release, report, watch_s=watch_s)
    called.after(hooks.POST_ROLLBACK, outcome)
    said = outcome.get("message") or f"Release {outcome['release']} is live again. ({outcome['changed']} changes)"
    report.result(said, outcome)
