"""Which pictures belong to one recording by their names: frames are numbered, or named by their time."""

import itertools
import re
import string
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from vru.formats.annotations import Picture

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
# Label Studio puts this before the name of each upload.
_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
_HEXADECIMAL = re.compile(r"[0-9a-f]{4,16}|[0-9A-F]{4,16}")
_WORD = string.ascii_letters + string.digits
_FOLDER = re.compile(
    r"(?<![a-z])(?:video|vid|clip|seq|sequence|scene|cam|camera|drive|ride|run|rec|recording|take|session)(?![a-z])"
    r"|\.(?:mp4|avi|mov|mkv|webm|m4v)$",
    re.IGNORECASE,
)
# A number of so many digits is an id or a time stamp, unless the numbers come in even steps.
_ID_DIGITS = 9
_EVEN = 0.2
# Hashes have letters too: so few of them come in even steps by chance.
_FEW, _NEARLY_ALL = 3, 0.8
_PARTING = " _-./"


class _Name(NamedTuple):
    """A picture's name without its ending, the numbers in it, and the size of the picture, which a video keeps."""

    text: str
    numbers: list[re.Match[str]]
    size: tuple[float | None, float | None]


def by_names(pictures: Sequence[Picture]) -> list[str | None]:
    """The recording of each picture by its name without the time or the number of the frame, or by names that are equal
    but for a tool's ending; None for a picture of which its name tells nothing.
    """
    prefixed = _prefixed(pictures)
    names = [_split(picture, prefixed=prefixed) for picture in pictures]
    owner: list[str | None] = [None] * len(names)
    _by_time(names, owner)
    _by_hexadecimal(names, owner)
    most = max((len(name.numbers) for name in names), default=0)
    for kind in (_OF_FRAMES, None, _OF_RECORDINGS, _OF_PARTS):
        for place in range(1, most + 1):
            _by_number(names, owner, place, kind)
    twice = Counter(name.text for name, own in zip(names, owner, strict=True) if own is None)
    owner = [name.text if own is None and twice[name.text] > 1 else own for name, own in zip(names, owner, strict=True)]
    return [own if picture.name else None for picture, own in zip(pictures, owner, strict=True)]


def names_a_recording(folder: str) -> bool:
    """Whether a folder's name says that it is of one recording: it says so in a word, or holds a time."""
    return bool(_FOLDER.search(folder)) or any(pattern.search(folder) for pattern in _TIMES)


def _prefixed(pictures: Sequence[Picture]) -> bool:
    """Whether the names begin as Label Studio's uploads do. A date has eight digits as well, but no letter."""
    found = [match.group() for match in map(_PREFIX.match, map(_file, pictures)) if match]
    return (
        2 * len(found) >= len(pictures) and 2 * sum(not prefix[:-1].isdecimal() for prefix in found) >= len(found) > 0
    )


def _file(picture: Picture) -> str:
    return picture.name.replace("\\", "/").rpartition("/")[2]


def _split(picture: Picture, *, prefixed: bool) -> _Name:
    name = picture.name.replace("\\", "/")
    if prefixed:
        folder, slash, file = name.rpartition("/")
        name = f"{folder}{slash}{_PREFIX.sub('', file)}"
    stem, _, ending = name.rpartition(".")
    text = _SUFFIX.sub("", stem if stem and not ending.isdecimal() and "/" not in ending else name)
    return _Name(text, list(_NUMBER.finditer(text)), (picture.width, picture.height))


def _by_hexadecimal(names: Sequence[_Name], owner: list[str | None]) -> None:
    """Pictures whose names end in numbers to the base of 16 that come in even steps; hashes do not."""
    groups: dict[tuple[str, object], list[tuple[float, int]]] = defaultdict(list)
    letters = set[tuple[str, object]]()
    for position, name in enumerate(names):
        before = name.text.rstrip(_WORD)
        last = name.text[len(before) :]
        if owner[position] is None and _HEXADECIMAL.fullmatch(last):
            key: tuple[str, object] = _joined(before, ""), (name.size, len(last))
            groups[key].append((float(int(last, 16)), position))
            if not last.isdecimal():
                letters.add(key)
    for key, members in groups.items():
        if key in letters and len(members) > _FEW and _even([at for at, _ in members], _NEARLY_ALL):
            for _, position in members:
                owner[position] = key[0] or "the recording"


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
    return len(set(numbers)) > 1 and (width < _ID_DIGITS or _even(numbers))


def _even(numbers: Sequence[float], share: float = 0.5) -> bool:
    """Whether two or more numbers come in even steps, at least this share of them."""
    rising = sorted(set(numbers))
    if len(rising) < 2:
        return False
    gaps = [after - before for before, after in itertools.pairwise(rising)]
    middle = sorted(gaps)[len(gaps) // 2]
    return sum(abs(gap - middle) <= _EVEN * middle for gap in gaps) >= share * len(gaps)


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
