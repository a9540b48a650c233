"""`vru doctor`: what is wrong with this laptop and its server, each fault with its fix."""

import sys
from pathlib import Path

import click

from vru.deploy.checks.check import problems
from vru.deploy.commands.common import EXIT_FAILED, common, open_target, server_options
from vru.deploy.console.reporter import Reporter, timed
from vru.deploy.doctor import report as doctors_report
from vru.deploy.doctor.examination import LAPTOP, SERVER, examine_laptop, examine_server
from vru.deploy.settings import environment
from vru.host.wire import Check

_COLOURS = {"problem": "red", "warning": "yellow", "unknown": "magenta", "ok": "green"}


@click.command()
@click.option("--local", "local_only", is_flag=True, help="Look at the laptop only, not at the server.")
@click.option("--all", "everything", is_flag=True, help="Show what is well, too.")
@click.option("--list", "list_only", is_flag=True, help="List the faults that are looked for, and look for none.")
@common
@server_options
def doctor(
    root: Path,
    report: Reporter,
    as_json: bool,
    host: str | None,
    accept_host_key: str | None,
    local_only: bool,
    everything: bool,
    list_only: bool,
) -> None:
    """Name what is wrong with this laptop and the server, each fault with its fix. Changes nothing.

    Exits with 1 if there is a problem, with 0 if there are warnings only.
    """
    if list_only:
        _list(report, as_json=as_json)
        return
    try:
        settings: environment.Environment | environment.EnvironmentFileError = environment.load(
            root / environment.FILE_NAME, host=host
        )
    except environment.EnvironmentFileError as error:
        settings = error
    checks = examine_laptop(root, settings)
    if not local_only and isinstance(settings, environment.Environment) and settings.host:
        if as_json:
            checks += examine_server(open_target(root, host, accept_host_key).connect, settings)
        else:
            with timed(report, "looking at the server", settings.host):
                checks += examine_server(open_target(root, host, accept_host_key).connect, settings)
    _show(checks, report, as_json=as_json, everything=everything)
    if problems(checks):
        sys.exit(EXIT_FAILED)


def _list(report: Reporter, *, as_json: bool) -> None:
    if as_json:
        known = {"laptop": LAPTOP, "server": SERVER}
        faults = [
            {"where": where, "name": one.name, "about": one.about}
            for where, several in known.items()
            for one in several
        ]
        report.result("", {"faults": faults})
    else:
        for title, several in (("Of the laptop", LAPTOP), ("Of the server", SERVER)):
            click.echo(f"{title}:\n\n{doctors_report.table(several)}\n")


def _show(checks: list[Check], report: Reporter, *, as_json: bool, everything: bool) -> None:
    if as_json:
        report.result("", doctors_report.as_json(checks))
        return
    for state, line in doctors_report.lines(checks, everything=everything):
        click.echo(click.style(line, fg=_COLOURS.get(state), bold=state == "problem"))
