"""What the commands share: which project and server are meant, how errors end, and exit codes."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from vru.deploy.console.errors import DeploymentFailedError
from vru.deploy.console.reporter import Reporter, reporter
from vru.deploy.pipeline import hooks, phases
from vru.deploy.server import host_program
from vru.deploy.settings import environment
from vru.deploy.ssh.connection import Address, ConnectionFailedError, Server, connect
from vru.deploy.ssh.credentials import PASSWORD_VARIABLE, Credentials
from vru.deploy.ssh.host_keys import HostKeyError
from vru.domain import VruError
from vru.host.strict_json import write

_PASSWORD_FILE = "vru.sudo-password-file"  # noqa: S105 - the name of an option
EXIT_FAILED, EXIT_UNREACHABLE, EXIT_DIFFERENT, EXIT_INTERRUPTED = 1, 3, 4, 130


def project_root(given: Path | None) -> Path:
    """The given folder, or the nearest one upwards with the compose file; else here (the checks say what lacks).

    ``deploy-production.sh`` names its own folder in VRU_PROJECT_DEFAULT, for where there is none upwards.
    """
    if given is not None:
        return given.resolve()
    here = Path.cwd()
    default = os.environ.get("VRU_PROJECT_DEFAULT")
    folders = (here, *here.parents, *([Path(default)] if default else []))
    return next((at for at in folders if (at / "docker-compose.production.yml").is_file()), here)


def _ask(question: str) -> bool:
    return click.confirm(question, default=False, err=True)


def _ask_hidden(question: str) -> str:
    answer: str = click.prompt(question, hide_input=True, default="", show_default=False, err=True)
    return answer


def _credentials() -> Credentials:
    context = click.get_current_context(silent=True)
    file = context.meta.get(_PASSWORD_FILE) if context is not None else None
    return Credentials.of_process(_ask_hidden if sys.stdin.isatty() else None, file)


def open_target(root: Path, host: str | None, accept_host_key: str | None) -> phases.Target:
    """What is deployed where. No connection is made yet."""
    settings = environment.load(root / environment.FILE_NAME, host=host)
    ask = _ask if sys.stdin.isatty() else None
    # One for all connections of this command: what was asked once is not asked again.
    credentials = _credentials()

    def open_connection() -> Server:
        address = Address(settings.require_host(), settings.ssh_port, settings.ssh_user, settings.ssh_key)
        return connect(address, accept_host_key=accept_host_key, ask=ask, credentials=credentials)

    return phases.Target(root, settings, open_connection)


@contextmanager
def _errors(report: Reporter) -> Iterator[None]:
    """Turn what goes wrong into one clear sentence, the fix and an exit code."""
    try:
        yield
    except VruError as error:
        logs = error.logs if isinstance(error, DeploymentFailedError) else ()
        found = error.checks if isinstance(error, phases.ValidationFailedError) else []
        report.failed(error, logs, {"checks": [write(check) for check in found]} if found else None)
        unreachable = isinstance(error, ConnectionFailedError | HostKeyError)
        sys.exit(EXIT_UNREACHABLE if unreachable else EXIT_FAILED)
    except KeyboardInterrupt:
        report.failed(
            VruError(
                "Interrupted.", "A change that has begun goes on on the server; run the command again to watch it."
            )
        )
        sys.exit(EXIT_INTERRUPTED)


def common(function: Callable[..., None]) -> Callable[..., None]:
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
            function(root=project_root(project), report=report, as_json=as_json, **rest)

    return command


def _keep_password_file(context: click.Context, option: click.Parameter, value: Path | None) -> None:
    context.meta[_PASSWORD_FILE] = value


def server_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say which server is meant."""
    function = click.option(
        "--sudo-password-file",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=_keep_password_file,
        help=f"File with sudo's password in its first line. Default: the variable {PASSWORD_VARIABLE}, else asked for.",
    )(function)
    function = click.option("--accept-host-key", metavar="SHA256:...", help="Accept the host key if it is this one.")(
        function
    )
    return click.option("--host", help="SSH address of the server. Default: VRU_HOST.")(function)


def with_server(function: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that needs the server."""

    @common
    @server_options
    @wraps(function)
    def command(root: Path, host: str | None, accept_host_key: str | None, **rest: Any) -> None:
        function(target=open_target(root, host, accept_host_key), **rest)

    return command


def hooks_option(function: Callable[..., None]) -> Callable[..., None]:
    """The option of every command that calls hooks."""
    return click.option("--skip-hooks", is_flag=True, help="Call none of the programs in hooks/.")(function)


def hooks_of(target: phases.Target, report: Reporter, command: str, skip: bool) -> hooks.Hooks:
    """The project's hooks for a command."""
    return hooks.Hooks(target.root, report, command, target.environment.require_host(), skip=skip)


def pass_through(target: phases.Target, arguments: list[str]) -> NoReturn:
    """Run the host program, hand its output on unchanged, and exit with 0 or 1 as it did well or not."""
    with target.connect() as server:
        exit_code, stderr = host_program.stream(server, arguments, lambda line: print(line, end="", flush=True))
    sys.stderr.write(stderr)
    sys.exit(EXIT_FAILED if exit_code else 0)
