"""Records on disk until every destination has them: memory stays small however long a destination is away."""

import os
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vru.domain import VruError

MEBIBYTE = 2**20
# What was delivered is kept for a while: a store that crashed may have forgotten its last second.
_KEPT_S = 60.0
# Each start numbers its records from a multiple of this on. So a number is never given twice, also where a power cut
# took the spool's last records after a destination had them.
START = 10**9
_AT_ONCE_BYTES = 4 * MEBIBYTE


@dataclass(slots=True)
class Segment:
    """A file of lines; the first is the record ``first``, the others follow it."""

    path: Path
    first: int
    count: int
    size: int

    @property
    def last(self) -> int:
        """The number of the newest record; ``first - 1`` while there is none."""
        return self.first + self.count - 1


class Spool:
    """Lines in order, numbered from 1 on with gaps. One process uses a folder at a time; its threads may all.

    Raises:
        VruError: the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most_bytes: int = 1024 * MEBIBYTE,
        segment_bytes: int = 8 * MEBIBYTE,
        kept_s: float = _KEPT_S,
    ) -> None:
        self._folder, self._most_bytes, self._segment_bytes, self._kept_s = folder, most_bytes, segment_bytes, kept_s
        self._changed = threading.Condition()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.id = self._identity()
            self._segments = [self._found(path) for path in sorted(folder.glob("*.lines"))]
            self._file: int | None = None
            # Files that nothing more is written to, and that the disk may not have yet.
            self._full: list[int] = []
            before = self._segments[-1].last if self._segments else 0
            self._begin((before // START + 1) * START + 1)
        except (OSError, ValueError) as error:
            raise VruError(f"The spool of signals in {folder} cannot be used: {error}.", "Check its rights.") from error

    @property
    def size(self) -> int:
        """How much lies on disk."""
        with self._changed:
            return sum(segment.size for segment in self._segments)

    def append(self, lines: Sequence[bytes]) -> None:
        """Keep more lines, none of which holds a line feed. They survive the end of this process.

        Raises:
            VruError: the disk, or what the spool may take of it, is full; none of the lines is kept.
        """
        data = b"\n".join(lines) + b"\n"
        with self._changed:
            if sum(segment.size for segment in self._segments) + len(data) > self._most_bytes:
                raise VruError(
                    f"The spool of signals is full ({self._most_bytes // MEBIBYTE} MiB).",
                    "Bring Redis and PostgreSQL back.",
                )
            newest = self._segments[-1]
            if newest.size >= self._segment_bytes:
                self._begin(newest.last + 1)
                newest = self._segments[-1]
            self._write(newest, data)
            newest.count += len(lines)
            newest.size += len(data)
            self._changed.notify_all()

    def read(self, cursor: "Cursor", most: int) -> tuple[int, list[bytes]]:
        """The next lines after the cursor, and the number of the first of them; moves the cursor behind them.

        The numbers of one answer follow each other. No line where there is nothing more.

        Raises:
            OSError: the disk does not give them.
        """
        with self._changed:
            segment = next((one for one in self._segments if one.last > cursor.position and one.count), None)
        if segment is None:
            return cursor.position + 1, []
        if segment.first != cursor.segment:
            cursor.segment, cursor.offset, cursor.number = segment.first, 0, segment.first
        with segment.path.open("rb") as file:
            file.seek(cursor.offset)
            # From the beginning of a segment to where the cursor stands in it: only after it was set anew.
            while cursor.number <= cursor.position:
                cursor.offset += len(file.readline())
                cursor.number += 1
            wanted = min(most, segment.last - cursor.position)
            file.seek(cursor.offset)
            lines = file.read(min(_AT_ONCE_BYTES, segment.size - cursor.offset)).split(b"\n", wanted)[:-1]
        first = cursor.number
        cursor.offset += sum(map(len, lines)) + len(lines)
        cursor.number += len(lines)
        cursor.position = cursor.number - 1
        return first, lines

    def wait(self, position: int, timeout_s: float) -> None:
        """Return when there are records after ``position``, or after ``timeout_s``."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting(position) > 0, timeout_s)

    def last(self) -> int:
        """The number of the newest record; of none, one less than the next will have."""
        with self._changed:
            return self._segments[-1].last

    def waiting(self, position: int) -> int:
        """How many records come after ``position``."""
        with self._changed:
            return self._waiting(position)

    def forget(self, position: int) -> None:
        """Remove the files whose records all come before ``position`` or are it, if they are not new."""
        now = time.time()
        with self._changed:
            done = [
                one
                for one in self._segments[:-1]
                if one.last <= position and now - one.path.stat().st_mtime >= self._kept_s
            ]
            for segment in done:
                segment.path.unlink()
                self._segments.remove(segment)

    def sync(self) -> None:
        """Let the disk have what was written: that survives a power cut."""
        with self._changed:
            files, self._full = self._full, []
            if self._file is not None:
                files.append(os.dup(self._file))
        for file in files:
            try:
                os.fdatasync(file)
            finally:
                os.close(file)

    def close(self) -> None:
        """Let go of the file."""
        self.sync()
        with self._changed:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _waiting(self, position: int) -> int:
        return sum(min(one.count, max(0, one.last - position)) for one in self._segments)

    def _identity(self) -> uuid.UUID:
        file = self._folder / "id"
        if not file.exists():
            unfinished = file.with_suffix(".part")
            unfinished.write_text(str(uuid.uuid4()))
            unfinished.replace(file)
        return uuid.UUID(file.read_text().strip())

    def _found(self, path: Path) -> Segment:
        """A file of an earlier start. What a crash left of a line is cut off: it was kept for nobody."""
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.truncate(path, whole)
        return Segment(path, int(path.stem), data.count(b"\n"), whole)

    def _begin(self, first: int) -> None:
        path = self._folder / f"{first:020d}.lines"
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        if self._file is not None:
            self._full.append(self._file)
        self._file = file
        self._segments.append(Segment(path, first, 0, 0))

    def _write(self, segment: Segment, data: bytes) -> None:
        if self._file is None:
            raise VruError("The spool of signals is closed: the service ends.")
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, memoryview(data)[written:])
        except OSError as error:
            os.truncate(segment.path, segment.size)
            raise VruError(f"The spool of signals cannot be written: {error.strerror}.", "Free disk space.") from error


@dataclass(slots=True)
class Cursor:
    """Where a reader of the spool stands: behind the record ``position``; the rest says where that is on disk."""

    position: int
    segment: int = -1
    offset: int = 0
    number: int = 0
