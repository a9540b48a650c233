"""The recordings of a version as plain values: changing them, comparing them, and their digest."""

import hashlib
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vru.gateway.data_sets.schemas import (
    MOST_ATTRIBUTES,
    MOST_RECORDINGS,
    ChangedRecording,
    FieldChange,
    RecordingChange,
    SliceCount,
    VersionDiff,
)
from vru.reports.canonical import canonical_json
from vru.service.errors import UnprocessableError


@dataclass(frozen=True)
class Item:
    """One recording of a version."""

    name: str
    video_id: uuid.UUID
    ground_truth_id: uuid.UUID
    video_sha256: str
    ground_truth_sha256: str
    attributes: Mapping[str, str]
    tags: Sequence[str]
    calibration: Mapping[str, float] | None


# What a video with one of its ground truths is called and hashed.
Truth = tuple[uuid.UUID, str]


def digest(items: Iterable[Item]) -> str:
    """SHA-256 over what the recordings are, in whatever order they stand: the same content gives the same digest."""
    rows = [
        {name: value for name, value in asdict(item).items() if name not in ("video_id", "ground_truth_id")}
        for item in sorted(items, key=lambda item: item.name)
    ]
    return hashlib.sha256(canonical_json(rows)).hexdigest()


def check(items: Sequence[Item]) -> None:
    """Do nothing if these can be the recordings of one version.

    Raises:
        UnprocessableError: there are none or too many, two have one name, or two are the same video.
    """
    if not items:
        raise UnprocessableError("A version without a recording measures nothing.", "Keep or add at least one.")
    if len(items) > MOST_RECORDINGS:
        raise UnprocessableError(
            f"{len(items)} recordings are more than the {MOST_RECORDINGS} that a data set holds.", "Make two of it."
        )
    owner: dict[str, str] = {}
    names: set[str] = set()
    for item in items:
        if item.name in names:
            raise UnprocessableError(f"Two recordings are called {item.name!r}.", "Give each a name of its own.")
        names.add(item.name)
        if item.video_sha256 in owner:
            raise UnprocessableError(
                f"{owner[item.video_sha256]!r} and {item.name!r} are the same video (their SHA-256 is one): it would "
                "count twice.",
                "Keep one of them.",
            )
        owner[item.video_sha256] = item.name


def without(items: Sequence[Item], names: Sequence[str]) -> list[Item]:
    """The recordings but those with these names.

    Raises:
        UnprocessableError: there is none of that name.
    """
    known = {item.name for item in items}
    for name in names:
        if name not in known:
            raise _unknown(name, known)
    gone = set(names)
    return [item for item in items if item.name not in gone]


def changed(
    items: Sequence[Item], changes: Sequence[ChangedRecording], truths: Mapping[uuid.UUID, Truth]
) -> list[Item]:
    """The recordings with these changes. ``truths`` are the new ground truths: their video and digest, by id.

    Raises:
        UnprocessableError: there is no recording of that name, two changes are about one, or a ground truth is about
            another video.
    """
    by_name = {item.name: item for item in items}
    for name, count in Counter(change.name for change in changes).items():
        if name not in by_name:
            raise _unknown(name, by_name.keys())
        if count > 1:
            raise UnprocessableError(f"There are {count} changes of {name!r}.", "Put them into one.")
    for change in changes:
        by_name[change.name] = _changed(by_name[change.name], change, truths)
    return [by_name[item.name] for item in items]


def _changed(item: Item, change: ChangedRecording, truths: Mapping[uuid.UUID, Truth]) -> Item:
    given = change.model_fields_set
    merged = {**item.attributes, **change.attributes}
    attributes = {name: value for name, value in merged.items() if value is not None}
    if len(attributes) > MOST_ATTRIBUTES:
        raise UnprocessableError(f"{item.name!r} would have {len(attributes)} attributes.", f"Keep {MOST_ATTRIBUTES}.")
    item = replace(item, attributes=attributes)
    if change.tags is not None:
        item = replace(item, tags=sorted(set(change.tags)))
    if "calibration" in given:
        calibration = change.calibration.model_dump() if change.calibration else None
        item = replace(item, calibration=calibration)
    if change.ground_truth_id is not None:
        video_id, sha256 = truths[change.ground_truth_id]
        if video_id != item.video_id:
            raise UnprocessableError(
                f"Ground truth {change.ground_truth_id} is about another video than {item.name!r}.",
                "Name one of this video.",
            )
        item = replace(item, ground_truth_id=change.ground_truth_id, ground_truth_sha256=sha256)
    return item


def _unknown(name: str, known: Iterable[str]) -> UnprocessableError:
    shown = sorted(known)
    listed = ", ".join(shown[:10]) + (", ..." if len(shown) > 10 else "")
    return UnprocessableError(f"The data set has no recording {name!r}.", f"It has: {listed or 'none'}.")


def difference(before: Sequence[Item], after: Sequence[Item], numbers: tuple[int, int]) -> VersionDiff:
    """What changed between the versions with these ``numbers``."""
    old, new = ({item.name: item for item in items} for items in (before, after))
    changes = [
        RecordingChange(name=name, fields=fields)
        for name in new
        if name in old and (fields := _fields(old[name], new[name]))
    ]
    return VersionDiff(
        before=numbers[0],
        after=numbers[1],
        added=[name for name in new if name not in old],
        removed=[name for name in old if name not in new],
        changed=changes,
        unchanged=sum(name in old for name in new) - len(changes),
    )


def _fields(old: Item, new: Item) -> list[FieldChange]:
    pairs: list[tuple[str, Any, Any]] = [
        ("video", old.video_sha256, new.video_sha256),
        ("ground_truth", old.ground_truth_sha256, new.ground_truth_sha256),
        ("tags", list(old.tags), list(new.tags)),
        ("calibration", old.calibration, new.calibration),
    ]
    pairs += [
        (f"attributes.{name}", old.attributes.get(name), new.attributes.get(name))
        for name in sorted({*old.attributes, *new.attributes})
    ]
    return [FieldChange(field=name, before=one, after=other) for name, one, other in pairs if one != other]


def slices(items: Iterable[Item]) -> list[SliceCount]:
    """The slices that attributes and tags make, by name, with how many recordings are in each."""
    counted: Counter[str] = Counter()
    for item in items:
        counted.update(f"{name}:{value}" for name, value in item.attributes.items())
        counted.update(f"tag:{tag}" for tag in item.tags)
    return [SliceCount(slice=name, recordings=count) for name, count in sorted(counted.items())]
