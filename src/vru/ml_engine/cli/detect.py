"""``vru detect``: a model on a video or on a folder of pictures, in this process. No service, no server."""

from pathlib import Path

import click

from vru.ml_engine.cli.options import FILE, models_option, readable_errors


@click.command()
@click.argument("model", metavar="MODEL[/VERSION]")
@click.argument("media", metavar="VIDEO|FOLDER", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Write the detections to this file.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["coco", "mot"]),
    default="coco",
    show_default=True,
    help="coco: JSON with images, categories and scored annotations; mot: MOT Challenge's text, one class.",
)
@click.option("--score", type=click.FloatRange(0, 1), help="Leave out what is less sure.  [default: the model's own]")
@click.option("--stride", type=click.IntRange(1), default=1, show_default=True, help="Look at every n-th frame.")
@click.option("--class", "only", metavar="CLASS", help="Keep one class of road user.")
@click.option(
    "--threads", type=click.IntRange(1, 256), help="Frames looked at at once.  [default: cores, or the limit]"
)
@models_option
@readable_errors
def detect(
    model: str,
    media: Path,
    output: Path,
    format_name: str,
    score: float | None,
    stride: int,
    only: str | None,
    threads: int | None,
    models: Path | None,
) -> None:
    """Find the road users of a VIDEO, or of the pictures in a FOLDER (JPEG, PNG).

    MODEL is one of the model repository (vru model list), its newest version unless one is named. `vru evaluate TRUTH
    OUTPUT` measures what was found. OUTPUT is written when all is done: an error leaves none behind.
    """
    from vru.ml_engine.cli.run_detect import Request, run

    run(Request(model, media, output, format_name, score, stride, only, threads, models))
