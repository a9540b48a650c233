"""Protocols: what a benchmark counts, how it matches and which figures it reports, as data files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vru.domain import VruError
from vru.evaluation.core.settings import SMALLEST_N, UnseenUnit
from vru.evaluation.detection.kitti import Difficulty
from vru.evaluation.detection.miss_rate import FPPI_POINTS

TASKS = ("detection", "tracking", "kitti", "camera")
FIGURES: Mapping[str, tuple[str, ...]] = {
    "detection": ("coco", "point", "miss_rate", "calibration", "video"),
    "tracking": ("clear", "identity", "hota"),
    "kitti": ("kitti",),
    "camera": ("signals",),
}
_HOW = "docs/measuring.md describes protocols."
_FOLDER = Path(__file__).parent.parent / "protocols"
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Setup:
    """A subset of the truth: pixels of height and width, square pixels, shares hidden and outside of the picture.

    Both ends of a range belong to it. None does not ask.
    """

    height: Range | None = None
    width: Range | None = None
    area: Range | None = None
    occlusion: Range | None = None
    truncation: Range | None = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """Everything that a data file may say; see ``docs/measuring.md``."""

    name: str
    title: str
    source: str
    task: str
    figures: tuple[str, ...]
    classes: tuple[str, ...] = ()
    ignored_classes: frozenset[str] = frozenset()
    # KITTI's regions of nobody's business excuse detections whatever the protocol.
    region_classes: frozenset[str] = frozenset({"DontCare"})
    distractors: frozenset[str] = frozenset()
    neighbours: Mapping[str, frozenset[str]] = field(default_factory=dict)
    ignore_marks: frozenset[str] = frozenset({"crowd", "ignore"})
    ignored_truth: str = "boxes"
    overlap: float = 0.5
    overlap_of: Mapping[str, float] = field(default_factory=dict)
    most: int | None = 100
    score_threshold: float = 0.5
    expand: float | None = None
    aspect: float | None = None
    setups: Mapping[str, Setup] = field(default_factory=dict)
    difficulties: Mapping[str, Difficulty] = field(default_factory=dict)
    headline: str = ""
    fppi_points: tuple[float, ...] = FPPI_POINTS
    bins: int = 15
    tolerance_ms: float = 100.0
    early_ms: float = 1000.0
    start: str = "visible"
    reasonable_height: float = 50.0
    smallest_n: int = SMALLEST_N
    unseen_truth: float = UnseenUnit().truth
    unseen_false_boxes: float | None = UnseenUnit().false_boxes


def protocol_names() -> tuple[str, ...]:
    """The protocols that come with the platform."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load_protocol(name: str) -> Protocol:
    """The protocol called ``name``, or the one in the file of that path (which ends in .yaml or .yml).

    Raises:
        VruError: there is none, or the file says something that is not known; the message names the key.
    """
    if name in protocol_names():
        return read_protocol(name, (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise VruError(
            f"There is no protocol {name!r}.", f"Use one of: {', '.join(protocol_names())}; or a file NAME.yaml."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VruError(f"The protocol {path} cannot be read: {error}.", "Check the path.") from None
    return read_protocol(path.stem, text, str(path))


def read_protocol(name: str, text: str, where: str = "") -> Protocol:  # noqa: C901 - one sentence for each thing that a protocol can have wrong
    """A protocol from its YAML text.

    Raises:
        VruError: a key is unknown, is missing, or has a value that it cannot have.
    """
    where = where or f"protocol {name}"
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise VruError(f"{where} is no YAML: {' '.join(str(error).split())}.", _HOW) from None
    if not isinstance(document, dict):
        raise VruError(f"{where} is no list of keys and values.", _HOW)
    for key in document:
        if key not in _READERS:
            raise VruError(f"{where}: there is no key {key!r}.", f"Keys are: {', '.join(_READERS)}.")
    for key in ("title", "source", "task", "figures"):
        if key not in document:
            raise VruError(f"{where} has no {key}.", _HOW)
    values = {key: _READERS[key](value, f"{where}: {key}") for key, value in document.items()}
    protocol = Protocol(name=name, **values)
    allowed = FIGURES[protocol.task]
    for figure in protocol.figures:
        if figure not in allowed:
            raise VruError(f"{where}: {protocol.task} has no figures {figure!r}.", f"Use: {', '.join(allowed)}.")
    named = {**protocol.setups, **protocol.difficulties}
    if protocol.headline and protocol.headline not in named:
        raise VruError(f"{where}: the headline {protocol.headline!r} is no setup.", f"Use: {', '.join(named)}.")
    if named and not protocol.headline:
        raise VruError(f"{where} has no headline.", f"Name one of: {', '.join(named)}.")
    if protocol.task == "kitti" and not protocol.difficulties:
        raise VruError(f"{where} has no difficulties.", _HOW)
    return protocol


def _bad(where: str, value: object, wanted: str) -> VruError:
    return VruError(f"{where} is {value!r}, not {wanted}.", _HOW)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise _bad(where, value, "a text")
    return value


def _one_of(*choices: str) -> Callable[[object, str], str]:
    def read(value: object, where: str) -> str:
        if value not in choices:
            raise _bad(where, value, f"one of {', '.join(choices)}")
        return str(value)

    return read


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _bad(where, value, "a list")
    return tuple(_text(item, where) for item in value)


def _set(value: object, where: str) -> frozenset[str]:
    return frozenset(_texts(value, where))


def _marks(value: object, where: str) -> frozenset[str]:
    marks = _set(value, where)
    if marks - {"crowd", "ignore"}:
        raise _bad(where, value, "of crowd and ignore")
    return marks


def _real(low: float, high: float) -> Callable[[object, str], float]:
    def read(value: object, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _bad(where, value, f"a number from {low:g} to {high:g}")
        return float(value)

    return read


def _count(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _bad(where, value, "a whole number above 0")
    return value


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _bad(where, value, "a list of names and values")
    return value


def _range(value: object, where: str) -> Range:
    if not isinstance(value, list) or len(value) != 2:
        raise _bad(where, value, "a range [from, to]")
    low, high = (0.0 if value[0] is None else value[0]), (float("inf") if value[1] is None else value[1])
    number = _real(0, float("inf"))
    low, high = number(low, where), number(high, where)
    if low > high:
        raise _bad(where, value, "a range [from, to]")
    return low, high


def _setups(value: object, where: str) -> dict[str, Setup]:
    setups = {}
    for name, asked in _mapping(value, where).items():
        ranges = {}
        for key, wanted in _mapping(asked, f"{where}.{name}").items():
            if key not in Setup.__slots__:
                raise VruError(f"{where}.{name}: there is no key {key!r}.", f"Use: {', '.join(Setup.__slots__)}.")
            ranges[key] = _range(wanted, f"{where}.{name}.{key}")
        setups[name] = Setup(**ranges)
    return setups


def _difficulties(value: object, where: str) -> dict[str, Difficulty]:
    found = {}
    for name, asked in _mapping(value, where).items():
        keys = _mapping(asked, f"{where}.{name}")
        if set(keys) != set(Difficulty.__slots__):
            raise _bad(f"{where}.{name}", asked, f"{', '.join(Difficulty.__slots__)}")
        found[name] = Difficulty(
            _real(0, 1e6)(keys["height"], f"{where}.{name}.height"),
            int(_real(0, 3)(keys["occlusion_level"], f"{where}.{name}.occlusion_level")),
            _real(0, 1)(keys["truncation"], f"{where}.{name}.truncation"),
        )
    return found


def _points(value: object, where: str) -> tuple[float, ...]:
    if not isinstance(value, list) or not value:
        raise _bad(where, value, "a list of numbers")
    points = tuple(_real(1e-9, 1e9)(item, where) for item in value)
    if sorted(set(points)) != list(points):
        raise _bad(where, value, "a list of rising numbers")
    return points


_READERS: Mapping[str, Callable[[object, str], Any]] = {
    "title": _text,
    "source": _text,
    "task": _one_of(*TASKS),
    "figures": _texts,
    "classes": _texts,
    "ignored_classes": _set,
    "region_classes": _set,
    "distractors": _set,
    "neighbours": lambda value, where: {name: _set(item, where) for name, item in _mapping(value, where).items()},
    "ignore_marks": _marks,
    "ignored_truth": _one_of("boxes", "regions"),
    "overlap": _real(0.01, 1),
    "overlap_of": lambda value, where: {
        name: _real(0.01, 1)(item, where) for name, item in _mapping(value, where).items()
    },
    "most": lambda value, where: None if value is None else _count(value, where),
    "score_threshold": _real(-1e9, 1e9),
    "expand": _real(1, 100),
    "aspect": _real(0.01, 100),
    "setups": _setups,
    "difficulties": _difficulties,
    "headline": _text,
    "fppi_points": _points,
    "bins": _count,
    "tolerance_ms": _real(0, 60_000),
    "early_ms": _real(0, 60_000),
    "start": _one_of("visible", "reasonable"),
    "reasonable_height": _real(0, 1e5),
    "smallest_n": _count,
    "unseen_truth": _real(1, 1e6),
    "unseen_false_boxes": _real(0, 1e6),
}
