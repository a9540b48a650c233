"""Which pictures belong to one recording, where the file does not say it.

Frames of a video resemble each other: taken as independent images they prove far too much. What tools export of a video
is often a list of images without a word about the video, so their names have to tell: frames are numbered.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from vru.formats.annotations import HAS_TRACK, Annotations, FormatError, Picture

_NUMBER = re.compile(r"\d+")
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
        (_by_number(annotations.pictures), "their numbered names"),
        (_by_folder(annotations.pictures), "their folders"),
    ):
        if found is not None:
            return _sorted(annotations, found, _told(found, why))
    if all(picture.frame_index is not None for picture in annotations.pictures):
        return _sorted(annotations, ["the recording"] * len(annotations.pictures), _told(["one"], "frame numbers"))
    if _tracks_go_on(annotations):
        return _sorted(annotations, ["the recording"] * len(annotations.pictures), _told(["one"], "track ids"))
    return replace(annotations, assumption=INDEPENDENT)


def _told(recordings: Sequence[str], why: str) -> str:
    count = len(set(recordings))
    return (
        f"The images are taken as frames of {count} recording{'s' if count > 1 else ''}, by {why}; "
        "--independent-images or --sequence-from says otherwise."
    )


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


def _by_number(pictures: Sequence[Picture]) -> list[str] | None:
    """By the name without the number of the frame: the last number in it that counts images of the same name."""
    parts = [_split(picture.name) for picture in pictures]
    most = max(len(numbers) for _, numbers in parts)
    for place in range(1, most + 1):
        groups: dict[str, list[int]] = defaultdict(list)
        owner: list[str | None] = []
        for text, numbers in parts:
            if len(numbers) < place:
                owner.append(None)
                continue
            match = numbers[-place]
            # What comes after the frame's number must be the same but for other numbers.
            before, after = text[: match.start()].strip(_PARTING), _NUMBER.sub("#", text[match.end() :]).strip(_PARTING)
            name = " ".join(part for part in (before, after) if part) or "the recording"
            owner.append(name)
            groups[name].append(int(match.group()))
        counting = {name for name, numbers in groups.items() if _counts(numbers, parts, place)}
        inside = sum(len(groups[name]) for name in counting)
        if 2 * inside > len(pictures):
            own = _unique([picture.name for picture in pictures])
            return [
                name if name is not None and name in counting else own[position] for position, name in enumerate(owner)
            ]
    return None


def _split(name: str) -> tuple[str, list[re.Match[str]]]:
    """A name without its ending, and the numbers in it."""
    stem, _, ending = name.replace("\\", "/").rpartition(".")
    text = _SUFFIX.sub("", stem if stem and not ending.isdecimal() and "/" not in ending else name)
    return text, list(_NUMBER.finditer(text))


def _counts(numbers: Sequence[int], parts: Sequence[tuple[str, list[re.Match[str]]]], place: int) -> bool:
    """Whether these are numbers of frames: they come in even steps, or are too short for ids."""
    rising = sorted(set(numbers))
    if len(rising) < 2:
        return False
    gaps = [after - before for before, after in itertools.pairwise(rising)]
    middle = sorted(gaps)[len(gaps) // 2]
    even = sum(abs(gap - middle) <= _EVEN * middle for gap in gaps)
    if 2 * even >= len(gaps):
        return True
    width = max(len(found[-place].group()) for _, found in parts if len(found) >= place)
    return width < _ID_DIGITS


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
