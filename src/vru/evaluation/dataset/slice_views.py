"""Cuts of a data set: views of the boxes of a size, of a distance, or of the pictures taken by night."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vru.domain import VruError
from vru.evaluation.core.tables import Bools, DataSet, Floats
from vru.evaluation.dataset.conditions import GEOMETRY, Conditions
from vru.evaluation.detection.coco import AREAS
from vru.evaluation.detection.outcomes import View

# Shares hidden, as Caltech's "none", "partial" and "heavy" (Dollár et al. 2012, 2.2); KITTI's levels 0, 1 and 2.
_PARTIAL = 0.35
# Metres: Dollár et al. 2012, 2.1 give 80 and 30 pixels of height for them, where a person is 1.8 m tall.
DISTANCES = {"near": (0.0, 20.0), "medium": (20.0, 60.0), "far": (60.0, np.inf)}


@dataclass(frozen=True, slots=True)
class SliceView:
    """A slice as a view. ``pictures`` is 1 for each picture that belongs to it.

    ``false_positives`` says whether one can tell which false positives belong to it. Nobody can say whether a box on
    nothing is occluded, so there the figures that count them are not determined.
    """

    view: View
    pictures: Floats
    false_positives: bool = True


def kinds_of(slices: Iterable[str]) -> tuple[str, ...]:
    """Which kinds of slice these slices need, such as ``light`` for ``light:night``."""
    kinds = (name.partition(":")[0] for name in slices if ":" in name)
    return tuple(dict.fromkeys(kind for kind in kinds if kind not in ("class", "setup")))


def slice_views(
    data: DataSet, base: View, kinds: Sequence[str], conditions: Conditions, *, pixels: bool = True
) -> tuple[list[SliceView], list[str]]:
    """The views of each kind (``size``, ``occlusion``, ``truncation``, ``distance``, or an attribute's name), of what
    counts in ``base``; and sentences on what they leave out. ``pixels`` is whether boxes are in pixels.

    Raises:
        VruError: the data do not say what a kind asks for.
    """
    found: list[SliceView] = []
    notes: list[str] = []
    for kind in dict.fromkeys(kinds):
        if kind in ("size", "distance") and not pixels:
            raise VruError(f"There are no slices of {kind}: the size of the pictures is not known.", "--size gives it.")
        if kind == "size":
            found += _sizes(data, base)
        elif kind == "occlusion":
            found += _occlusions(data, base, notes)
        elif kind == "truncation":
            found += _truncations(data, base, notes)
        elif kind == "distance":
            found += _distances(data, base, conditions, notes)
        else:
            found += _attribute(data, base, kind, conditions, notes)
    return found, notes


def picture_groups(kind: str, conditions: Conditions) -> dict[str, Bools]:
    """The pictures of each value of an attribute.

    Raises:
        VruError: no picture has it.
    """
    values = conditions.attributes.get(kind)
    if values is None:
        known = ", ".join((*GEOMETRY, *conditions.attributes))
        raise VruError(f"No image has the attribute {kind!r}.", f"Slices can be made of: {known}; see --attributes.")
    column = np.array([value or "" for value in values], dtype=object)
    return {value: np.asarray(column == value, dtype=bool) for value in sorted({item for item in values if item})}


def sequence_groups(data: DataSet, kind: str, conditions: Conditions) -> dict[str, list[bool]]:
    """The sequences of each value of an attribute. Metrics of tracking are about whole sequences.

    Raises:
        VruError: no picture has the attribute, or it changes within a sequence.
    """
    if kind in GEOMETRY:
        raise VruError(f"Figures of tracking have no slices of {kind}.", "Use --protocol default or coco.")
    groups = picture_groups(kind, conditions)
    result: dict[str, list[bool]] = {value: [] for value in groups}
    for number, name in enumerate(data.sequences):
        mine = data.sequence == number
        for value, pictures in groups.items():
            if pictures[mine].any() != pictures[mine].all():
                raise VruError(
                    f"The attribute {kind!r} changes within sequence {name!r}: tracks cannot be cut there.",
                    "Make two sequences of it, or use --protocol default or coco.",
                )
            result[value].append(bool(pictures[mine].any()))
    return result


def _view(data: DataSet, base: View, name: str, truth: Bools, found: Bools | None = None) -> SliceView:
    counts = base.found_counts if found is None else base.found_counts & found
    view = View(name, base.truth_counts & truth, counts, base.found_enters)
    return SliceView(view, np.ones(data.pictures), found is not None)


def _sizes(data: DataSet, base: View) -> list[SliceView]:
    result = []
    for name, (low, high) in AREAS.items():
        if name == "all":
            continue
        truth, found = ((area >= low) & (area <= high) for area in (data.truth.area, data.found.area))
        result.append(_view(data, base, f"size:{name}", truth, found))
    return result


def _occlusions(data: DataSet, base: View, notes: list[str]) -> list[SliceView]:
    share, level = data.truth.occlusion, data.truth.occlusion_level
    unknown = np.isnan(share)
    none = np.where(unknown, level <= 0, share <= 0)
    partial = np.where(unknown, level == 1, (share > 0) & (share <= _PARTIAL))
    heavy = np.where(unknown, level == 2, share > _PARTIAL)
    _say(notes, unknown & (level < 0) & base.truth_counts, "how much of them is hidden: they count as not hidden")
    parts = {"none": none, "partial": partial, "heavy": heavy}
    return [_view(data, base, f"occlusion:{name}", np.asarray(truth, dtype=bool)) for name, truth in parts.items()]


def _truncations(data: DataSet, base: View, notes: list[str]) -> list[SliceView]:
    share = data.truth.truncation
    cut_off = np.where(np.isnan(share), data.truth.truncated, share > 0)
    unknown = np.isnan(share) & ~data.truth.truncated & base.truth_counts
    _say(notes, unknown, "whether they reach out of the picture: they count as if they did not")
    parts = {"none": ~cut_off, "partial": cut_off}
    return [_view(data, base, f"truncation:{name}", np.asarray(truth, dtype=bool)) for name, truth in parts.items()]


def _distances(data: DataSet, base: View, conditions: Conditions, notes: list[str]) -> list[SliceView]:
    metres, camera = data.truth.distance, conditions.calibration
    if camera is not None:
        metres = np.where(np.isnan(metres), camera.distance(data.truth.boxes), metres)
    elif np.isnan(metres).all():
        raise VruError(
            "There are no slices of distance: the truth has no distances, and the camera is not calibrated.",
            "--attributes FILE with a calibration gives them; see docs/measuring.md.",
        )
    _say(notes, np.isnan(metres) & base.truth_counts, "how far away they are: they are in no slice of distance")
    result = []
    for name, (low, high) in DISTANCES.items():
        found = None
        if camera is not None:
            away = camera.distance(data.found.boxes)
            found = (away >= low) & (away < high)
        result.append(_view(data, base, f"distance:{name}", (metres >= low) & (metres < high), found))
    return result


def _attribute(data: DataSet, base: View, kind: str, conditions: Conditions, notes: list[str]) -> list[SliceView]:
    result = []
    groups = picture_groups(kind, conditions)
    for value, pictures in groups.items():
        entering = pictures[data.found.picture]
        enters = entering if base.found_enters is None else entering & base.found_enters
        truth = base.truth_counts & pictures[data.truth.picture]
        view = View(f"{kind}:{value}", truth, base.found_counts & entering, enters)
        result.append(SliceView(view, pictures.astype(np.float64)))
    silent = data.pictures - sum(int(pictures.sum()) for pictures in groups.values())
    if silent:
        notes.append(f"{silent} images do not say their {kind}: they are in none of its slices.")
    return result


def _say(notes: list[str], unknown: Bools, what: str) -> None:
    count = int(unknown.sum())
    if count:
        notes.append(f"{count} truth boxes do not say {what}.")
