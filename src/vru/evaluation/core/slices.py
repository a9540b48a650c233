"""Slices: subsets of the truth that have to hold by themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass
from vru.domain.slices import OCCLUSIONS, SIZES, check_slices


@dataclass(frozen=True, slots=True)
class Sliced:
    """Truth and detections as one slice sees them.

    ``in_slice`` says whether an unmatched detection counts as a false positive of the slice; None if unmatched
    detections cannot be told apart by it (nobody can say whether a false positive is occluded), so that figures which
    count them are not determined.
    """

    truth: GroundTruth
    detections: Sequence[Detection]
    in_slice: Callable[[Box], bool] | None


def class_of(name: str) -> VruClass | None:
    """The class of road users that a slice is; None if it is another slice."""
    kind, _, value = name.partition(":")
    return VruClass(value) if kind == "class" else None


def take(name: str, truth: GroundTruth, detections: Sequence[Detection]) -> Sliced:
    """The slice called ``name``.

    A class slice holds that class's tracks and detections only. In a size or occlusion slice the truth boxes outside
    the slice become ``ignore``: finding them is neither right nor wrong.

    Raises:
        VruError: there is no such slice.
    """
    check_slices([name])
    kind, _, value = name.partition(":")
    if kind == "class":
        tracks = tuple(track for track in truth.tracks if track.road_user == value)
        found = [detection for detection in detections if detection.road_user == value]
        return Sliced(replace(truth, tracks=tracks), found, _everything)
    if kind == "size":
        least, below = SIZES[value]

        def of_size(box: Box) -> bool:
            return least <= box.area < below

        return Sliced(_only(truth, lambda box: of_size(box.box)), detections, of_size)
    if kind == "occlusion":
        occluded = OCCLUSIONS[value]
        return Sliced(_only(truth, lambda box: box.occluded == occluded), detections, None)
    return Sliced(truth, detections, _everything)


def _everything(_: Box) -> bool:
    return True


def _only(truth: GroundTruth, wanted: Callable[[TruthBox], bool]) -> GroundTruth:
    def with_ignored(track: Track) -> Track:
        return replace(track, boxes=tuple(box if wanted(box) else replace(box, ignore=True) for box in track.boxes))

    return replace(truth, tracks=tuple(with_ignored(track) for track in truth.tracks))
