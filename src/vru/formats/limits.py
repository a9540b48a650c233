"""What no file may say: frames and pictures without end, and two boxes of a track in one picture."""

from vru.formats.annotations import HAS_TRACK, Annotations, Boxes, FormatError

# A line of text may name any frame, and each frame takes memory: 4 hours at 30 frames a second, 20 hours in all.
MOST_FRAMES = 4 * 3600 * 30
MOST_PICTURES = 5 * MOST_FRAMES


def check_frame(frame: int, where: str, first: int = 0) -> int:
    """``frame``, if a video can have it.

    Raises:
        FormatError: it is before the first, or absurdly late.
    """
    if frame < first:
        raise FormatError(f"{where} is about frame {frame}.", f"Frames are counted from {first}.")
    if frame > MOST_FRAMES:
        raise FormatError(
            f"{where} is about frame {frame}; at most {MOST_FRAMES} are read.", "Cut the video into shorter ones."
        )
    return frame


def check_count(count: int, what: str) -> int:
    """``count`` of frames, if a video can have so many.

    Raises:
        FormatError: it is not above 0, or absurdly large.
    """
    if not 0 < count <= MOST_FRAMES:
        raise FormatError(
            f"{what} says {count} frames; 1 to {MOST_FRAMES} are read.", "Cut the video into shorter ones."
        )
    return count


def check_pictures(count: int, where: str) -> None:
    """Do nothing if so many pictures can be held.

    Raises:
        FormatError: they are too many.
    """
    if count > MOST_PICTURES:
        raise FormatError(
            f"{where}: with it there are {count} frames; at most {MOST_PICTURES} are read.", "Evaluate them in parts."
        )


def no_duplicates(boxes: Boxes, annotations: Annotations, whose: str) -> None:
    """Do nothing if no track has two boxes in a picture.

    Raises:
        FormatError: one has.
    """
    seen: set[tuple[int, int]] = set()
    tracked = bytes(flag & HAS_TRACK for flag in range(256))
    if not any(boxes.flags.translate(tracked)):
        return
    for position in range(len(boxes)):
        if not boxes.flags[position] & HAS_TRACK:
            continue
        pair = (boxes.picture[position], boxes.track[position])
        if pair in seen:
            where = annotations.pictures[pair[0]].where
            raise FormatError(
                f"{boxes.where(position)} is the second box of track {pair[1]} of the {whose} in {where}.",
                "A track has at most one box a frame: remove one, or give it another track id.",
            )
        seen.add(pair)
