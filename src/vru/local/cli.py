"""The commands of ``vru local``. What they need is imported when they run: ``--help`` stays quick."""

import functools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from vru.domain import VruError

if TYPE_CHECKING:
    from vru.local.layout import Layout
    from vru.local.output import Output
    from vru.local.platform import Platform
    from vru.local.supervisor import Supervisor

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130


def _fail(error: VruError) -> NoReturn:
    click.secho(f"error: {error.message}", fg="red", err=True)
    if error.fix:
        click.echo(f"  {error.fix}", err=True)
    sys.exit(EXIT_FAILED)


def _readable_errors(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except VruError as error:
            _fail(error)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("vru"):
                raise
            _fail(
                VruError(
                    f"{error.name} is not installed: `vru local` needs all services.",
                    "Install them: pip install 'vru-platform[local]', or `make` in a checkout.",
                )
            )
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)

    return wrapped


def _data_option(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where the data, secrets and logs are kept.  [default: .vru of the project]",
    )(function)


def _start_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--port", "port", multiple=True, metavar="NAME=PORT", help="The port of one process; may be repeated."
        ),
        click.option("--base-port", type=click.IntRange(1024, 65000), help="Use this port and the seven after it."),
    ):
        function = option(function)
    return _data_option(function)


def _layout(data: Path | None) -> "Layout":
    from vru.local.layout import Layout, find_project

    return Layout(data.resolve() if data else find_project(Path.cwd().resolve()) / ".vru")


def _open(data: Path | None, base_port: int | None, port: tuple[str, ...]) -> "Platform":
    from vru.local.layout import find_models, find_project
    from vru.local.platform import open_platform
    from vru.local.ports import choose_ports

    overrides = {}
    for text in port:
        name, _, number = text.partition("=")
        if not number.isdecimal():
            raise VruError(f"--port {text!r} is not NAME=PORT.", "For example: --port api_gateway=9000.")
        overrides[name] = int(number)
    project = find_project(Path.cwd().resolve())
    return open_platform(_layout(data), choose_ports(base_port, overrides), find_models(project))


def _print_addresses(platform: "Platform", output: "Output") -> None:
    from vru.local.platform import ADMIN_EMAIL

    output.line()
    output.heading("The platform is up")
    output.line(f"  page       {platform.url('frontend')}")
    output.line(f"  API        {platform.url('api_gateway')}/docs")
    output.line(f"  health     {platform.url('api_gateway')}/health")
    output.line(f"  log in as  {ADMIN_EMAIL}")
    output.line(f"  password   {platform.secrets.admin_password}")
    output.line(f"  logs       {platform.layout.logs}")


@contextmanager
def _started(platform: "Platform", output: "Output") -> "Iterator[Supervisor]":
    from vru.local.platform import running

    output.heading(f"Starting VRU Platform, data in {platform.layout.root}")
    with output.busy("starting") as is_up, running(platform, output.item) as supervisor:
        is_up()
        yield supervisor


def _stay_up(supervisor: "Supervisor", output: "Output") -> None:
    output.line()
    output.line("Ctrl-C stops it. Your data stay.")
    supervisor.watch()


@click.group()
def local() -> None:
    """Run the whole platform on this machine, without Docker and without a server.

    Real PostgreSQL, real Redis, the five services and a worker, each a process of its own. Exit codes: 0 it worked;
    1 it failed; 2 wrong usage; 130 interrupted before it was done.
    """


@local.command()
@_start_options
@_readable_errors
def up(data: Path | None, base_port: int | None, port: tuple[str, ...]) -> None:
    """Start the platform and keep it up until Ctrl-C."""
    from vru.local.output import Output
    from vru.local.supervisor import Interrupted

    output = Output()
    platform = _open(data, base_port, port)
    is_up = False
    try:
        with _started(platform, output) as supervisor:
            is_up = True
            _print_addresses(platform, output)
            _stay_up(supervisor, output)
    except Interrupted:
        sys.exit(0 if is_up else EXIT_INTERRUPTED)


@local.command()
@_start_options
@click.option(
    "--video", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your own video, not the sample."
)
@click.option(
    "--ground-truth",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its ground truth: COCO JSON or CVAT XML.",
)
@click.option(
    "--model", metavar="NAME[/VERSION]", help="Of the model repository; see vru model list.  [default: opencv-hog]"
)
@click.option("--approve", is_flag=True, help="You have checked your ground truth: approve it.")
@click.option("--exit", "exit_after", is_flag=True, help="End after the verdict, whatever it is.")
@_readable_errors
def demo(
    data: Path | None,
    base_port: int | None,
    port: tuple[str, ...],
    video: Path | None,
    ground_truth: Path | None,
    model: str | None,
    approve: bool,
    exit_after: bool,
) -> None:
    """Start the platform, run a validation to its verdict, and keep the platform up until Ctrl-C.

    A platform that already runs on the same data is used as it is. Exit code 0 says that a verdict was reached,
    whatever it is.
    """
    if (video is None) != (ground_truth is None):
        raise click.UsageError("--video and --ground-truth belong together: give both.")
    from vru.local.demo import MODEL, own, sample, validate
    from vru.local.output import Output
    from vru.local.platform import attach
    from vru.local.supervisor import Interrupted, in_background

    output = Output()
    layout = _layout(data)

    def run_it(platform: "Platform") -> None:
        output.line()
        output.heading("Validating a model")
        material = (
            own(video, ground_truth, approve=approve)
            if video and ground_truth
            else sample(platform.layout.root / "sample")
        )
        run = validate(platform, material, output, model or MODEL)
        output.line()
        output.line(f"  Every miss on the video: {platform.url('frontend')}/runs/{run.id}")

    there = attach(layout)
    if there:
        output.heading(f"Using the platform that runs on {layout.root}")
        run_it(there)
        _print_addresses(there, output)
        return
    platform = _open(data, base_port, port)
    reached = False
    try:
        with _started(platform, output) as supervisor:
            in_background(supervisor, lambda: run_it(platform))
            reached = True
            if exit_after:
                return
            _print_addresses(platform, output)
            _print_next_steps(output, data)
            _stay_up(supervisor, output)
    except Interrupted:
        sys.exit(0 if reached else EXIT_INTERRUPTED)


def _print_next_steps(output: "Output", data: Path | None) -> None:
    # As it can be typed here: `make demo` does not put `vru` on the PATH.
    this = Path(sys.argv[0]).absolute()
    on_path = Path(shutil.which("vru") or "")
    vru = "vru" if on_path.absolute() == this else os.path.relpath(this)
    here, cwd = f" --data {data}" if data else "", Path.cwd()
    output.line()
    output.heading("Try next")
    output.line("  Open the page, log in, and look at the run: truth and detections drawn over the video.")
    output.line("  In another terminal:")
    output.line(f"    {vru} local demo{here} --video FILE --ground-truth FILE")
    output.line("        validates your own recording: a video, and COCO JSON or CVAT XML")
    output.line(f"    {vru} local status{here}")
    no_project = not any((folder / "docker-compose.production.yml").is_file() for folder in (cwd, *cwd.parents))
    new, project = (f"{vru} new my-platform && ", " --project my-platform") if no_project else ("", "")
    output.line(f"    {new}{vru} init{project} --host YOUR-SERVER && {vru} deploy{project}")
    output.line("        puts the same platform on a server; docs/operating.md says how")


@local.command()
@_data_option
@_readable_errors
def down(data: Path | None) -> None:
    """Stop the platform that runs in another terminal."""
    from vru.local import state

    layout = _layout(data)
    stopped = state.stop(layout)
    click.echo(f"Stopped the platform on {layout.root}." if stopped else f"Nothing runs on {layout.root}.")


@local.command()
@_data_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_readable_errors
def status(data: Path | None, as_json: bool) -> None:
    """Show the platform's processes. Exit code 1 if it does not run or one of them is not well."""
    from vru.local import state

    layout = _layout(data)
    found = state.status(layout)
    if as_json:
        click.echo(json.dumps(found.as_json() if found else {"running": False, "ok": False, "data": str(layout.root)}))
    elif found is None:
        click.echo(f"Nothing runs on {layout.root}. Start it with `vru local up`.")
    else:
        for process in found.processes:
            mark = click.style("ok", fg="green") if process.ok else click.style("!!", fg="red")
            click.echo(f"{mark}  {process.name:<18} port {process.port:<6} pid {process.pid:<8} {process.detail}")
    sys.exit(0 if found and found.ok else EXIT_FAILED)
