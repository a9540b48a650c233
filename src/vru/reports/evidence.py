"""Evidence: a run's inputs by digest, its detections, metrics, verdict and report, sealed, in one file.

``manifest.json`` names every other file with its SHA-256; ``seal.json`` names the manifest's, and its place in the
ledger (``vru.reports.ledger``); ``seal.sig`` is the Ed25519 signature over the seal, ``seal.intoto.json`` the same
statement for the tools of others (``vru.reports.statement``); the container
(``vru.reports.container``) leaves no byte free. So one changed byte anywhere is found.
"""

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vru.domain import VruError
from vru.reports.canonical import canonical_json
from vru.reports.container import ContainerError, Content, Member, checked_content, open_container, pack, pieces
from vru.reports.ledger import LedgerError, Seal, check_seal, read_seal
from vru.reports.signing import PUBLIC_FILE, fingerprint, public_pem
from vru.reports.statement import StatementError, check_envelope

FORMAT = "vru-evidence/2"
MANIFEST, SEAL, SIGNATURE = "manifest.json", "seal.json", "seal.sig"
# The seal again, for other tools. Evidence of releases before it has none.
STATEMENT = "seal.intoto.json"
RUN, METRICS, VERDICT = "run.json", "metrics.json", "verdict.json"
# Of runs that compare boxes: what was missed and what was false. Evidence of releases before has none.
FINDINGS = "findings.json"
DETECTIONS, TRUTH, FRAMES, REPORT = "detections.jsonl.gz", "ground-truth.jsonl.gz", "frames.jsonl.gz", "report.html"
# Of runs over a data set: a line for each recording, which is what the first number in the lines of the others names.
RECORDINGS = "recordings.jsonl.gz"
# Of camera runs, which have no detections: the files as they were uploaded, and what was said about them.
SIGNALS, MARKERS, RECORDING = "signals.gz", "markers.gz", "recording.json"
_NEEDED = {MANIFEST, SEAL, SIGNATURE, PUBLIC_FILE}
_UNLISTED = _NEEDED | {STATEMENT}
# These are read whole; everything else is read in pieces.
_LARGEST_WHOLE = 64 << 20
# What a compressed file may become when someone asks for its content.
LARGEST_UNPACKED = 2 << 30


class EvidenceError(VruError):
    """Evidence that proves nothing. The message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verified evidence file says: its manifest, its seal, and the fingerprint of the key that signed it.

    ``trusted`` is whether that is the key that the reader expected; None if no key was given to compare with.
    ``stated`` is whether the seal is there as an in-toto statement too.
    """

    manifest: Mapping[str, Any]
    seal: Seal
    key: str
    trusted: bool | None
    files: int
    stated: bool


def compressor(file: BinaryIO) -> gzip.GzipFile:
    """Compresses what is written to it into ``file``, without name and time: the same writes give the same bytes."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0)


def manifest_of(facts: Mapping[str, Any], contents: Mapping[str, Content]) -> bytes:
    """The manifest of evidence with these ``contents``, by the names of its files. The same give the same bytes."""
    files = {name: _listing(content) for name, content in contents.items()}
    return canonical_json({**facts, "format": FORMAT, "files": files})


def build(contents: Mapping[str, Content], seal: Seal, statement: bytes | None = None) -> Iterator[bytes]:
    """The evidence file in pieces: the ``contents``, of which the manifest is one, their seal, and its statement.

    Raises:
        ContainerError: it cannot be held in such a file.
    """
    signature = bytes.fromhex(seal.signature)
    sealed = {SEAL: seal.document(), SIGNATURE: signature, PUBLIC_FILE: public_pem(seal.key())}
    return pack({**contents, **sealed, **({STATEMENT: statement} if statement else {})})


def _listing(content: Content) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    for piece in pieces(content):
        digest.update(piece)
        size += len(piece)
    return {"sha256": digest.hexdigest(), "bytes": size}


def verify(path: Path, trusted: str | None = None) -> Verified:
    """Check everything about an evidence file. ``trusted`` is the fingerprint that its key must have.

    Raises:
        EvidenceError: it is not what was signed, or was signed by another key; says where.
    """
    try:
        with path.open("rb") as stream:
            return _verify(stream, trusted)
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    except (ContainerError, LedgerError, StatementError) as error:
        raise EvidenceError(f"{path}: {error.message}", error.fix) from error


def _verify(stream: BinaryIO, trusted: str | None) -> Verified:  # noqa: C901 - one check after another, in the order in which one builds on the other
    members = {member.name: member for member in open_container(stream)}
    missing = _NEEDED - members.keys()
    if "manifest.sig" in members:
        raise EvidenceError(
            "It was signed before evidence was sealed: this version cannot tell what was processed.",
            "Check it with the version of vru-platform that made it.",
        )
    if missing:
        raise EvidenceError(f"It has no {', '.join(sorted(missing))}: it is no evidence.", "Download it again.")
    content = _whole(stream, members[MANIFEST])
    seal = _checked_seal(stream, members)
    mark = fingerprint(seal.key())
    if trusted is not None and trusted != mark:
        raise EvidenceError(f"It was signed by another key: {mark}, not {trusted}.", "Do not trust it.")
    if seal.manifest_sha256 != hashlib.sha256(content).hexdigest():
        raise EvidenceError("Its manifest is not the one that was sealed.", "It was changed: do not trust it.")
    manifest = _manifest(content)
    if seal.run != manifest["run"].get("id"):
        raise EvidenceError("Its seal is that of another run.", "Do not trust it.")
    listed: Mapping[str, Any] = manifest["files"]
    strangers = sorted(members.keys() - listed.keys() - _UNLISTED)
    if strangers:
        raise EvidenceError(f"It holds {', '.join(strangers)}, which was not signed.", "Do not trust it.")
    for name, expected in sorted(listed.items()):
        if name not in members:
            raise EvidenceError(f"{name} was signed, but is missing.", "Do not trust it.")
        digest = hashlib.sha256()
        for piece in checked_content(stream, members[name]):
            digest.update(piece)
        if digest.hexdigest() != expected["sha256"]:
            raise EvidenceError(f"{name} is not what was signed: its SHA-256 differs.", "Do not trust it.")
    if STATEMENT in members:
        check_envelope(_whole(stream, members[STATEMENT]), seal)
    return Verified(manifest, seal, mark, None if trusted is None else True, len(members), STATEMENT in members)


def _checked_seal(stream: BinaryIO, members: Mapping[str, Member]) -> Seal:
    seal = read_seal(_whole(stream, members[SEAL]), _whole(stream, members[SIGNATURE]).hex())
    check_seal(seal)
    if public_pem(seal.key()) != _whole(stream, members[PUBLIC_FILE]):
        raise EvidenceError(f"{PUBLIC_FILE} is not the key that the seal names.", "Do not trust it.")
    return seal


def _manifest(content: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
        known = manifest["format"] == FORMAT
        complete = isinstance(manifest["run"], dict) and all(row["sha256"] for row in manifest["files"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EvidenceError("Its manifest is not one that this version knows.", "Update vru-platform.") from error
    if not (known and complete):
        raise EvidenceError(f"Its format is {manifest['format']!r}, not {FORMAT!r}.", "Update vru-platform.")
    return dict(manifest)


def read_json(path: Path, name: str) -> Any:
    """A JSON file in an evidence file that was verified.

    Raises:
        EvidenceError: there is none.
    """
    return json.loads(_content(path, name))


def read_lines(path: Path, name: str) -> Iterator[Any]:
    """The lines of a compressed file of JSON lines in an evidence file that was verified.

    Raises:
        EvidenceError: there is none, or it would become larger than ``LARGEST_UNPACKED``.
    """
    total = 0
    with gzip.open(io.BytesIO(_content(path, name, LARGEST_UNPACKED)), "rb") as stream:
        try:
            for line in stream:
                total += len(line)
                if total > LARGEST_UNPACKED:
                    raise EvidenceError(f"{name} is larger than {LARGEST_UNPACKED >> 30} GiB.")
                yield json.loads(line)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise EvidenceError(f"{name} cannot be read: {error}.", "It was signed like this.") from error


def read_file(path: Path, name: str) -> bytes:
    """The content of a compressed file in an evidence file that was verified.

    Raises:
        EvidenceError: there is none, or it would become larger than ``LARGEST_UNPACKED``.
    """
    with gzip.open(io.BytesIO(_content(path, name, LARGEST_UNPACKED)), "rb") as stream:
        try:
            content = stream.read(LARGEST_UNPACKED + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise EvidenceError(f"{name} cannot be read: {error}.", "It was signed like this.") from error
    if len(content) > LARGEST_UNPACKED:
        raise EvidenceError(f"{name} is larger than {LARGEST_UNPACKED >> 30} GiB.")
    return content


def _content(path: Path, name: str, limit: int = _LARGEST_WHOLE) -> bytes:
    with path.open("rb") as stream:
        for member in open_container(stream):
            if member.name == name:
                return _whole(stream, member, limit)
    raise EvidenceError(f"It has no {name}.", "It is evidence of another kind of run.")


def _whole(stream: BinaryIO, member: Member, limit: int = _LARGEST_WHOLE) -> bytes:
    if member.size > limit:
        raise EvidenceError(f"{member.name} has {member.size >> 20} MiB, more than {limit >> 20}.", "Do not trust it.")
    return b"".join(checked_content(stream, member))
