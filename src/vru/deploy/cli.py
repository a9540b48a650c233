"""The commands of `vru` that have to do with a server."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from vru.deploy import configuration, environment, pipeline, verification
from vru.deploy.checks import problems
from vru.deploy.connection import Address, ConnectionFailedError, Server, connect
from vru.deploy.console import Reporter, reporter
from vru.deploy.host_keys import HostKeyError
from vru.deploy.orchestration import DeploymentFailedError
from vru.deploy.remote_setup import PROGRAM_COMMAND
from vru.domain import VruError

EXIT_FAILED, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 1, 3, 130


def _project_root(given: Path | None) -> Path:
    """The given folder, or the nearest one upwards with the compose file; else here (the checks say what lacks)."""
    if given is not None:
        return given.resolve()
    here = Path.cwd()
    return next((at for at in (here, *here.parents) if (at / "docker-compose.production.yml").is_file()), here)


def _ask(question: str) -> bool:
    return click.confirm(question, default=False, err=True)


def _target(root: Path, host: str | None, accept_host_key: str | None) -> pipeline.Target:
    settings = environment.load(root / environment.FILE_NAME, host=host)
    ask = _ask if sys.stdin.isatty() else None

    def open_connection() -> Server:
        address = Address(settings.require_host(), settings.ssh_port, settings.ssh_user, settings.ssh_key)
        return connect(address, accept_host_key=accept_host_key, ask=ask)

    return pipeline.Target(root, settings, open_connection)


@contextmanager
def _errors(report: Reporter) -> Iterator[None]:
    """Turn what goes wrong into one clear sentence, the fix and an exit code."""
    try:
        yield
    except VruError as error:
        logs = error.logs if isinstance(error, DeploymentFailedError) else ()
        found = error.checks if isinstance(error, pipeline.ValidationFailedError) else []
        report.failed(error, logs, {"checks": [check.as_json() for check in found]} if found else None)
        unreachable = isinstance(error, ConnectionFailedError | HostKeyError)
        sys.exit(EXIT_UNREACHABLE if unreachable else EXIT_FAILED)
    except KeyboardInterrupt:
        report.failed(
            VruError(
                "Interrupted.", "A change that has begun goes on on the server; run the command again to watch it."
            )
        )
        sys.exit(EXIT_INTERRUPTED)


def _common(function: Callable[..., None]) -> Callable[..., None]:
    """The options of every command."""

    @click.option(
        "--project",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        help="The project's root. Default: the nearest folder upwards with docker-compose.production.yml.",
    )
    @click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
    @wraps(function)
    def command(project: Path | None, as_json: bool, **rest: Any) -> None:
        report = reporter(as_json)
        with _errors(report):
            function(root=_project_root(project), report=report, as_json=as_json, **rest)

    return command


def _server_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say which server is meant."""
    function = click.option("--accept-host-key", metavar="SHA256:...", help="Accept the host key if it is this one.")(
        function
    )
    return click.option("--host", help="SSH address of the server. Default: VRU_HOST.")(function)


def _with_server(function: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that needs the server."""

    @_common
    @_server_options
    @wraps(function)
    def command(root: Path, host: str | None, accept_host_key: str | None, **rest: Any) -> None:
        function(target=_target(root, host, accept_host_key), **rest)

    return command


@click.command()
@click.option("--host", required=True, help="SSH address of the server.")
@click.option("--port", type=click.IntRange(1, 65535), default=22, show_default=True, help="SSH port.")
@click.option("--user", default="root", show_default=True, help="SSH user: root, or one who may use sudo.")
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), help="SSH key. Default: as ssh would choose.")
@click.option("--external-ip", help="Address that users see in URLs. Default: the SSH address.")
@click.option("--force", is_flag=True, help="Replace an existing file; its passwords are kept.")
@_common
def init(root: Path, report: Reporter, as_json: bool, force: bool, **settings: Any) -> None:
    """Write .env.production with generated passwords."""
    file = root / environment.FILE_NAME
    environment.generate(
        file,
        {
            "VRU_HOST": settings["host"],
            "VRU_SSH_PORT": str(settings["port"]),
            "VRU_SSH_USER": settings["user"],
            "VRU_SSH_KEY": str(settings["key"] or ""),
            "VRU_EXTERNAL_IP": settings["external_ip"] or "",
        },
        force=force,
    )
    report.result(f"Wrote {file} (mode 0600). Look through it, then run: vru validate", {"file": str(file)})


@click.command()
@_common
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
@_common
@_server_options
def validate(
    root: Path, report: Reporter, as_json: bool, host: str | None, accept_host_key: str | None, local_only: bool
) -> None:
    """Say what would stop a deployment: all of it at once, and exit with 1 if anything would."""
    report.phase(1)
    try:
        target = _target(root, host, accept_host_key)
    except environment.EnvironmentFileError as error:
        checks = pipeline.validate_without_environment(root, error, report)
    else:
        checks = pipeline.validate(target, report, local_only=local_only)
    if problems(checks):
        raise pipeline.ValidationFailedError(checks)
    report.result("Nothing would stop a deployment.", {"checks": [check.as_json() for check in checks]})


@click.command()
@_with_server
def setup(target: pipeline.Target, report: Reporter, as_json: bool) -> None:
    """Prepare the server: Docker, directories, firewall, units, the host program."""
    outcome = pipeline.deploy(target, report, setup_only=True)
    report.result(_changes("The server is prepared.", outcome), outcome)


@click.command()
@_with_server
def deploy(target: pipeline.Target, report: Reporter, as_json: bool) -> None:
    """Put the platform on the server: the seven phases. Run again, it changes only what differs."""
    outcome = pipeline.deploy(target, report)
    report.result(_changes(f"The platform is live: {_address(target)}", outcome), outcome)


@click.command()
@_with_server
def update(target: pipeline.Target, report: Reporter, as_json: bool) -> None:
    """Put changed code or settings live on a server that already runs the platform."""
    outcome = pipeline.deploy(target, report, update=True)
    report.result(_changes(f"The platform is live: {_address(target)}", outcome), outcome)


@click.command()
@_with_server
def verify(target: pipeline.Target, report: Reporter, as_json: bool) -> None:
    """Check that the running platform is whole, on the server and from outside."""
    report.phase(7)
    with target.connect() as server:
        checks = verification.verify_inside(server)
    checks += verification.verify_outside(target.environment)
    pipeline.show(checks, report)
    data = {"state": verification.worst(checks), "checks": [check.as_json() for check in checks]}
    found = problems(checks)
    if found:
        raise VruError(
            f"{len(found)} of {len(checks)} checks failed: {', '.join(check.name for check in found)}.", found[0].fix
        )
    report.result(f"All {len(checks)} checks passed.", data)


@click.command()
@_with_server
def status(target: pipeline.Target, report: Reporter, as_json: bool) -> None:
    """Show the services on the server. Exits with 1 if one is not healthy."""
    _pass_through(target, ["status", *(["--json"] if as_json else [])])


@click.command()
@click.argument("services", nargs=-1)
@click.option("--tail", type=click.IntRange(0), default=100, show_default=True, help="Last lines of each service.")
@click.option("--since", help="Only lines since then: 10m, 2h, or a timestamp.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@_with_server
def logs(
    target: pipeline.Target,
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
    _pass_through(target, arguments)


def _pass_through(target: pipeline.Target, arguments: list[str]) -> NoReturn:
    """Run the host program, hand its output on unchanged, and exit with 0 or 1 as it did well or not."""
    with target.connect() as server:
        exit_code, stderr = server.stream([*PROGRAM_COMMAND, *arguments], lambda line: print(line, end="", flush=True))
    sys.stderr.write(stderr)
    sys.exit(EXIT_FAILED if exit_code else 0)


def _changes(text: str, outcome: dict[str, Any]) -> str:
    if not outcome["changed"]:
        return f"Nothing to change. {text}"
    return f"{text} ({outcome['changed']} changes, release {outcome['release']})"


def _address(target: pipeline.Target) -> str:
    return target.environment.url(target.environment.http_port)
