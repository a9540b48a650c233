"""Write detections to a file, as they come: COCO JSON, or MOT Challenge's text."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from vru.domain import VruClass, VruError
from vru.ml_engine.detectors import Found
from vru.ml_engine.media import Picture


class Writer(Protocol):
    """Takes what was found, picture by picture."""

    def take(self, picture: Picture, found: Sequence[Found]) -> None:
        """One picture; ``found`` may be empty."""
        ...

    def finish(self) -> None:
        """Write what comes last."""
        ...


class CocoWriter:
    """A whole COCO file: names of images and classes, and a score with each annotation."""

    def __init__(self, out: TextIO, classes: Sequence[VruClass], info: dict[str, Any]) -> None:
        self._out = out
        self._numbers = {road_user: number for number, road_user in enumerate(classes, 1)}
        self._images: list[dict[str, Any]] = []
        self._count = 0
        categories = [{"id": number, "name": str(road_user)} for road_user, number in self._numbers.items()]
        head = {"info": info, "categories": categories}
        out.write(json.dumps(head, allow_nan=False)[:-1] + ', "annotations": [')

    def take(self, picture: Picture, found: Sequence[Found]) -> None:
        """Its annotations are written, its image is kept for the end."""
        height, width = picture.image.shape[:2]
        image = {"id": picture.index, "file_name": picture.name, "width": width, "height": height}
        if picture.time_s is not None:
            image |= {"frame_index": picture.index, "timestamp_s": picture.time_s}
        self._images.append(image)
        for one in found:
            self._count += 1
            annotation = {
                "id": self._count,
                "image_id": picture.index,
                "category_id": self._numbers[one.road_user],
                "bbox": list(one.box.as_tuple()),
                "score": one.score,
            }
            self._out.write(("," if self._count > 1 else "") + "\n" + json.dumps(annotation, allow_nan=False))

    def finish(self) -> None:
        """Close the annotations, and list the images."""
        lines = ",\n".join(json.dumps(image, allow_nan=False) for image in self._images)
        self._out.write(f'\n], "images": [\n{lines}\n]}}\n')


class MotWriter:
    """``frame,-1,left,top,width,height,score,-1,-1,-1``, frames from 1. It cannot name classes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def take(self, picture: Picture, found: Sequence[Found]) -> None:
        """A line a box."""
        for one in found:
            sides = ",".join(repr(side) for side in one.box.as_tuple())
            self._out.write(f"{picture.index + 1},-1,{sides},{one.score!r},-1,-1,-1\n")

    def finish(self) -> None:
        """Nothing comes last."""


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name when all of it is written, or not at all.

    Raises:
        VruError: its folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        out = temporary.open("w", encoding="utf-8")
    except OSError as error:
        raise VruError(
            f"{path} cannot be written: {error.strerror}.", "Give a path in a folder that is there."
        ) from error
    try:
        with out:
            yield out
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
