"""Putting the platform on a server: init, render, validate, setup, deploy, update."""

import getpass
import socket
import sys
from pathlib import Path
from typing import Any

import click

from vru.deploy.checks.check import problems
from vru.deploy.commands.common import (
    EXIT_DIFFERENT,
    common,
    hooks_of,
    hooks_option,
    open_target,
    server_options,
    with_server,
)
from vru.deploy.console.reporter import Reporter
from vru.deploy.pipeline import hooks, phases, saved_plans
from vru.deploy.release import configuration
from vru.deploy.server.facts import ROOT
from vru.deploy.settings import environment
from vru.deploy.ssh.config import Hop, resolve
from vru.deploy.ssh.connection import Address, connect
from vru.domain import VruError
from vru.host.strict_json import write

_LOOK_S = 3.0


@click.command()
@click.option("--host", required=True, help="SSH address of the server.")
@click.option("--port", type=click.IntRange(1, 65535), help="SSH port. Default: as ~/.ssh/config says, else 22.")
@click.option("--user", help="SSH user: root, or one who may use sudo. Default: as ~/.ssh/config says, else root.")
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), help="SSH key. Default: as ssh would choose.")
@click.option("--external-ip", help="Address that users see in URLs. Default: the SSH address.")
@click.option("--force", is_flag=True, help="Replace an existing file; its passwords are kept.")
@common
def init(root: Path, report: Reporter, as_json: bool, force: bool, **settings: Any) -> None:
    """Write .env.production with generated passwords."""
    file = root / environment.FILE_NAME
    had_passwords = file.exists()
    host = settings["host"]
    hop = resolve(host, settings["port"], settings["user"])
    user = settings["user"] or ("root" if hop.user == getpass.getuser() else "")
    written = environment.generate(
        file,
        {
            "VRU_HOST": host,
            "VRU_SSH_PORT": str(settings["port"] or ""),
            "VRU_SSH_USER": user,
            "VRU_SSH_KEY": str(settings["key"] or ""),
            # An alias of ~/.ssh/config is no address for users.
            "VRU_EXTERNAL_IP": settings["external_ip"] or (hop.host if hop.host != host else ""),
        },
        force=force,
    )
    if not had_passwords and _has_passwords(written, hop):
        report.warn(
            f"{host} runs the platform already, with passwords of its own. The next deployment would put the new ones "
            f"in {file.name} in their place, and log everyone out. To keep the old ones, copy them first from "
            f"{ROOT}/.env on the server."
        )
    report.result(f"Wrote {file} (mode 0600). Look through it, then run: vru validate", {"file": str(file)})


def _has_passwords(written: environment.Environment, hop: Hop) -> bool:
    """Whether the server has a deployment's passwords, as far as can be seen without asking anybody anything."""
    try:
        if hop.jump is None and hop.proxy_command is None:
            # A server that does not exist yet is no reason to wait.
            socket.create_connection((hop.host, hop.port), timeout=_LOOK_S).close()
        address = Address(written.require_host(), written.ssh_port, written.ssh_user, written.ssh_key)
        with connect(address) as server:
            return server.run(["test", "-s", f"{ROOT}/.env"], check=False).exit_code == 0
    except (OSError, VruError):
        return False  # `vru validate` says what is wrong with the connection


@click.command()
@common
def render(root: Path, report: Reporter, as_json: bool) -> None:
    """Write the generated configs to config/production/."""
    settings = environment.load(root / environment.FILE_NAME)
    rendered = configuration.render(root, settings, None)
    written = configuration.write(root, rendered)
    report.result(
        f"{len(rendered)} files, {len(written)} of them changed.", {"files": sorted(rendered), "changed": written}
    )


@click.command()
@click.option("--local", "local_only", is_flag=True, help="Look at the project only, not at the server.")
@common
@server_options
def validate(
    root: Path, report: Reporter, as_json: bool, host: str | None, accept_host_key: str | None, local_only: bool
) -> None:
    """Say what would stop a deployment: all of it at once, and exit with 1 if anything would."""
    report.phase(1)
    try:
        target = open_target(root, host, accept_host_key)
    except environment.EnvironmentFileError as error:
        checks = phases.validate_without_environment(root, error, report)
    else:
        checks = phases.validate(target, report, local_only=local_only)
    if problems(checks):
        raise phases.ValidationFailedError(checks)
    report.result("Nothing would stop a deployment.", {"checks": [write(check) for check in checks]})


build_option = click.option(
    "--build",
    type=click.Choice(["server", "local"]),
    default="server",
    show_default=True,
    help="Where missing images are built: on the server, or on this machine, which then sends what the server lacks.",
)


@click.command()
@build_option
@click.option("--exit-code", is_flag=True, help=f"Exit with {EXIT_DIFFERENT} if there is something to change.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the plan's JSON to this file, too.")
@with_server
def plan(target: phases.Target, report: Reporter, as_json: bool, build: str, exit_code: bool, out: Path | None) -> None:
    """Say what a deployment would change, and change nothing.

    On a server that was deployed and not touched since, this says what was changed there by hand. Secrets are masked.
    """
    difference = phases.plan(target, report, build_local=build == "local")
    saved_plans.save(target.root, difference)
    if out is not None:
        saved_plans.write(out, difference)
    if as_json:
        report.result("", difference.as_json())
    else:
        click.echo(saved_plans.show(difference, colour=sys.stdout.isatty()))
    if exit_code and difference.changes:
        sys.exit(EXIT_DIFFERENT)


@click.command()
@with_server
def setup(target: phases.Target, report: Reporter, as_json: bool) -> None:
    """Prepare the server: Docker, directories, firewall, units, the host program."""
    outcome = phases.deploy(target, report, setup_only=True)
    report.result(_changes("The server is prepared.", outcome), outcome)


_watch_option = click.option(
    "--watch",
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="How long new containers are watched while the old ones stand by. Default: VRU_WATCH_S (30).",
)


@click.command()
@click.option("--plan", "planned", metavar="ID", help="Make exactly the changes of this plan, or none (see vru plan).")
@_watch_option
@build_option
@hooks_option
@with_server
def deploy(
    target: phases.Target,
    report: Reporter,
    as_json: bool,
    watch: float | None,
    build: str,
    planned: str | None,
    skip_hooks: bool,
) -> None:
    """Put the platform on the server: the seven phases. Run again, it changes only what differs."""
    agreed = None if planned is None else saved_plans.load(target.root, planned)
    called = hooks_of(target, report, "deploy", skip_hooks)
    outcome = _with_hooks(called, target, report, watch_s=watch, build_local=build == "local", planned=agreed)
    report.result(_changes(f"The platform is live: {_address(target)}", outcome), outcome)


@click.command()
@_watch_option
@build_option
@hooks_option
@with_server
def update(
    target: phases.Target, report: Reporter, as_json: bool, watch: float | None, build: str, skip_hooks: bool
) -> None:
    """Put changed code or settings live on a server that already runs the platform."""
    called = hooks_of(target, report, "update", skip_hooks)
    outcome = _with_hooks(called, target, report, update=True, watch_s=watch, build_local=build == "local")
    report.result(_changes(f"The platform is live: {_address(target)}", outcome), outcome)


def _with_hooks(called: hooks.Hooks, target: phases.Target, report: Reporter, **options: Any) -> dict[str, Any]:
    called.before_connecting()
    cares = called.wants(hooks.PRE_DEPLOY) or called.wants(hooks.DEPLOY_FAILED)
    agree = called.before_deploying if cares else None
    with called.watching():
        outcome = phases.deploy(target, report, agree=agree, **options)
    called.after(hooks.POST_DEPLOY, outcome)
    return outcome


def _changes(text: str, outcome: dict[str, Any]) -> str:
    if not outcome["changed"]:
        return f"Nothing to change. {text}"
    return f"{text} ({outcome['changed']} changes, release {outcome['release']})"


def _address(target: phases.Target) -> str:
    return target.environment.url(target.environment.page_port)
