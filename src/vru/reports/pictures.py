"""Pictures of what went wrong: which are shown, and the child process that makes them.

This room decodes nothing: ``vru.media`` does, in a process of its own without the secrets of this one.
"""

import base64
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vru.domain import VruError
from vru.reports.findings import Finding

FRAME_WIDTH, CROP_SIZE = 640, 240
# With base64 a third more: a report stays under 20 MB, whatever its pictures are.
MOST_BYTES = 10 << 20
_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Picture:
    """A finding with its whole frame and the part around its box, as JPEG."""

    finding: Finding
    frame: bytes
    crop: bytes

    @property
    def what(self) -> str:
        """``missed pedestrian, track 3`` or ``false alarm: pedestrian, confidence 0.812``."""
        of = self.finding
        if of.score is not None:
            return f"false alarm: {of.road_user}, confidence {of.score:.3f}"
        return f"missed {of.road_user}" + ("" if of.track_id is None else f", track {of.track_id}")

    @property
    def where(self) -> str:
        """Where it is, and what of the other side is next to it."""
        other = "detection (whatever its confidence)" if self.finding.score is None else "truth"
        of = self.finding
        return f"{of.recording} {of.place}; box {of.box_words}; nearest {other}: {of.nearest}"

    @property
    def alternative(self) -> str:
        """The picture in words."""
        return f"{self.what}; {self.finding.place}; box {self.finding.box_words} pixels"


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is shown of the misses and of the false alarms, the worst first, and sentences on what is not."""

    misses: tuple[Picture, ...]
    false_alarms: tuple[Picture, ...]
    notes: tuple[str, ...]

    @property
    def all(self) -> tuple[Picture, ...]:
        """Misses, then false alarms."""
        return self.misses + self.false_alarms


def chosen(misses: Sequence[Finding], false_alarms: Sequence[Finding], most: int) -> list[Finding]:
    """The worst of both, at most so many: half of each, and more of one where there are fewer of the other."""
    of_misses = min(len(misses), max(most - len(false_alarms), most - most // 2))
    return [*misses[:of_misses], *false_alarms[: most - of_misses]]


def make_pictures(media: Path, requests: Sequence[tuple[Finding, Mapping[str, Any]]], all_: int) -> Pictures:
    """Have the pictures made. Each request is what ``vru.media`` is asked for, without ``id``; ``all_`` is how many
    findings there are altogether.

    Raises:
        VruError: what decodes it is not installed, or failed.
    """
    wanted = [{"id": number} | dict(request) for number, (_, request) in enumerate(requests)]
    made: dict[int, Picture] = {}
    reasons: dict[int, str] = {}
    for answer in _answers(media, wanted) if wanted else ():
        number = answer["id"]
        if "missing" in answer:
            reasons.setdefault(number, answer["missing"])
        else:
            frame, crop = (base64.b64decode(answer[name]) for name in ("frame", "crop"))
            made[number] = Picture(requests[number][0], frame, crop)
    kept, used = [], 0
    # In the order of the requests, the worst first, whatever order the media gave them in.
    for number in sorted(made):
        used += len(made[number].frame) + len(made[number].crop)
        if used > MOST_BYTES:
            break
        kept.append(made[number])
    notes = _notes(
        media, len(kept), all_, len(made) - len(kept), [reasons[n] for n in sorted(set(reasons) - set(made))]
    )
    return Pictures(
        tuple(item for item in kept if item.finding.score is None),
        tuple(item for item in kept if item.finding.score is not None),
        notes,
    )


def _notes(media: Path, shown: int, all_: int, too_large: int, missing: Sequence[str]) -> tuple[str, ...]:
    notes = [f"Pictures from {media.name}: {shown} of {all_} misses and false alarms, the worst first."]
    if too_large:
        size = MOST_BYTES >> 20
        notes.append(f"{too_large} more were left out: all pictures of a report have at most {size} MB.")
    for reason, count in Counter(missing).most_common(5):
        notes.append(f"No picture of {count} of them: {reason}.")
    if len(set(missing)) > 5:
        notes.append(f"No picture of {len(missing)} altogether.")
    return tuple(notes)


def _answers(media: Path, wanted: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    request = {"media": str(media), "frame_width": FRAME_WIDTH, "crop_size": CROP_SIZE, "wanted": list(wanted)}
    command = [sys.executable, "-I", "-m", "vru.media"]
    try:
        done = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, env={}, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise VruError(f"Pictures from {media} took longer than {_SECONDS // 60} minutes.", "Give fewer.") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        if "ModuleNotFoundError" in last:
            raise VruError(
                f"Pictures cannot be made: {last.partition(': ')[2]}.", "Install it: pip install 'vru-platform[scenes]'"
            )
        raise VruError(f"Pictures from {media} cannot be made: {last}.", "Is it a video, or a folder with images?")
    return (json.loads(line) for line in done.stdout.splitlines())
