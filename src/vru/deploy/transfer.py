"""Application deployment: send the content that the server lacks, each piece once, named by its hash."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator, Sequence

from vru.deploy.connection import RemoteError, Server
from vru.deploy.release import Release
from vru.deploy.remote_setup import PROGRAM_COMMAND

_CHUNK = 256 * 1024


def send(server: Server, release: Release, missing: Sequence[str]) -> int:
    """Send the pieces called ``missing`` (sha256) as one compressed stream.

    Returns:
        The bytes that went over the connection.

    Raises:
        RemoteError: the server did not take all of them.
    """
    before = server.traffic.bytes_sent
    completed = server.run([*PROGRAM_COMMAND, "receive"], stdin=archive(release, missing))
    try:
        received = int(json.loads(completed.stdout.splitlines()[-1])["received"])
    except (ValueError, IndexError, KeyError) as error:
        raise RemoteError(
            f"The server's answer to the transfer cannot be read: {completed.stdout[-200:]!r}."
        ) from error
    if received != len(missing):
        raise RemoteError(
            f"The server took {received} of {len(missing)} files.", "Run the same command again: it sends the rest."
        )
    return server.traffic.bytes_sent - before


def archive(release: Release, missing: Sequence[str]) -> Iterator[bytes]:
    """A gzip'ed tar of the pieces, made while it is sent: memory does not grow with a model's size."""
    buffer = io.BytesIO()
    # Closing writes the end marks, so both are closed before the last bytes are taken from the buffer.
    zipped = gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0)
    archive = tarfile.open(fileobj=zipped, mode="w|", bufsize=_CHUNK)  # noqa: SIM115
    for sha256 in missing:
        content = release.contents[sha256]
        member = tarfile.TarInfo(sha256)
        member.size = content.size
        member.mode = 0o600
        with content.open() as file:
            archive.addfile(member, file)
        yield _take(buffer)
    archive.close()
    zipped.close()
    yield _take(buffer)


def _take(buffer: io.BytesIO) -> bytes:
    data = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return data
