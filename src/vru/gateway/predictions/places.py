"""Which recording, and which frame of it, a file or an image is about: by its name."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from vru.formats.annotations import FormatError

_NUMBERED = re.compile(r"^(?P<name>.*?)[-_. ]*(?P<number>\d{1,12})$")
_SHOWN = 10


class Wanted(NamedTuple):
    """A recording that predictions may be about: its picture's size in pixels, and how many frames it has."""

    name: str
    width: int
    height: int
    frames: int


class Place(NamedTuple):
    """A recording's place in the list, and the number in the name of a picture; None where it has none."""

    recording: int
    number: int | None
    # Whether the number stands behind the recording's name, as Ultralytics writes it, which counts from 1.
    behind: bool = False


class Places:
    """The recordings by their names, with their endings and without."""

    def __init__(self, recordings: Sequence[Wanted]) -> None:
        self.recordings = recordings
        self._known: dict[str, int] = {}
        twice: set[str] = set()
        for place, recording in enumerate(recordings):
            for form in {recording.name, PurePosixPath(recording.name).stem}:
                twice |= {form} if form in self._known else set()
                self._known[form] = place
        names = {recording.name for recording in recordings}
        # Without the ending two may have one name: then only the whole name tells.
        self._known = {form: place for form, place in self._known.items() if form not in twice or form in names}

    def recording(self, path: str) -> int | None:
        """The recording that a path names: its file, or a folder of it; the nearest counts."""
        pure = PurePosixPath(path.replace("\\", "/"))
        for form in (str(pure), str(pure.parent / pure.stem), pure.name, pure.stem, *(p.name for p in pure.parents)):
            if form in self._known:
                return self._known[form]
        return 0 if len(self.recordings) == 1 else None

    def picture(self, path: str) -> Place | None:
        """The recording and the number of a picture: ``RECORDING/000012.txt`` or ``RECORDING_12.txt``."""
        pure = PurePosixPath(path.replace("\\", "/"))
        found = _NUMBERED.match(pure.stem)
        number = int(found["number"]) if found else None
        if found and found["name"] in self._known:
            return Place(self._known[found["name"]], number, behind=True)
        for parent in pure.parents:
            if parent.name in self._known:
                return Place(self._known[parent.name], number)
        return Place(0, number) if len(self.recordings) == 1 else None

    def unknown(self, where: str) -> FormatError:
        """The error for what names none of the recordings."""
        names = [recording.name for recording in self.recordings]
        listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        return FormatError(f"{where} names no recording.", f"These are asked for: {listed}.")
