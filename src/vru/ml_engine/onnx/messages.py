"""What a model's process says of a picture. Its types are checked by the side that asked."""

import msgspec

from vru.domain import VruClass

Row = tuple[VruClass, float, float, float, float, float]
"""Whom a box shows, its score, x, y, width and height."""


class Outcome(msgspec.Struct, array_like=True):
    """The boxes, the surest first, and the seconds of each stage; or message and fix of why there is no answer."""

    found: list[Row] = []
    stages: tuple[float, float, float] = (0.0, 0.0, 0.0)
    refused: tuple[str, str] | None = None
