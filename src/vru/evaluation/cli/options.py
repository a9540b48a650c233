"""What the commands share: options that say how files are read, exit codes, and the writing of results.

It imports nothing heavy, so that ``--help`` answers at once.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
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
_SIZE_DIGITS = 6
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Size(click.ParamType[tuple[int, int]]):
    """Width and height in pixels, such as 1920x1080."""

    name = "WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Both numbers."""
        width, _, height = str(value).lower().partition("x")
        short = max(len(width), len(height)) <= _SIZE_DIGITS
        if not (short and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            self.fail(f"{str(value)[:40]!r} is not like 1920x1080.", param, ctx)
        return int(width), int(height)


class Names(click.ParamType[tuple[str, ...]]):
    """Names with commas between."""

    name = "NAMES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Each once."""
        return (
            value
            if isinstance(value, tuple)
            else tuple(dict.fromkeys(name.strip() for name in str(value).split(",") if name.strip()))
        )


class Renaming(click.ParamType[tuple[str, str]]):
    """A name and its new one, such as person=pedestrian."""

    name = "FROM=TO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Both names."""
        before, _, after = (part.strip() for part in str(value).partition("="))
        if not (before and after):
            self.fail(f"{str(value)[:40]!r} is not like person=pedestrian.", param, ctx)
        return before, after


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
    out_of_picture: str = "refuse"
    bad_boxes: str = "refuse"
    classes: tuple[str, ...] = ()
    class_map: tuple[tuple[str, str], ...] = ()
    ignore_other_classes: bool = False
    max_mb: int = LIMIT_BYTES // MEGABYTE

    @property
    def limit_bytes(self) -> int:
        """The largest input."""
        return self.max_mb * MEGABYTE

    def recorded(self) -> dict[str, Any]:
        """What was asked for beside the usual, for the report."""
        asked: dict[str, Any] = {
            "independent_images": self.independent_images or None,
            "sequence_from": self.sequence_from,
            "missing_sequences": self.missing_sequences if self.missing_sequences != "fail" else None,
            "shift_frames": self.shift_frames,
            "out_of_picture": self.out_of_picture if self.out_of_picture != "refuse" else None,
            "bad_boxes": self.bad_boxes if self.bad_boxes != "refuse" else None,
            "classes": list(self.classes) or None,
            "class_map": dict(self.class_map) or None,
            "ignore_other_classes": self.ignore_other_classes or None,
        }
        return {name: value for name, value in asked.items() if value is not None}

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
        "--out-of-picture",
        type=click.Choice(("clip", "keep", "refuse")),
        default="refuse",
        show_default=True,
        help="What to do about boxes that reach out of their picture.",
    ),
    click.option(
        "--bad-boxes",
        type=click.Choice(("skip", "refuse")),
        default="refuse",
        show_default=True,
        help="What to do about boxes without an area.",
    ),
    click.option("--classes", type=Names(), default="", metavar="A,B", help="Evaluate these classes alone."),
    click.option(
        "--map",
        "class_map",
        type=Renaming(),
        multiple=True,
        metavar="FROM=TO",
        help="Give a class of truth and predictions another name; can be repeated.",
    ),
    click.option(
        "--ignore-other-classes", is_flag=True, help="Leave out detections of classes that the truth does not have."
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


def unseen_options(command: _Command) -> _Command:
    """Add what the bounds assume of units that were not seen."""
    truth = click.option(
        "--unseen-truth",
        type=click.FloatRange(1),
        help="How many times the truth of the fullest unit one that was not seen may have.  [default: 2]",
    )
    false_boxes = click.option(
        "--unseen-false-boxes",
        type=click.FloatRange(0),
        help="How many false boxes a frame a unit that was not seen may have.  [default: 3, or as many as there were "
        "boxes in the fullest]",
    )
    return truth(false_boxes(command))


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
        # Where its folder is a file, there is nothing to take away, and that is an error, too.
        with suppress(OSError):
            temporary.unlink()
        fail(VruError(f"{path} cannot be written: {error.strerror}.", "Check the path."))
