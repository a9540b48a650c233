"""The tracks of one video as CVAT for video 1.1."""

from typing import TextIO
from xml.sax.saxutils import escape, quoteattr

from vru.formats.annotations import Annotations, BoxRow, FormatError, Picture


def write_cvat(annotations: Annotations, out: TextIO) -> None:
    """Write the tracks of one video as CVAT for video 1.1.

    Raises:
        FormatError: there are several videos, a box has no track, or a track has two classes.
    """
    if len(annotations.sequences) != 1:
        raise FormatError(f"There are {len(annotations.sequences)} videos.", "CVAT's files are about one video each.")
    tracks = _tracks(annotations)
    frames = max((_frame(picture) for picture in annotations.pictures), default=-1) + 1
    first = annotations.pictures[0] if annotations.pictures else None
    width, height = (first.width, first.height) if first else (None, None)
    out.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta><task>')
    out.write(f"<size>{frames}</size><start_frame>0</start_frame><stop_frame>{frames - 1}</stop_frame>\n    <labels>")
    for label in annotations.labels:
        out.write(f"<label><name>{escape(label)}</name></label>")
    out.write(f"</labels>\n    <original_size><width>{width or 0:g}</width><height>{height or 0:g}</height>")
    out.write("</original_size></task></meta>\n")
    for (track, number_of), boxes in tracks.items():
        out.write(f'  <track id="{track}" label={quoteattr(annotations.labels[number_of])} source="manual">\n')
        for frame in sorted(boxes):
            row = boxes[frame]
            out.write(_box(frame, row, outside=False))
            if frame + 1 not in boxes and frame + 1 < frames:
                out.write(_box(frame + 1, row, outside=True))
        out.write("  </track>\n")
    out.write("</annotations>\n")


def _frame(picture: Picture) -> int:
    if picture.frame_index is None:
        raise FormatError(f"{picture.where} is no frame of a video.", "CVAT's video files need frames.")
    return picture.frame_index


def _tracks(annotations: Annotations) -> dict[tuple[int, int], dict[int, BoxRow]]:
    """The boxes of each track (id and class) by frame."""
    tracks: dict[tuple[int, int], dict[int, BoxRow]] = {}
    classes: dict[int, int] = {}
    for position, row in enumerate(annotations.boxes.rows()):
        where = annotations.boxes.where(position)
        if row.track is None:
            raise FormatError(f"{where} has no track.", "CVAT's video files hold tracks.")
        if classes.setdefault(row.track, row.label) != row.label:
            raise FormatError(f"{where} gives track {row.track} a second class.", "Give it a track of its own.")
        tracks.setdefault((row.track, row.label), {})[_frame(annotations.pictures[row.picture])] = row
    return tracks


def _box(frame: int, row: BoxRow, *, outside: bool) -> str:
    right, bottom = row.x + row.width, row.y + row.height
    return (
        f'    <box frame="{frame}" outside="{int(outside)}" occluded="{int(row.occluded)}" keyframe="1" '
        f'xtl="{row.x!r}" ytl="{row.y!r}" xbr="{right!r}" ybr="{bottom!r}" z_order="0">'
        f'<attribute name="truncated">{str(row.truncated).lower()}</attribute>'
        f'<attribute name="ignore">{str(row.ignore or row.crowd).lower()}</attribute></box>\n'
    )
