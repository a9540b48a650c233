"""Looking at the running platform: verify, status, logs."""

import click

from vru.deploy.checks import validation
from vru.deploy.checks.check import problems
from vru.deploy.commands.common import pass_through, with_server
from vru.deploy.console.reporter import Reporter
from vru.deploy.pipeline import phases
from vru.deploy.remote import verification
from vru.deploy.server import facts
from vru.domain import VruError
from vru.host.strict_json import write


@click.command()
@with_server
def verify(target: phases.Target, report: Reporter, as_json: bool) -> None:
    """Check that the running platform is whole, on the server and from outside."""
    report.phase(7)
    with target.connect() as server:
        checks = verification.verify_on_server(server)
        own = validation.own_ports(target.environment, facts.gather(server))
    checks += verification.verify_outside(target.environment, own)
    phases.show(checks, report)
    data = {"state": verification.worst(checks), "checks": [write(check) for check in checks]}
    found = problems(checks)
    if found:
        raise VruError(
            f"{len(found)} of {len(checks)} checks failed: {', '.join(check.name for check in found)}.", found[0].fix
        )
    report.result(f"All {len(checks)} checks passed.", data)


@click.command()
@with_server
def status(target: phases.Target, report: Reporter, as_json: bool) -> None:
    """Show the services on the server. Exits with 1 if one is not healthy."""
    pass_through(target, ["status", *(["--json"] if as_json else [])])


@click.command()
@click.argument("services", nargs=-1)
@click.option("--tail", type=click.IntRange(0), default=100, show_default=True, help="Last lines of each service.")
@click.option("--since", help="Only lines since then: 10m, 2h, or a timestamp.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@with_server
def logs(
    target: phases.Target,
    report: Reporter,
    as_json: bool,
    services: tuple[str, ...],
    tail: int,
    since: str | None,
    follow: bool,
) -> None:
    """Show the services' log lines: of all, or of those named."""
    arguments = ["logs", *services, "--tail", str(tail)]
    if since:
        arguments += ["--since", since]
    if follow:
        arguments.append("--follow")
    if as_json:
        arguments.append("--json")
    pass_through(target, arguments)
