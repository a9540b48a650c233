"""Which pictures belong to one recording, where the file does not say it.

Frames of a video resemble each other: taken as independent images they prove far too much. What tools export of a video
is often a list of images without a word about the video, so their names have to tell: frames are numbered.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from vru.formats.annotations import HAS_TRACK, Annotations, FormatError, Picture

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
# Times: date and time of day, seconds since 1970 (or milli-, micro-, nanoseconds), minutes and seconds, a time of day.
_DATE = r"(?P<year>(?:19|20)\d\d)[-_.]?(?P<month>0[1-9]|1[0-2])[-_.]?(?P<day>0[1-9]|[12]\d|3[01])"
_CLOCK = r"(?P<hour>[01]\d|2[0-3])[-_.:hH]?(?P<minute>[0-5]\d)(?:[-_.:mM]?(?P<second>[0-5]\d)(?:[.,]\d+|[sSzZ])?)?"
_TIMES = (
    re.compile(rf"(?<!\d){_DATE}[-_ T.]*{_CLOCK}(?!\d)"),
    re.compile(r"(?<!\d)(?P<epoch>1\d{9})(?:\d{3}|\d{6}|\d{9})?(?:[._]\d+)?(?!\d)"),
    re.compile(r"(?<!\d)(?P<hour>\d{1,2})[-_.:](?P<minute>[0-5]\d)[-_.:](?P<second>[0-5]\d)(?:[.,]\d+)?(?!\d)"),
    re.compile(r"(?<!\d)(?:(?P<hour>\d{1,2})h)?(?P<minute>\d{1,2})m(?P<second>\d{1,2})(?:\.\d+)?s"),
)
# Pictures whose times are so close, in seconds, are of one drive, however it was cut.
_ONE_DRIVE_S = 600.0
# What a number counts, by the word before it: frames, recordings, or parts of a picture.
_OF_FRAMES = re.compile(r"(?:frame|frm|img|image|picture|photo|snapshot)[-_ ]*$", re.IGNORECASE)
_OF_RECORDINGS = re.compile(
    r"(?:video|vid|clip|seq|sequence|scene|cam|camera|drive|ride|run|rec|recording|take|session)[-_ ]*$", re.IGNORECASE
)
_OF_PARTS = re.compile(r"(?:crop|patch|tile|aug|copy)[-_ ]*$", re.IGNORECASE)
# Roboflow appends this to the name of each image.
_SUFFIX = re.compile(r"(_(?:jpe?g|png|bmp|webp))?\.rf\.[0-9A-Za-z]+$", re.IGNORECASE)
# Folders that sort images, and are no recordings.
_SORTING = {
    "", ".", "images", "image", "img", "imgs", "labels", "jpegimages", "data", "train", "training", "val", "valid",
    "validation", "test", "testing", "all",
}  # fmt: skip
# A number of so many digits is an id or a time stamp, unless the numbers come in even steps.
_ID_DIGITS = 9
_EVEN = 0.2
_PARTING = " _-./"
INDEPENDENT = "The images are taken as independent: nothing in the files says otherwise."


def group_recordings(annotations: Annotations, *, independent: bool = False, pattern: str | None = None) -> Annotations:
    """The annotations with their pictures sorted into recordings, and in ``assumption`` what that rests on.

    ``independent`` takes each picture for itself. ``pattern`` is a regular expression that is searched in each
    picture's name (with its folder); its first group, or all that it matches, names the recording. Without either what
    the file declares holds; else numbered names, track ids, and folders tell.

    Raises:
        FormatError: the pattern is none, or does not occur in a name.
    """
    if independent and pattern is not None:
        raise FormatError("Images cannot be independent and belong to recordings.", "Give one of the two options.")
    if independent:
        names = [picture.name or str(picture.key) for picture in annotations.pictures]
        return _sorted(annotations, _unique(names), "The images are taken as independent, as was asked for.")
    if pattern is not None:
        return _sorted(
            annotations,
            _matched(annotations.pictures, pattern),
            f"Images belong to one recording where {pattern!r} finds the same in their names, as was asked for.",
        )
    if annotations.declared or len(annotations.pictures) < 2:
        return annotations
    for found, why in (
        (_by_source(annotations.pictures), "their source"),
        (_by_name(annotations.pictures), "their numbered names"),
        (_by_folder(annotations.pictures), "their folders"),
    ):
        if found is not None:
            return _sorted(annotations, found, _told(found, why, annotations))
    if all(picture.frame_index is not None for picture in annotations.pictures):
        return _sorted(
            annotations, ["the recording"] * len(annotations.pictures), _told(["one"], "frame numbers", annotations)
        )
    if _tracks_go_on(annotations):
        return _sorted(
            annotations, ["the recording"] * len(annotations.pictures), _told(["one"], "track ids", annotations)
        )
    return replace(annotations, assumption=INDEPENDENT)


def _told(recordings: Sequence[str], why: str, annotations: Annotations) -> str:
    count = len(set(recordings))
    told = (
        f"The images are taken as frames of {count} recording{'s' if count > 1 else ''}, by {why}; "
        "--independent-images or --sequence-from says otherwise."
    )
    if count > 1 or all(picture.time_s is not None for picture in annotations.pictures):
        return told
    return f"{told} With the time of each frame (timestamp_s in COCO) its clips of 10 s would count."


def _sorted(annotations: Annotations, recordings: Sequence[str], assumption: str) -> Annotations:
    names = list(dict.fromkeys(recordings))
    number = {name: position for position, name in enumerate(names)}
    pictures = [
        replace(picture, sequence=number[name]) for picture, name in zip(annotations.pictures, recordings, strict=True)
    ]
    return replace(annotations, pictures=pictures, sequences=names, videos=[], assumption=assumption)


def _unique(names: Sequence[str]) -> list[str]:
    """The names, those that occur again with their place."""
    seen = Counter(names)
    return [name if seen[name] == 1 else f"{name} ({place})" for place, name in enumerate(names)]


def _matched(pictures: Sequence[Picture], pattern: str) -> list[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise FormatError(f"{pattern!r} is no regular expression: {error}.", "For example: '^(.*)_[0-9]+'.") from None
    found = []
    for picture in pictures:
        name = picture.name or str(picture.key)
        match = compiled.search(name)
        if match is None:
            raise FormatError(
                f"{picture.where}: {pattern!r} finds nothing in its name {name!r}.",
                "Write a pattern that finds the recording in each name, such as '^(.*)_[0-9]+'.",
            )
        found.append(match.group(1) if compiled.groups and match.group(1) is not None else match.group())
    return found


def _by_source(pictures: Sequence[Picture]) -> list[str] | None:
    """By what the file says of each image's video, scene or sequence."""
    if any(picture.source is None for picture in pictures):
        return None
    return [str(picture.source) for picture in pictures]


class _Name(NamedTuple):
    """A picture's name without its ending, the numbers in it, and the size of the picture, which a video keeps."""

    text: str
    numbers: list[re.Match[str]]
    size: tuple[float | None, float | None]


def _by_name(pictures: Sequence[Picture]) -> list[str] | None:
    """By the name without the time or the number of the frame, or by names that are equal but for a tool's ending; a
    picture of which they tell nothing stands for itself. None if they tell nothing of any.
    """
    names = [_split(picture) for picture in pictures]
    owner: list[str | None] = [None] * len(names)
    _by_time(names, owner)
    most = max(len(name.numbers) for name in names)
    for kind in (_OF_FRAMES, None, _OF_RECORDINGS, _OF_PARTS):
        for place in range(1, most + 1):
            _by_number(names, owner, place, kind)
    twice = Counter(name.text for name, own in zip(names, owner, strict=True) if own is None)
    owner = [name.text if own is None and twice[name.text] > 1 else own for name, own in zip(names, owner, strict=True)]
    owner = [own if picture.name else None for picture, own in zip(pictures, owner, strict=True)]
    if not any(owner):
        return None
    alone = _unique([picture.name or str(picture.key) for picture in pictures])
    return [own or name for own, name in zip(owner, alone, strict=True)]


def _split(picture: Picture) -> _Name:
    name = picture.name.replace("\\", "/")
    stem, _, ending = name.rpartition(".")
    text = _SUFFIX.sub("", stem if stem and not ending.isdecimal() and "/" not in ending else name)
    return _Name(text, list(_NUMBER.finditer(text)), (picture.width, picture.height))


def _by_time(names: Sequence[_Name], owner: list[str | None]) -> None:
    """Pictures whose names hold times belong together where these are close and the rest of the name is the same."""
    groups: dict[tuple[str, object], list[tuple[float, int]]] = defaultdict(list)
    for position, name in enumerate(names):
        for pattern in _TIMES:
            found = pattern.search(name.text)
            if found is not None:
                rest = _joined(name.text[: found.start()], _NUMBER.sub("#", name.text[found.end() :]))
                groups[rest, name.size].append((_seconds(found.groupdict()), position))
                break
    labels = _labels(groups)
    for key, members in groups.items():
        drives = _drives(sorted(members))
        for number, drive in enumerate(drives, start=1):
            if len(drive) > 1:
                label = labels[key] if len(drives) == 1 else f"{labels[key]} ({number})"
                for position in drive:
                    owner[position] = label


def _drives(members: Sequence[tuple[float, int]]) -> list[list[int]]:
    """Pictures, with their times in order, parted where nothing was taken for long."""
    drives = [[members[0][1]]]
    for (before, _), (now, position) in itertools.pairwise(members):
        if now - before > _ONE_DRIVE_S:
            drives.append([])
        drives[-1].append(position)
    return drives


def _seconds(found: Mapping[str, str | None]) -> float:
    if found.get("epoch"):
        return float(found["epoch"] or 0)
    year, month, day, hour, minute, second = (
        int(found.get(name) or 0) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    # Months of equal length keep the order, and no two drives of one day apart.
    return (((year * 12 + month) * 31 + day) * 24 + hour) * 3600.0 + minute * 60 + second


def _joined(before: str, after: str) -> str:
    return " ".join(part for part in (before.strip(_PARTING), after.strip(_PARTING)) if part)


def _labels(groups: Collection[tuple[str, object]]) -> dict[tuple[str, object], str]:
    """The recordings' names, with the size of their pictures where that alone tells one from another."""
    several = Counter(name for name, _ in groups)
    return {
        (name, size): f"{name or 'the recording'}{f' {size}' if several[name] > 1 else ''}" for name, size in groups
    }


def _by_number(names: Sequence[_Name], owner: list[str | None], place: int, kind: re.Pattern[str] | None) -> None:
    """Pictures without an owner whose names differ in the number at this place from the end alone, if it counts them.

    ``kind`` is what the word before the number says; None for none of the words known.
    """
    groups: dict[tuple[str, object], list[tuple[float, int]]] = defaultdict(list)
    widths: dict[tuple[str, object], int] = defaultdict(int)
    for position, name in enumerate(names):
        if owner[position] is not None or len(name.numbers) < place:
            continue
        match = name.numbers[-place]
        if _kind(name.text[: match.start()]) is not kind or (kind is _OF_RECORDINGS and _counts_frames(name)):
            continue
        key = _without(name, place), name.size
        groups[key].append((float(match.group()), position))
        widths[key] = max(widths[key], len(match.group().partition(".")[0]))
    counting = {key: members for key, members in groups.items() if _counts([at for at, _ in members], widths[key])}
    labels, joined = _labels(counting), _parted_by_folders(counting, names)
    for group, members in counting.items():
        for _, position in members:
            owner[position] = joined.get(group[0]) or labels[group]


@lru_cache(maxsize=1 << 12)
def _kind(before: str) -> re.Pattern[str] | None:
    return next((kind for kind in (_OF_FRAMES, _OF_RECORDINGS, _OF_PARTS) if kind.search(before)), None)


def _counts_frames(name: _Name) -> bool:
    """Whether another number of the name counts frames: then one beside it names a recording, and counts nothing."""
    return any(_OF_FRAMES.search(name.text[: match.start()]) for match in name.numbers)


def _without(name: _Name, place: int) -> str:
    """The name without this number; other numbers after it tell recordings apart only if their word says so."""
    match = name.numbers[-place]
    after, at = "", match.end()
    for later in name.numbers[len(name.numbers) - place + 1 :]:
        named = _OF_RECORDINGS.search(name.text[: later.start()])
        after += name.text[at : later.start()] + (later.group() if named else "#")
        at = later.end()
    return _joined(name.text[: match.start()], after + name.text[at:])


def _counts(numbers: Sequence[float], width: int) -> bool:
    """Whether these are numbers of frames: they come in even steps, or are too short for ids."""
    rising = sorted(set(numbers))
    if len(rising) < 2:
        return False
    gaps = [after - before for before, after in itertools.pairwise(rising)]
    middle = sorted(gaps)[len(gaps) // 2]
    even = sum(abs(gap - middle) <= _EVEN * middle for gap in gaps)
    return 2 * even >= len(gaps) or width < _ID_DIGITS


def _parted_by_folders(
    groups: Mapping[tuple[str, object], Sequence[tuple[float, int]]], names: Sequence[_Name]
) -> dict[str, str]:
    """Groups in several folders whose numbers go on from one to the other, as when frames are sorted into training and
    test: the recording of each. Those of several videos begin anew in each folder.
    """
    folders: dict[str, set[str]] = defaultdict(set)
    numbers: dict[str, list[float]] = defaultdict(list)
    for (group, _), members in groups.items():
        folder, _, name = names[members[0][1]].text.rpartition("/")
        if folder:
            file = _NUMBER.sub("#", name)
            folders[file].add(group)
            numbers[file] += [number for number, _ in members]
    return {
        group: file.replace("#", "").strip(_PARTING) or "the recording"
        for file, several in folders.items()
        if len(several) > 1 and len(set(numbers[file])) == len(numbers[file])
        for group in several
    }


def _by_folder(pictures: Sequence[Picture]) -> list[str] | None:
    """By folder, where there are several with several images each, beyond those that only sort images."""
    folders = [picture.name.replace("\\", "/").rpartition("/")[0] for picture in pictures]
    several = Counter(folders)
    if any(folder.rpartition("/")[2].lower() in _SORTING for folder in several) or len(several) < 2:
        return None
    return folders if sum(count > 1 for count in several.values()) * 2 > len(several) else None


def _tracks_go_on(annotations: Annotations) -> bool:
    """Whether a track id occurs in several pictures."""
    first: dict[int, int] = {}
    boxes = annotations.boxes
    for position in range(len(boxes)):
        if boxes.flags[position] & HAS_TRACK:
            track, picture = boxes.track[position], boxes.picture[position]
            if first.setdefault(track, picture) != picture:
                return True
    return False
