"""What ``vru detect`` and ``vru model test`` do."""

import hashlib
import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click
import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vru.domain import VruClass, VruError, parse_class
from vru.ml_engine.batch import Looked, look_at
from vru.ml_engine.cli.options import repository_folder
from vru.ml_engine.cli.run_model import find
from vru.ml_engine.detectors import Detector
from vru.ml_engine.media import Media, open_media
from vru.ml_engine.readers import Readers
from vru.ml_engine.repository import ModelVersion
from vru.ml_engine.results import CocoWriter, MotWriter, Writer, whole_file
from vru.ml_engine.runtimes import load
from vru.ml_engine.settings import usable_cores


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; see the options of ``vru detect``."""

    model: str
    media: Path
    output: Path
    format_name: str
    score: float | None
    stride: int
    only: str | None
    threads: int | None
    models: Path | None


def run(request: Request) -> None:
    """Detect, and write the file.

    Raises:
        VruError: the model, the media or the output cannot be used.
    """
    version = find(repository_folder(request.models), request.model)
    only = parse_class(request.only) if request.only else None
    classes = _kept_classes(version, only, request.format_name)
    with Readers() as readers:
        _run(request, version, classes, readers)


def _run(request: Request, version: ModelVersion, classes: list[VruClass], readers: Readers) -> None:
    workers = request.threads or usable_cores()
    media = open_media(readers, request.media, request.stride, kept=2 * workers + 2)
    if request.format_name == "mot" and not media.is_video:
        raise VruError(f"{request.media} is no video: MOT text counts frames.", "Use --format coco.")
    with closing(_loaded(version, workers)) as detector:
        _write(request, version, classes, media, workers, detector)


def _write(
    request: Request, version: ModelVersion, classes: list[VruClass], media: Media, workers: int, detector: Detector
) -> None:
    seconds: list[float] = []
    found: Counter[str] = Counter()
    with whole_file(request.output) as out:
        writer = _writer(out, classes, request, version, detector)
        for looked in _with_a_bar(detector, media, workers):
            kept = [one for one in looked.found if one.road_user in classes and one.score >= (request.score or 0)]
            writer.take(looked.picture, kept)
            found.update(str(one.road_user) for one in kept)
            seconds.append(looked.seconds)
        writer.finish()
    counts = ", ".join(f"{count} {name}" for name, count in found.most_common()) or "nobody"
    click.echo(f"{request.output}: {counts} in {len(seconds)} pictures, by {version.label} on {detector.provider}.")
    click.echo(f"  {_times(seconds)}")


def test(models: Path | None, name: str, path: Path, frames: int, score: float) -> None:
    """Say what a model finds, and how long it takes."""
    version = find(repository_folder(models), name)
    with Readers() as readers:
        media = open_media(readers, path)
        if media.count > frames:
            media = open_media(readers, path, media.count // frames)
        with closing(_loaded(version, 1)) as detector:
            seconds = []
            for looked in look_at(detector, media.pictures, 1):
                seconds.append(looked.seconds)
                _say(looked, score)
    click.echo(f"{version.label} on {detector.provider}: {_times(seconds)}")


def _say(looked: Looked, score: float) -> None:
    sure = [one for one in looked.found if one.score >= score]
    click.echo(f"{looked.picture.name}: {len(sure) or 'nobody'}{' found' if sure else ''}")
    for one in sure:
        x, y, width, height = one.box.as_tuple()
        click.echo(f"  {one.road_user:<16} {one.score:.2f}  x {x:.0f} y {y:.0f}, {width:.0f} x {height:.0f}")


def _loaded(version: ModelVersion, at_once: int) -> Detector:
    # Pictures are looked at side by side; more threads for each would only compete.
    cv2.setNumThreads(1)
    return load(version, at_once=at_once)


def _kept_classes(version: ModelVersion, only: VruClass | None, format_name: str) -> list[VruClass]:
    if only is not None and only not in version.card.classes:
        known = ", ".join(version.card.classes)
        raise VruError(f"{version.label} finds no {only}.", f"It finds: {known}.")
    classes = [only] if only is not None else sorted(version.card.classes)
    if format_name == "mot" and len(classes) > 1:
        raise VruError(
            f"MOT text cannot name classes, and {version.label} finds {', '.join(classes)}.",
            "Keep one with --class, or use --format coco.",
        )
    return classes


def _writer(
    out: TextIO, classes: list[VruClass], request: Request, version: ModelVersion, detector: Detector
) -> Writer:
    if request.format_name == "mot":
        return MotWriter(out)
    info: dict[str, Any] = {
        "description": f"What {version.label} found in {request.media.name}",
        "source": f"model:{version.label}",
        "model": {"name": version.card.name, "version": version.card.version, "sha256": version.sha256},
        "provider": detector.provider,
        "stride": request.stride,
    }
    if request.media.is_file():
        with request.media.open("rb") as file:
            info["media"] = {"name": request.media.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    return CocoWriter(out, classes, info)


def _with_a_bar(detector: Detector, media: Media, workers: int) -> Iterator[Looked]:
    """As ``look_at``, with a bar on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("detecting", total=media.count)
        for looked in look_at(detector, media.pictures, workers):
            yield looked
            bar.advance(task)


def _times(seconds: list[float]) -> str:
    """The middle and the slow end of the times, in milliseconds."""
    ordered = sorted(seconds)
    slow = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return f"{1000 * statistics.median(ordered):.1f} ms a picture in the middle, {1000 * slow:.1f} ms at 95 %"
