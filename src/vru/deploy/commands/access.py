"""Looking inside the running platform, and closing it for a while: tunnel, exec, maintenance."""

import sys

import click

from vru.deploy.access import container_exec, tunnel
from vru.deploy.commands.common import pass_through, with_server
from vru.deploy.console.reporter import Reporter
from vru.deploy.pipeline import phases

_index_option = click.option(
    "--index",
    type=click.IntRange(1),
    metavar="N",
    help="Which of its containers; 1 is the oldest. Default: the newest.",
)


@click.command("tunnel")
@click.argument("service")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port of this laptop. Default: the service's own, or a free one."
)
@click.option(
    "--to", type=click.IntRange(1, 65535), metavar="PORT", help="Port of the service. Default: its usual one."
)
@_index_option
@with_server
def open_tunnel(
    target: phases.Target,
    report: Reporter,
    as_json: bool,
    service: str,
    port: int | None,
    to: int | None,
    index: int | None,
) -> None:
    """Open SERVICE (grafana, prometheus, postgres, ...) on this laptop until Ctrl-C.

    It goes over SSH: no port of the server is opened. A container that is replaced meanwhile is found again.
    """
    arguments = [service]
    arguments += ["--index", str(index)] if index is not None else []
    arguments += ["--to", str(to)] if to is not None else []
    with tunnel.Tunnel(target.connect, arguments, report.warn) as opened:
        place = opened.check()
        listener, moved = tunnel.listen(port, place.port)
        with listener:
            number = listener.getsockname()[1]
            if moved:
                report.warn(f"Port {place.port} of this laptop is taken; {number} is free.")
            address, login = tunnel.url(target.environment, service, number)
            note = f" ({login} of .env.production)" if login else ""
            report.result(
                f"{service} is open at {address}{note} until Ctrl-C.",
                {"service": service, "url": address, "port": number, "login": login, "container": place.name},
            )
            try:
                opened.serve(listener)
            except KeyboardInterrupt:
                # That is how a tunnel ends.
                sys.exit(0)


@click.command("exec")
@click.argument("service")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@_index_option
@click.option("--user", metavar="USER", help="User inside the container. Default: the service's own.")
@click.option("--no-terminal", "-T", is_flag=True, help="No terminal, even where this is one.")
@with_server
def execute(
    target: phases.Target,
    report: Reporter,
    as_json: bool,
    service: str,
    command: tuple[str, ...],
    index: int | None,
    user: str | None,
    no_terminal: bool,
) -> None:
    """Run COMMAND in a container of SERVICE: vru exec postgres -- psql --version

    Input, output, errors and the exit code are the command's; on a terminal it gets one. The audit on the server
    records who ran which program, without its arguments.
    """
    terminal = not no_terminal and sys.stdin.isatty() and sys.stdout.isatty()
    with target.connect() as server:
        container = container_exec.find_container(server, service, index, command[0])
        exit_code = container_exec.run(server, container, command, terminal=terminal, user=user)
    sys.exit(exit_code)


@click.command()
@click.argument("action", type=click.Choice(["show", "on", "off"]), default="show")
@click.option("--message", default="", metavar="TEXT", help="What users are told.")
@click.option("--for", "duration", metavar="TIME", help="End by itself after a time: 30m, 2h, 1d.")
@with_server
def maintenance(
    target: phases.Target, report: Reporter, as_json: bool, action: str, message: str, duration: str | None
) -> None:
    """Close the platform to its users, open it again, or show whether it is closed.

    While it is closed, nginx answers 503 with a page, or with JSON for the API. Nothing is restarted: what runs
    goes on, uploads that have begun end well, /health answers as before. Updates and reboots do not open it.
    """
    if action != "on" and (message or duration):
        raise click.UsageError("--message and --for belong to: vru maintenance on")
    arguments = ["maintenance", action]
    arguments += ["--message", message] if message else []
    arguments += ["--for", duration] if duration else []
    pass_through(target, [*arguments, *(["--json"] if as_json else [])])
