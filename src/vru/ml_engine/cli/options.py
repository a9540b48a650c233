"""What the commands share. It imports nothing heavy, so that ``--help`` answers at once."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vru.domain.errors import VruError

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
FILE = click.Path(path_type=Path)


def models_option(function: Callable[..., None]) -> Callable[..., None]:
    """``--models``: where the model repository is."""
    return click.option(
        "--models",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="VRU_MODELS_DIR",
        help="The model repository (also VRU_MODELS_DIR).  [default: models/ here or in the nearest parent]",
    )(function)


def repository_folder(given: Path | None) -> Path:
    """The folder of the model repository: as given, or the nearest ``models``; it may not be there yet."""
    if given is not None:
        return given
    here = Path.cwd()
    found = (folder / "models" for folder in (here, *here.parents) if (folder / "models").is_dir())
    return next(found, here / "models")


def readable_errors(function: Callable[..., None]) -> Callable[..., None]:
    """Say what is wrong in one sentence, with the fix, and end with exit code 1."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except VruError as error:
            click.secho(f"error: {error.message}", fg="red", err=True)
            if error.fix:
                click.echo(f"  {error.fix}", err=True)
            sys.exit(EXIT_FAILED)
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)

    return wrapped
