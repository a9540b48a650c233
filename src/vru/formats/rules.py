"""What is done with boxes and classes that are not as they should be: refused, unless somebody said otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vru.formats.annotations import Annotations, Boxes, FormatError, Key

# Places that a note names.
_NAMED = 5
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rules:
    """``out_of_picture`` is ``refuse``, ``clip`` or ``keep``, ``bad_boxes`` ``refuse`` or ``skip``.

    ``class_map`` gives classes of truth and detections other names; ``ignore_other_classes`` leaves out detections of
    classes that the truth does not have.
    """

    out_of_picture: str = "refuse"
    bad_boxes: str = "refuse"
    class_map: Mapping[str, str] = field(default_factory=dict)
    ignore_other_classes: bool = False


def rename_classes(annotations: Annotations, rules: Rules) -> None:
    """Give the truth's classes the names of the map; those that then have one name are one class."""
    annotations.ignore_others = rules.ignore_other_classes
    if not rules.class_map:
        return
    renamed = {before.lower(): after for before, after in rules.class_map.items()}
    names: list[str] = []
    places: dict[str, int] = {}
    moved = []
    for label in annotations.labels:
        name = renamed.get(label.lower(), label)
        if name.lower() not in places:
            places[name.lower()] = len(names)
            names.append(name)
        moved.append(places[name.lower()])
    keys: dict[Key, int] = {key: moved[position] for key, position in annotations.label_keys.items()}
    keys = {key: position for key, position in keys.items() if not isinstance(key, str) or key.lower() not in renamed}
    boxes = annotations.boxes
    if len(boxes):
        label_of = np.array(moved, dtype=np.int64)[np.frombuffer(boxes.label, dtype=np.int64)]
        boxes.label[:] = type(boxes.label)("q", label_of.tobytes())
    annotations.labels, annotations.label_keys, annotations.renamed = names, keys, renamed
    said = ", ".join(f"{before} is {after}" for before, after in rules.class_map.items())
    annotations.notes.append(f"Classes were renamed, as was asked for: {said}.")


def settle_areas(boxes: Boxes, rules: Rules, whose: str) -> Boxes:
    """The boxes with an area; a detection, unlike truth, may have none, but no side below 0.

    Raises:
        FormatError: one has none, and ``bad_boxes`` does not say to skip it.
    """
    width, height = np.array(boxes.width), np.array(boxes.height)
    bad = (width <= 0) | (height <= 0) if whose == "truth" else (width < 0) | (height < 0)
    found = np.flatnonzero(bad)
    if not len(found):
        return boxes
    if rules.bad_boxes == "refuse":
        number = int(found[0])
        raise FormatError(
            f"{boxes.where(number)}: the box is {width[number]:g} wide and {height[number]:g} high: it has no area."
            + (f" So it is with {len(found)} boxes of {len(boxes)}." if len(found) > 1 else ""),
            "Width and height must be above 0; --bad-boxes skip leaves such boxes out.",
        )
    kept = boxes.only((~bad).tolist())
    kept.notes.append(f"{_counted(boxes, found, whose)} without an area left out: {_places(boxes, found)}.")
    return kept


def settle_edges(boxes: Boxes, annotations: Annotations, rules: Rules, tolerance: float, whose: str = "truth") -> Boxes:
    """The boxes as ``out_of_picture`` wants those that reach out of their picture by more than ``tolerance`` pixels.

    Amodal truth need only touch its picture. Detections are never refused for it.

    Raises:
        FormatError: truth reaches out, and was to be refused.
    """
    if not len(boxes) or rules.out_of_picture == "keep" or (rules.out_of_picture == "refuse" and whose != "truth"):
        return boxes
    sizes = np.array([(picture.width, picture.height) for picture in annotations.pictures], dtype=np.float64)
    sizes = np.where(np.isnan(sizes), np.inf, sizes)[np.frombuffer(boxes.picture, dtype=np.int64)]
    start = np.column_stack([np.array(boxes.x), np.array(boxes.y)])
    end = start + np.column_stack([np.array(boxes.width), np.array(boxes.height)])
    reaching = ((start < -tolerance) | (end > sizes + tolerance)).any(axis=1)
    apart = ((end <= 0) | (start >= sizes)).any(axis=1)
    if rules.out_of_picture == "refuse":
        _refuse(boxes, annotations, np.flatnonzero(apart if annotations.amodal else reaching), sizes)
        return boxes
    if whose == "truth":
        boxes = _without_apart(boxes, apart)
        start, end, sizes, reaching = start[~apart], end[~apart], sizes[~apart], reaching[~apart]
    return _cut(boxes, start, end, sizes, reaching, whose)


def _refuse(boxes: Boxes, annotations: Annotations, found: NDArray[np.int64], sizes: NDArray[np.float64]) -> None:
    if not len(found):
        return
    number = int(found[0])
    left, top = boxes.x[number], boxes.y[number]
    right, bottom = left + boxes.width[number], top + boxes.height[number]
    more = f" So it is with {len(found)} boxes of {len(boxes)}." if len(found) > 1 else ""
    raise FormatError(
        f"{boxes.where(number)} {'lies' if annotations.amodal else 'reaches'} outside of the frame: "
        f"({left:g}, {top:g}) to ({right:g}, {bottom:g}) in {sizes[number][0]:g}x{sizes[number][1]:g} pixels.{more}",
        "Is it the truth of another video? Else --out-of-picture clip cuts boxes at the edge, keep leaves them.",
    )


def _without_apart(boxes: Boxes, apart: Bools) -> Boxes:
    found = np.flatnonzero(apart)
    if not len(found):
        return boxes
    kept = boxes.only((~apart).tolist())
    kept.notes.append(f"{_counted(boxes, found, 'truth')} wholly outside of their picture left out: "
                      f"{_places(boxes, found)}.")  # fmt: skip
    return kept


def _cut(
    boxes: Boxes,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    sizes: NDArray[np.float64],
    reaching: Bools,
    whose: str,
) -> Boxes:
    found = np.flatnonzero(reaching)
    if not len(found):
        return boxes
    start, end = np.clip(start[found], 0, sizes[found]), np.clip(end[found], 0, sizes[found])
    for number, (x, y), (right, bottom) in zip(found.tolist(), start.tolist(), end.tolist(), strict=True):
        boxes.x[number], boxes.y[number] = x, y
        boxes.width[number], boxes.height[number] = right - x, bottom - y
        # What the file calls the area may be a mask's, which is smaller than its box.
        boxes.area[number] = min(boxes.area[number], (right - x) * (bottom - y))
    boxes.notes.append(
        f"{_counted(boxes, found, whose)} reaching out of their picture cut at its edge: {_places(boxes, found)}."
    )
    return boxes


def leave_out_others(boxes: Boxes) -> Boxes:
    """The detections without those of classes that the truth does not have, which have no label."""
    others = np.array(boxes.label) < 0
    if not others.any():
        return boxes
    kept = boxes.only((~others).tolist())
    kept.notes.append(
        f"{np.count_nonzero(others)} of {len(boxes)} detections are of classes that are not evaluated, and left out."
    )
    return kept


def _counted(boxes: Boxes, found: NDArray[np.int64], whose: str) -> str:
    what = "truth boxes" if whose == "truth" else "detections"
    return f"{len(found)} of {len(boxes)} {what}"


def _places(boxes: Boxes, found: NDArray[np.int64]) -> str:
    named = ", ".join(boxes.where(int(number)) for number in found[:_NAMED])
    return named + (", ..." if len(found) > _NAMED else "")
