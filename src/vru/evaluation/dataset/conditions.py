"""Under which conditions each picture was taken, and where the camera stood: what slices of data sets are made from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vru.domain import VruError
from vru.evaluation.core.tables import Floats
from vru.formats.annotations import Annotations

_HOW = "docs/measuring.md describes the file of attributes."
_KEYS = ("all", "sequences", "images", "calibration")
_LARGEST = 64 << 20
# Names that a slice made from geometry already has.
GEOMETRY = ("size", "occlusion", "truncation", "distance")
RESERVED = ("all", "class", "setup", *GEOMETRY)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A camera over flat ground, without lens distortion and without roll.

    ``focal_px`` is the focal length and ``principal_row_px`` the row of the optical axis, both in pixels of the
    pictures; ``height_m`` is the camera's height above the ground; ``pitch_deg`` how far it looks down.
    """

    focal_px: float
    principal_row_px: float
    height_m: float
    pitch_deg: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.focal_px < math.inf and 0 < self.height_m < math.inf):
            raise VruError("A camera's focal length and its height are above 0.", _HOW)
        if not (math.isfinite(self.principal_row_px) and -90 < self.pitch_deg < 90):
            raise VruError("A camera's principal row is a number, and its pitch lies between -90 and 90 degrees.", _HOW)

    def distance(self, boxes: Floats) -> Floats:
        """Metres along the ground to the road users in these boxes (n x 4: x, y, width, height); NaN at the horizon or
        above.

        The lower edge of a box, in row v, is where the road user stands. That ray runs
        ``pitch + atan((v - principal row) / focal length)`` below the horizon and meets the ground at
        ``height / tan`` of this angle. Without pitch that is ``focal length * height / (v - principal row)``.
        Source: Stein, Mano and Shashua, Vision-based ACC with a Single Camera: Bounds on Range and Range Rate Accuracy,
        IEEE Intelligent Vehicles 2003, equation 1. An error of one row changes it by about distance² / (focal length *
        height); feet that are hidden, and ground that rises, make it too long, feet outside of the picture as well.
        """
        row = boxes[:, 1] + boxes[:, 3]
        angle = math.radians(self.pitch_deg) + np.arctan((row - self.principal_row_px) / self.focal_px)
        below = (angle > 0) & (angle < math.pi / 2)
        safe = np.where(below, angle, 1.0)
        return np.asarray(np.where(below, self.height_m / np.tan(safe), np.nan))


@dataclass(frozen=True, slots=True)
class Conditions:
    """``attributes`` has for each name the value of every picture, None where nobody says it."""

    attributes: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    calibration: Calibration | None = None


def conditions_of(annotations: Annotations, path: Path | None = None) -> Conditions:
    """What the truth says about its pictures, and beside it the file at ``path``, whose word comes first.

    Raises:
        VruError: it is no such file, or names an image or a sequence that the truth does not have.
    """
    own = [dict(picture.attributes) for picture in annotations.pictures]
    document = _read(path) if path is not None else {}
    everywhere = _texts(document.get("all", {}), f"{path}: all")
    of_sequence = _groups(document.get("sequences", {}), f"{path}: sequences")
    of_image = _groups(document.get("images", {}), f"{path}: images")
    for name in of_sequence:
        if name not in annotations.sequences:
            raise VruError(f"{path}: the truth has no sequence {name!r}.", _known(annotations.sequences))
    places = annotations.by_key()
    chosen: dict[int, Mapping[str, str]] = {}
    for name, values in of_image.items():
        if name not in places:
            keys = [str(picture.key) for picture in annotations.pictures]
            raise VruError(f"{path}: the truth has no image {name!r}.", _known(keys))
        chosen[places[name]] = values
    for position, picture in enumerate(annotations.pictures):
        sequence = annotations.sequences[picture.sequence]
        own[position] |= {**everywhere, **of_sequence.get(sequence, {}), **chosen.get(position, {})}
    names = dict.fromkeys(name for values in own for name in values)
    for name in names:
        if name in RESERVED:
            raise VruError(f"An attribute cannot be called {name!r}.", "That is a slice of its own: rename it.")
    calibration = _calibration(document["calibration"], f"{path}: calibration") if "calibration" in document else None
    return Conditions({name: tuple(values.get(name) for values in own) for name in names}, calibration)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise VruError(f"{path} is larger than {_LARGEST >> 20} MB.", _HOW)
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise VruError(f"The attributes in {path} cannot be read: {error}.", "Check the path.") from None
    except yaml.YAMLError as error:
        raise VruError(f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}.", _HOW) from None
    if not isinstance(document, dict) or not document:
        raise VruError(f"{path} holds no attributes.", _HOW)
    for key in document:
        if key not in _KEYS:
            raise VruError(f"{path}: there is no key {key!r}.", f"Keys are: {', '.join(_KEYS)}.")
    return document


def _texts(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise VruError(f"{where} is {value!r}, no list of names and values.", _HOW)
    for name, text in value.items():
        # YAML reads yes and 1 as no texts: guessing which word was meant would name a slice that nobody asked for.
        if not isinstance(name, str) or not isinstance(text, str) or not name or not text or ":" in name:
            raise VruError(f"{where}: {name!r}: {text!r} is no name with a text.", 'Write it like light: "night".')
    return value


def _groups(value: object, where: str) -> dict[str, dict[str, str]]:
    if not isinstance(value, dict):
        raise VruError(f"{where} is {value!r}, no list of names.", _HOW)
    return {str(name): _texts(texts, f"{where}: {name}") for name, texts in value.items()}


def _calibration(value: object, where: str) -> Calibration:
    names = Calibration.__slots__
    if not isinstance(value, dict) or set(value) - set(names):
        raise VruError(f"{where} is {value!r}.", f"Its keys are: {', '.join(names)}.")
    for name in names[:3]:
        if name not in value:
            raise VruError(f"{where} has no {name}.", f"Its keys are: {', '.join(names)}.")
    for name, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise VruError(f"{where}: {name} is {number!r}, not a number.", _HOW)
    return Calibration(**{name: float(number) for name, number in value.items()})


def _known(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return f"The truth has: {shown or 'none'}."
