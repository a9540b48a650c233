"""Which pictures belong to one recording, where the file does not say it.

Frames of a video resemble each other: taken as independent images they prove far too much. What tools export of a video
is often a list of images without a word about the video, so their names have to tell: frames are numbered.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from vru.formats.annotations import HAS_TRACK, Annotations, FormatError, Picture
from vru.formats.recording_names import by_names, names_a_recording

# Folders that sort images, and are no recordings.
_SORTING = {
    "", ".", "images", "image", "img", "imgs", "labels", "jpegimages", "data", "train", "training", "val", "valid",
    "validation", "test", "testing", "all",
}  # fmt: skip
# Of each byte of flags, whether the box has a track.
_TRACKED = bytes(flag & HAS_TRACK for flag in range(256))
INDEPENDENT = "The images are taken as independent: nothing in the files says otherwise."


def group_recordings(annotations: Annotations, *, independent: bool = False, pattern: str | None = None) -> Annotations:
    """The annotations with their pictures sorted into recordings, and in ``assumption`` what that rests on.

    ``independent`` takes each picture for itself. ``pattern`` is a regular expression that is searched in each
    picture's name (with its folder); its first group, or all that it matches, names the recording. Without either what
    the file declares holds; else sources, numbered names, folders, frame numbers and track ids tell, each of the
    pictures of which those before it told nothing.

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
    owner: list[str | None] = [None] * len(annotations.pictures)
    why = [name for name, evidence in _EVIDENCE if _filled(owner, evidence(annotations.pictures, owner))]
    if None in owner and _joined_by_tracks(annotations, owner):
        why.append("track ids")
    if not why:
        return replace(annotations, assumption=INDEPENDENT)
    alone = _unique([picture.name or str(picture.key) for picture in annotations.pictures])
    assumption = _told(owner, " and ".join(why), annotations)
    return _sorted(annotations, [own or name for own, name in zip(owner, alone, strict=True)], assumption)


def _filled(owner: list[str | None], found: Sequence[str | None]) -> bool:
    """Take what was found of pictures without an owner; whether there was any."""
    new = False
    for position, name in enumerate(found):
        if owner[position] is None and name is not None:
            owner[position], new = name, True
    return new


def _told(owner: Sequence[str | None], why: str, annotations: Annotations) -> str:
    count, alone = len({own for own in owner if own is not None}), sum(own is None for own in owner)
    others = f", and {alone} others as independent, of which nothing tells" if alone else ""
    told = (
        f"The images are taken as frames of {count} recording{'s' if count > 1 else ''}, by their {why}{others}; "
        "--independent-images or --sequence-from says otherwise."
    )
    if count + alone > 1 or all(picture.time_s is not None for picture in annotations.pictures):
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


def _by_source(pictures: Sequence[Picture], owner: Sequence[str | None]) -> list[str | None]:
    """By what the file says of each image's video, scene or sequence."""
    return [picture.source for picture in pictures]


def _by_name(pictures: Sequence[Picture], owner: Sequence[str | None]) -> list[str | None]:
    """By the number, or the time, in each image's name."""
    # With all sources known, names have nothing to add.
    return by_names(pictures) if None in owner else [None] * len(pictures)


def _by_folder(pictures: Sequence[Picture], owner: Sequence[str | None]) -> list[str | None]:
    """By folder, beyond those that only sort images, where there are several with several images each; a single one
    only if its name says that it is a recording.
    """
    folders = [picture.name.replace("\\", "/").rpartition("/")[0] for picture in pictures]
    several = Counter(folder for folder, own in zip(folders, owner, strict=True) if own is None)
    last = {folder: folder.rpartition("/")[2].lower() for folder in several}
    if any(name in _SORTING for name in last.values()):
        return [None] * len(pictures)
    shared = [folder for folder, count in several.items() if count > 1]
    if len(several) > 1 and 2 * len(shared) <= len(several):
        return [None] * len(pictures)
    if len(several) == 1:
        shared = [folder for folder in shared if names_a_recording(last[folder])]
    return [folder if folder in shared else None for folder in folders]


def _by_frame(pictures: Sequence[Picture], owner: Sequence[str | None]) -> list[str | None]:
    """One recording, if all that are left have frame numbers."""
    left = [picture for picture, own in zip(pictures, owner, strict=True) if own is None]
    one = len(left) > 1 and all(picture.frame_index is not None for picture in left)
    return ["the recording" if one else None] * len(pictures)


_EVIDENCE: tuple[tuple[str, Callable[[Sequence[Picture], Sequence[str | None]], list[str | None]]], ...] = (
    ("source", _by_source),
    ("numbered names", _by_name),
    ("folders", _by_folder),
    ("frame numbers", _by_frame),
)


def _joined_by_tracks(annotations: Annotations, owner: list[str | None]) -> bool:  # noqa: C901 - union and find, which nobody reads better in pieces
    """Put each picture without an owner, and all that share a track with it, into one recording; whether there was any.

    Where names or folders tell each picture's recording, the same id may stand for somebody else in another one.
    """
    boxes, pictures = annotations.boxes, len(owner)
    if not any(boxes.flags.translate(_TRACKED)):
        return False
    # A forest: pictures, and behind them what joins them, tracks and recordings.
    above = list(range(pictures))
    node_of: dict[object, int] = {}

    def root(node: int) -> int:
        while above[node] != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    def join(picture: int, what: object) -> None:
        if what not in node_of:
            node_of[what] = len(above)
            above.append(len(above))
        above[root(picture)] = root(node_of[what])

    for picture, own in enumerate(owner):
        if own is not None:
            join(picture, own)
    for position in range(len(boxes)):
        if boxes.flags[position] & HAS_TRACK:
            join(boxes.picture[position], boxes.track[position])
    members: dict[int, list[int]] = {}
    for picture in range(pictures):
        members.setdefault(root(picture), []).append(picture)
    joined = False
    for number, group in enumerate(several for several in members.values() if len(several) > 1):
        if any(owner[picture] is None for picture in group):
            joined = True
            for picture in group:
                owner[picture] = f"recording {number + 1}"
    return joined
