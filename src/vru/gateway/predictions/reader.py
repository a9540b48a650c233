"""Reading uploaded predictions in the sandbox: COCO results, MOT, KITTI or YOLO, as one file or as a zip of them.

``read_predictions`` gives columns of plain bytes, recording by recording and in each frame by frame.
"""

import io
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vru.domain import VruClass
from vru.formats.annotations import Boxes, FormatError
from vru.gateway.predictions.members import Member, Read, read_coco, read_pictures, read_sequence
from vru.gateway.predictions.names import Names
from vru.gateway.predictions.places import Place, Places, Wanted
from vru.sandbox.limits import MEBIBYTE, Limits

_CLASSES = tuple(VruClass)
MOST_BOXES = 5_000_000
LIMITS = Limits(memory_bytes=3072 * MEBIBYTE, cpu_s=600.0, wall_s=1800.0, answer_bytes=256 * MEBIBYTE)
_LARGEST_UNPACKED = 2 << 30
_MOST_MEMBERS = 200_000
_NAMES_OF_CLASSES = ("classes.txt", "obj.names", "data.yaml", "dataset.yaml")
_BESIDE = {"readme.txt", "readme.md", "labels.txt", "train.txt", "val.txt", "test.txt", "seqinfo.ini"}
_SHOWN = 10
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PredictionColumns:
    """All boxes: each field holds one value a box, in this machine's order; ``counts`` is how many each recording has.

    ``frame`` are 64-bit integers, ``road_user`` positions among the classes, ``score`` doubles, ``boxes`` four doubles:
    x, y, width and height in pixels.
    """

    format: str
    notes: list[str]
    counts: list[int]
    frame: bytes
    road_user: bytes
    score: bytes
    boxes: bytes

    def __post_init__(self) -> None:
        # They come from a process that bytes from outside may have taken over.
        count = len(self.road_user)
        lengths = {len(self.frame), len(self.score), len(self.boxes) // 4}
        if lengths != {8 * count} or sum(self.counts) != count or min(self.counts, default=0) < 0:
            raise ValueError("columns of different length")
        if count > MOST_BOXES or (count and max(self.road_user) >= len(_CLASSES)):
            raise ValueError("too many boxes, or no such class")
        boxes, score = np.frombuffer(self.boxes), np.frombuffer(self.score)
        if not (np.isfinite(boxes).all() and (boxes.reshape(-1, 4)[:, 2:] > 0).all()):
            raise ValueError("no such boxes")
        if not ((score >= 0) & (score <= 1)).all():
            raise ValueError("no such confidences")

    def __len__(self) -> int:
        return len(self.road_user)

    def rows(self, frame_counts: Sequence[int]) -> Iterator[tuple[int, int, str, float, float, float, float, float]]:
        """Recording, frame, class, confidence, x, y, width, height: of each box.

        Raises:
            ValueError: a frame is not among a recording's.
        """
        recordings = np.repeat(np.arange(len(self.counts)), self.counts)
        frames = np.frombuffer(self.frame, dtype=np.int64)
        if ((frames < 0) | (frames >= np.array(frame_counts, dtype=np.int64)[recordings])).any():
            raise ValueError("a frame is not among the recording's")
        score, boxes = array("d", self.score), array("d", self.boxes)
        for position, (recording, frame) in enumerate(zip(recordings.tolist(), array("q", self.frame), strict=True)):
            x, y, width, height = boxes[4 * position : 4 * position + 4]
            yield recording, frame, str(_CLASSES[self.road_user[position]]), score[position], x, y, width, height


def read_predictions(
    file: Path,
    *,
    name: str,
    recordings: list[tuple[str, int, int, int]],
    classes: dict[str, str],
    only_class: str | None,
    other_classes: bool,
    missing_empty: bool,
    first_frame: int | None,
) -> PredictionColumns:
    """Read predictions about ``recordings``: name, width, height and number of frames each.

    ``classes`` says which class a number or a name of the file is; ``only_class`` is that of files that name none.
    ``other_classes`` leaves out boxes of classes that are none here, ``missing_empty`` takes recordings that the file
    does not name as such in which nothing was found. ``first_frame`` is the number of the first frame in the files.

    Raises:
        FormatError: it is in no known form, broken, or about other recordings; the message names the place.
    """
    places = Places([Wanted(*recording) for recording in recordings])
    with ExitStack() as stack:
        members = _members(file, name, stack)
        naming = Names(classes, only_class, leave_out=other_classes)
        told = [member for member in members if PurePosixPath(member.path).name.lower() in _NAMES_OF_CLASSES]
        if told:
            naming.take_file(told[0])
        read = _Reading(places, naming, first_frame)
        read.take([member for member in members if member not in told])
        read.check_missing(missing_empty)
        return read.columns()


def _members(file: Path, name: str, stack: ExitStack) -> list[Member]:
    stream: BinaryIO = stack.enter_context(file.open("rb"))
    if stream.read(4) != b"PK\x03\x04":
        # The sandbox has one place in the file for all who open it; in memory each has its own.
        stream.seek(0)
        content = stream.read()
        return [Member(name, lambda: io.BytesIO(content))]
    try:
        archive = stack.enter_context(zipfile.ZipFile(file.open("rb")))
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise FormatError(f"{name} is no zip that can be read: {error}.", "Pack it again.") from None
    found = []
    for info in archive.infolist():
        pure = PurePosixPath(info.filename)
        if info.is_dir() or pure.name.startswith(".") or "__MACOSX" in pure.parts or pure.name.lower() in _BESIDE:
            continue
        found.append(Member(info.filename, _Opening(archive, info)))
    if len(found) > _MOST_MEMBERS:
        raise FormatError(f"{name} has {len(found)} files, more than {_MOST_MEMBERS}.", "Upload it in parts.")
    if sum(info.file_size for info in archive.infolist()) > _LARGEST_UNPACKED:
        raise FormatError(f"{name} would be larger than {_LARGEST_UNPACKED >> 30} GiB.", "Upload it in parts.")
    return sorted(found, key=lambda member: member.path)


@dataclass(frozen=True)
class _Opening:
    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def __call__(self) -> BinaryIO:
        try:
            # Read again and again by some, in pieces by others: what is in memory can do both. Sizes are bounded.
            with self.archive.open(self.info) as packed:
                content = packed.read(self.info.file_size + 1)
        except (zipfile.BadZipFile, ValueError, OSError, RuntimeError, NotImplementedError) as error:
            raise FormatError(f"{self.info.filename} cannot be unpacked: {error}.", "Pack it again.") from None
        return io.BytesIO(content)


@dataclass
class _Reading:
    """What was read so far: for each recording the pieces of its columns."""

    places: Places
    names: Names
    first_frame: int | None
    pieces: dict[int, list[tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    format: str = ""
    count: int = 0

    def take(self, members: Sequence[Member]) -> None:  # noqa: C901 - one branch a format, one sentence for each file that does not fit
        """Read all files. They are in one format."""
        if not members:
            raise FormatError("There is no file with detections.", "docs/api.md says what is read.")
        pictures: dict[int, list[tuple[Place, Member]]] = {}
        for member in members:
            kind = member.kind()
            if kind is None:
                # An empty file finds nobody, in whichever form.
                self._empty(member)
                continue
            if self.format not in ("", kind):
                raise FormatError(f"{member.path} is {kind}, the files before are {self.format}.", "Use one format.")
            self.format = kind
            if kind in ("yolo", "kitti"):
                place = self.places.picture(member.path)
                if place is None or place.number is None:
                    raise self.places.unknown(member.path)
                pictures.setdefault(place.recording, []).append((place, member))
            elif kind == "coco":
                self._add(read_coco(member, self.places, self.names, self.first_frame))
            else:
                owner = self.places.recording(member.path)
                if owner is None:
                    raise self.places.unknown(member.path)
                if owner in self.pieces:
                    raise FormatError(f"{member.path} is a second file about its recording.", "Put them into one.")
                wanted = self.places.recordings[owner]
                self._add(read_sequence(member, kind, owner, wanted, self.names, self.first_frame))
        for owner, files in pictures.items():
            self._add(read_pictures(files, self.format, owner, self.places, self.names, self.first_frame))

    def _empty(self, member: Member) -> None:
        owner = self.places.recording(member.path)
        if owner is None:
            place = self.places.picture(member.path)
            if place is None:
                raise self.places.unknown(member.path)
            owner = place.recording
        self.pieces.setdefault(owner, [])

    def _add(self, read: Read) -> None:
        boxes = read.boxes
        self.notes += [note for note in boxes.notes if note not in self.notes]
        self.count += len(boxes)
        if self.count > MOST_BOXES:
            raise FormatError(f"There are more than {MOST_BOXES:,} boxes.", "Upload them in parts.")
        for owner in read.owners:
            self.pieces.setdefault(owner, [])
        if not len(boxes):
            return
        frame = np.array([place.frame for place in read.places], dtype=np.int64)
        owners = np.array([place.recording for place in read.places], dtype=np.int64)
        picture, label = np.array(boxes.picture), np.array(boxes.label)
        sides = np.column_stack([np.array(side) for side in (boxes.x, boxes.y, boxes.width, boxes.height)])
        score = np.array(boxes.score)
        self._check(boxes, sides, frame[picture], owners[picture])
        for owner in np.unique(owners[picture]).tolist():
            mine = owners[picture] == owner
            self.pieces[owner].append((frame[picture][mine], label[mine], score[mine], sides[mine]))

    def _check(self, boxes: Boxes, sides: Floats, frame: NDArray[np.int64], owner: NDArray[np.int64]) -> None:
        bad = np.flatnonzero((sides[:, 2:] <= 0).any(axis=1))
        if len(bad):
            width, height = sides[bad[0], 2:].tolist()
            raise FormatError(
                f"{boxes.where(int(bad[0]))}: the box is {width:g} wide and {height:g} high: it has no area."
                + (f" So it is with {len(bad)} boxes." if len(bad) > 1 else ""),
                "Width and height must be above 0.",
            )
        counts = np.array([wanted.frames for wanted in self.places.recordings], dtype=np.int64)
        late = np.flatnonzero((frame < 0) | (frame >= counts[owner]))
        if len(late):
            recording = self.places.recordings[int(owner[late[0]])]
            raise FormatError(
                f"{boxes.where(int(late[0]))} is about frame {frame[late[0]]} (from 0) of {recording.name}, which has "
                f"{recording.frames} frames.",
                "Is it of another video? first_frame says from which number the files count.",
            )

    def check_missing(self, empty: bool) -> None:
        """Refuse recordings that nothing is about, or take them as empty."""
        absent = [item.name for place, item in enumerate(self.places.recordings) if place not in self.pieces]
        if not absent:
            return
        listed = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
        said = f"{len(absent)} of {len(self.places.recordings)} recordings are not in the file: {listed}."
        if not empty:
            raise FormatError(said, "Add them; or say missing=empty, if nothing was found there.")
        self.notes.append(f"{said} They count as if nothing was found there, as was asked for.")

    def columns(self) -> PredictionColumns:
        """Everything that was read."""
        columns: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]] = []
        counts = []
        for place in range(len(self.places.recordings)):
            parts = self.pieces.get(place) or []
            if not parts:
                counts.append(0)
                continue
            frame, label, score, sides = (np.concatenate(column) for column in zip(*parts, strict=True))
            order = np.argsort(frame, kind="stable")
            columns.append((frame[order], label[order], score[order], sides[order]))
            counts.append(len(frame))
        frame, label, score, sides = (
            [np.concatenate(column) for column in zip(*columns, strict=True)]
            if columns
            else [np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros((0, 4))]
        )
        if len(score) and (score == -1).all():
            score = np.ones(len(score))
            self.notes.append("The detections have no confidence (-1): all are taken as equally sure, with 1.")
        if ((score < 0) | (score > 1)).any():
            wrong = float(score[(score < 0) | (score > 1)][0])
            raise FormatError(
                f"A confidence is {wrong:g}; runs count detections by a confidence from 0 to 1.",
                "Write confidences as shares.",
            )
        if self.names.left_out:
            left = ", ".join(sorted(self.names.left_out)[:_SHOWN])
            self.notes.append(f"Boxes of classes that are no road users here were left out: {left}.")
        return PredictionColumns(
            self.format or "empty",
            self.notes,
            counts,
            frame.astype(np.int64).tobytes(),
            bytes(label.astype(np.uint8)),
            score.astype(np.float64).tobytes(),
            sides.astype(np.float64).tobytes(),
        )
