"""Application deployment: send the content that the server lacks, each piece once, named by its hash."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from vru.deploy.console import log_file
from vru.deploy.console.reporter import Reporter
from vru.deploy.server import host_program
from vru.deploy.ssh.connection import RemoteError, Server
from vru.domain import VruError
from vru.host.base.disk import human_size
from vru.host.release.stream import Record, encode

_REPORT_EVERY_S = 1.0
# A file's content is stored, and once more where the file belongs.
_COPIES = 2


class Piece(Protocol):
    """Content to send: its name, its size in bytes, and where it is read."""

    @property
    def sha256(self) -> str:
        """Its hash, by which it is called."""

    @property
    def size(self) -> int:
        """Its length in bytes."""

    def open(self) -> IO[bytes]:
        """Its bytes, seekable."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a transfer sent: pieces of content, their bytes, and the bytes that crossed the connection for them."""

    pieces: int
    content: int
    crossed: int
    seconds: float

    def __str__(self) -> str:
        rate = f", {human_size(self.content / self.seconds)}/s" if self.seconds >= 1 else ""
        return f"{human_size(self.content)}, packed {human_size(self.crossed)}{rate}"


def send(
    server: Server,
    contents: Mapping[str, Piece],
    missing: Sequence[str],
    *,
    there: Mapping[str, int] | None = None,
    report: Reporter | None = None,
    engine: int = 0,
) -> Sent:
    """Send the pieces called ``missing`` (sha256) as one stream, packed where that makes them smaller.

    Memory does not grow with the content: it is read, packed and sent piece by piece.

    Args:
        server: where to.
        contents: the pieces, by sha256.
        missing: which of them to send, in this order.
        there: how much of a piece the server has from a transfer that was cut, in bytes; it goes on from there.
        report: told of the progress about once a second.
        engine: room that Docker will need for these pieces, in bytes.

    Raises:
        VruError: the server did not take all of them (its disk is full, say), or a file changed while it was sent.
        ConnectionFailedError: the connection broke; the next transfer goes on from there.
    """
    progress = _Progress(contents, missing, there or {}, report)
    copies = 1 if engine else _COPIES
    left = sum(contents[name].size * copies - progress.there.get(name, 0) for name in missing)
    room = {"room": max(left, 0), **({"engine": engine} if engine else {})}
    completed = host_program.run(server, "receive", stdin=progress.frames(room), check=False)
    if progress.trouble is not None:
        raise progress.trouble
    try:
        answer = json.loads(completed.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        reason = log_file.said(completed.stderr.strip() or completed.stdout, last=True)
        raise RemoteError(
            f"The transfer failed on the server ({completed.exit_code}): {reason}",
            "Run the same command again: it sends what is still missing.",
        ) from error
    if "error" in answer:
        raise RemoteError(str(answer["error"]), str(answer.get("fix", "")))
    if answer.get("received") != len(missing):
        raise RemoteError(
            f"The server took {answer.get('received')} of {len(missing)} files.",
            "Run the same command again: it sends the rest.",
        )
    return progress.sent()


class _Progress:
    """The records of one transfer, and how far it is. Its generators run in the thread that sends."""

    def __init__(
        self, contents: Mapping[str, Piece], names: Sequence[str], there: Mapping[str, int], report: Reporter | None
    ) -> None:
        self.contents = contents
        self.names = names
        # A piece that grew beyond what it should be cannot be gone on with.
        self.there = {name: there.get(name, 0) for name in names if 0 < there.get(name, 0) <= contents[name].size}
        self.trouble: VruError | None = None
        self._report = report
        self._total = sum(contents[name].size - self.there.get(name, 0) for name in names)
        self._read = 0
        self._crossed = 0
        self._started = time.monotonic()
        self._said = self._started

    def frames(self, room: Mapping[str, Any]) -> Iterator[bytes]:
        """The stream. Trouble with a file on this side cuts it short, as the server will notice, and is kept."""
        try:
            for frame in encode(self._records(room)):
                self._crossed += len(frame)
                yield frame
                self._say()
        except VruError as error:
            self.trouble = error
        except (OSError, EOFError) as error:
            self.trouble = VruError(
                f"A file cannot be read while it is sent: {error}.",
                "Leave the project's files alone during a deployment, then run the same command again.",
            )

    def _records(self, room: Mapping[str, Any]) -> Iterator[Record]:
        yield room, 0, None
        for name in self.names:
            content, offset = self.contents[name], self.there.get(name, 0)
            with content.open() as file:
                file.seek(offset)
                line = {"sha256": name, "size": content.size, "offset": offset}
                yield line, content.size - offset, _Counted(file, self)

    def count(self, size: int) -> None:
        """Add to what was read."""
        self._read += size

    def _say(self) -> None:
        moment = time.monotonic()
        if self._report is None or moment - self._said < _REPORT_EVERY_S or not self._total:
            return
        self._said = moment
        rate = self._read / (moment - self._started)
        left = (self._total - self._read) / rate if rate else 0
        self._report.log(
            f"{human_size(self._read)} of {human_size(self._total)} ({100 * self._read // self._total}%), "
            f"{human_size(rate)}/s, {left:.0f} s left"
        )

    def sent(self) -> Sent:
        """What was sent, at the end."""
        return Sent(len(self.names), self._read, self._crossed, time.monotonic() - self._started)


class _Counted:
    """A file whose reading is counted."""

    def __init__(self, file: IO[bytes], progress: _Progress) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._progress.count(len(data))
        return data
