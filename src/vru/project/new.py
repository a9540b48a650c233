"""``vru new``: lay out a project in an empty folder, from the installed package alone."""

import shutil
import sys
from pathlib import Path

import click

from vru.domain import VruError
from vru.project.files import NAMES, package, source

# What runs on the laptop only, and what tools make: no image is built from it. `.dockerignore` keeps it out as well.
_NOT_IN_IMAGES = {"deploy", "host", "local", "project", "cli.py"}
_MADE = {"__pycache__", "node_modules", ".vite", "static"}


def lay_out(folder: Path) -> None:
    """Write the files of a project: compose file, Dockerfile, templates, models, and the sources of the images.

    Raises:
        VruError: the folder is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VruError(f"{folder} is there already, and not empty.", "Name a folder that does not exist yet.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            _copy(source() / name, folder / name)
        for path in sorted(package().iterdir()):
            if path.name not in _NOT_IN_IMAGES | _MADE:
                _copy(path, folder / "src" / "vru" / path.name)
    except OSError as error:
        raise VruError(f"{error.filename} cannot be written: {error.strerror}.", "Name another folder.") from error


def _copy(one: Path, other: Path) -> None:
    if one.is_dir():
        for path in sorted(one.iterdir()):
            if path.name not in _MADE:
                _copy(path, other / path.name)
    else:
        other.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one, other)
        # Installers do not keep the mode of a package's files.
        other.chmod(0o755 if one.suffix == ".sh" else 0o644)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def new(folder: Path) -> None:
    """Lay out a new project in FOLDER: everything that a deployment needs, to be kept under version control.

    The folder holds the compose file, the Dockerfile, the templates of all configs, the models and the services'
    sources. `vru init` in it writes the settings.
    """
    try:
        lay_out(folder)
    except VruError as error:
        click.secho(f"error: {error.message}", fg="red", err=True)
        click.echo(f"  {error.fix}", err=True)
        sys.exit(1)
    click.echo(f"A project in {folder}. Next:")
    click.echo(f"  cd {folder}")
    click.echo("  vru local demo                      # here, without a server: needs vru-platform[local]")
    click.echo("  vru init --host server.example.org  # then: vru validate, vru plan, vru deploy")
