"""What is not in CVAT's file but follows from it: boxes between key frames, and frames that were deleted."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vru.formats.annotations import BoxRow, FormatError

_NAMED = 10


class Shape(NamedTuple):
    """A box of a track by the place of its frame among the task's; no row says that the road user is outside."""

    place: int
    line: int
    row: BoxRow | None


@dataclass(slots=True)
class TaskTracks:
    """What is known of a task's tracks: the places of frames that have a box, where a track has a gap (the line after
    it, the track, the places), and the tracks that are not all there.
    """

    boxed: set[int] = field(default_factory=set)
    gaps: list[tuple[int, int, range]] = field(default_factory=list)
    incomplete: list[Sequence[Shape]] = field(default_factory=list)

    def take(self, track: int, shapes: Sequence[Shape]) -> None:
        """A track, its shapes in the order of the file."""
        self.boxed.update(shape.place for shape in shapes if shape.row is not None)
        gaps = [
            (after.line, track, range(before.place + 1, after.place))
            for before, after in itertools.pairwise(shapes)
            if before.row is not None and after.place > before.place + 1
        ]
        self.gaps += gaps
        if gaps or (shapes and shapes[-1].row is not None):
            self.incomplete.append(shapes)

    def deleted(self, numbers: range) -> set[int]:
        """The places of the frames that were deleted: CVAT leaves them out of every track.

        Raises:
            FormatError: a frame is missing of one track that another one has.
        """
        found: set[int] = set()
        for line, track, places in self.gaps:
            if there := self.boxed.intersection(places):
                raise FormatError(
                    f"Line {line} (track {track}): frame {numbers[min(there)]} has neither a box nor an outside mark, "
                    "but other tracks have one there.",
                    "Export with interpolated boxes, not with key frames only.",
                )
            found.update(places)
        return found

    def between(self, frames: int) -> Iterator[tuple[BoxRow, int]]:
        """The boxes that lie between key frames, with the line of the one before: they move in a straight line from one
        to the next, and stay after the last until the task's end, unless they are outside.
        """
        for shapes in self.incomplete:
            for before, after in itertools.pairwise([*shapes, Shape(frames, 0, None)]):
                if before.row is not None:
                    for place in range(before.place + 1, after.place):
                        yield _on_the_way(before, before.row, after, place), before.line


def _on_the_way(before: Shape, row: BoxRow, after: Shape, place: int) -> BoxRow:
    """The box between two key frames; before an outside mark, that of the last."""
    # Pictures of one task follow one another.
    picture, to = row.picture + place - before.place, after.row
    if to is None:
        return row._replace(picture=picture)
    share = (place - before.place) / (after.place - before.place)
    left, top, right, bottom = (
        a + (b - a) * share
        for a, b in (
            (row.x, to.x),
            (row.y, to.y),
            (row.x + row.width, to.x + to.width),
            (row.y + row.height, to.y + to.height),
        )
    )
    return row._replace(picture=picture, x=left, y=top, width=right - left, height=bottom - top)


def said_of_deleted(numbers: Sequence[int]) -> str:
    """The note on frames that were deleted."""
    named = ", ".join(map(str, numbers[:_NAMED])) + (", ..." if len(numbers) > _NAMED else "")
    return (
        "Frames that no track has, though tracks go on around them, were deleted in CVAT, and are not measured: "
        f"{named}. Where nobody is in sight before or after, the file does not say which were deleted."
    )
