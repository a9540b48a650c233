"""What the commands share: options that say how files are read, exit codes, and the writing of results.

It imports nothing heavy, so that ``--help`` answers at once.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from vru.domain.errors import VruError
from vru.domain.verdicts import Verdict
from vru.formats.names import FORMATS, LIMIT_BYTES, PREDICTION_FORMATS

EXIT = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 3}
EXIT_UNUSABLE = 2
MEGABYTE = 1 << 20
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Size(click.ParamType[tuple[int, int]]):
    """Width and height in pixels, such as 1920x1080."""

    name = "WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Both numbers."""
        width, _, height = str(value).lower().partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            self.fail(f"{value!r} is not like 1920x1080.", param, ctx)
        return int(width), int(height)


@dataclass(frozen=True, slots=True)
class Reading:
    """How truth and predictions are read; see the options of the same names."""

    truth_format: str | None = None
    predictions_format: str | None = None
    frames: int | None = None
    size: tuple[int, int] | None = None
    independent_images: bool = False
    sequence_from: str | None = None
    missing_sequences: str = "fail"
    shift_frames: int | None = None
    max_mb: int = LIMIT_BYTES // MEGABYTE

    @property
    def limit_bytes(self) -> int:
        """The largest input."""
        return self.max_mb * MEGABYTE

    @classmethod
    def taken_from(cls, options: dict[str, Any]) -> "Reading":
        """The reading options among a command's ``options``, which lose them."""
        return cls(**{field.name: options.pop(field.name) for field in fields(cls)})


_OPTIONS = (
    click.option("--truth-format", type=click.Choice(FORMATS), help="Where the content does not tell."),
    click.option(
        "--predictions-format", type=click.Choice(PREDICTION_FORMATS), help="Where the content does not tell."
    ),
    click.option("--frames", type=click.IntRange(1), help="How many frames there are, for MOT and KITTI."),
    click.option("--size", type=Size(), help="Of the pictures in pixels, for YOLO."),
    click.option(
        "--independent-images", is_flag=True, help="The images are no frames of a video, whatever their names say."
    ),
    click.option(
        "--sequence-from",
        metavar="PATTERN",
        help="Regular expression whose first group names the recording in each image's name, such as '^(.*)_[0-9]+'.",
    ),
    click.option(
        "--missing-sequences",
        type=click.Choice(("fail", "empty")),
        default="fail",
        show_default=True,
        help="What to do about a sequence without a file of detections.",
    ),
    click.option(
        "--shift-frames", type=int, help="Move the detections by so many frames; 0 leaves them, and does not ask."
    ),
    click.option(
        "--max-mb", type=click.IntRange(1), default=LIMIT_BYTES // MEGABYTE, show_default=True, help="Largest input."
    ),
)


def reading_options(command: _Command) -> _Command:
    """Add the options of ``Reading`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def fail(error: VruError) -> NoReturn:
    """Say what is wrong and end with exit code 2."""
    click.secho(f"error: {error.message}", fg="red", err=True)
    if error.fix:
        click.echo(f"  {error.fix}", err=True)
    sys.exit(EXIT_UNUSABLE)


def write(path: Path, data: bytes) -> None:
    """Write it whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        fail(VruError(f"{path} cannot be written: {error.strerror}.", "Check the path."))
