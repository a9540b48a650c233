"""Seals: what a signature is over, and the ledger that they form, each with the hash of the one before.

A ledger is a file of JSON lines, ``{"seal": {...}, "signature": "..."}``. The digest of a seal is that of its
canonical JSON; a seal cannot be taken out, put in or moved without changing every one after it.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from vru.domain import VruError
from vru.reports.canonical import canonical_json
from vru.reports.signing import is_signed

FORMAT = "vru-seal/1"


class LedgerError(VruError):
    """A ledger that proves nothing. The message names the seal that is wrong."""


@dataclass(frozen=True, slots=True)
class Seal:
    """One signed statement: at ``position`` of the ledger, from 1, the manifest with this digest was sealed for a run.

    ``previous`` is the digest of the seal before; None for the first. ``public_key`` is the key that signed: 32 bytes
    (RFC 8032) in hexadecimal. A seal without run and manifest says that its key takes the place of the one before.
    """

    position: int
    previous: str | None
    run: str | None
    manifest_sha256: str | None
    public_key: str
    sealed_at: str
    signature: str = ""

    def document(self) -> bytes:
        """What is signed: canonical JSON of all but the signature."""
        facts = asdict(self)
        del facts["signature"]
        return canonical_json({"format": FORMAT, **facts})

    def digest(self) -> str:
        """SHA-256 of what is signed, in hexadecimal."""
        return hashlib.sha256(self.document()).hexdigest()

    def key(self) -> Ed25519PublicKey:
        """The public key.

        Raises:
            LedgerError: it is none.
        """
        try:
            return Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public_key))
        except ValueError as error:
            raise LedgerError(f"Seal {self.position} names no key.", "Do not trust it.") from error

    def signed(self, key: Ed25519PrivateKey) -> "Seal":
        """This seal with its signature."""
        return replace(self, signature=key.sign(self.document()).hex())

    def line(self) -> bytes:
        """The seal's line in a ledger."""
        row = {"seal": json.loads(self.document()), "signature": self.signature}
        return json.dumps(row, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def read_seal(document: bytes, signature: str) -> Seal:
    """A seal from what was signed, and the signature in hexadecimal. Nothing is checked but its form.

    Raises:
        LedgerError: it is none.
    """
    try:
        facts = json.loads(document)
        known = facts.pop("format") == FORMAT
        seal = Seal(**facts, signature=signature)
        whole = known and isinstance(seal.position, int) and seal.document() == document
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise LedgerError("The seal is not one that this version knows.", "Update vru-platform.") from error
    if not whole:
        raise LedgerError("The seal is not written as seals are.", "Do not trust it.")
    return seal


def check_seal(seal: Seal) -> None:
    """Do nothing if the key that a seal names signed it.

    Raises:
        LedgerError: it did not, or the seal was changed.
    """
    try:
        signature = bytes.fromhex(seal.signature)
    except ValueError:
        signature = b""
    if not is_signed(seal.key(), signature, seal.document()):
        raise LedgerError(f"The signature of seal {seal.position} is not its own.", "It was changed: do not trust it.")


def read_ledger(path: Path) -> Iterator[Seal]:
    """The seals of a ledger in order; each was compared with the one before. Signatures are not checked.

    Raises:
        LedgerError: a line is no seal, or the chain is broken; names the line.
        OSError: the file cannot be read.
    """
    before: Seal | None = None
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                seal = read_seal(canonical_json(row["seal"]), row["signature"])
            except (ValueError, KeyError, TypeError, RecursionError, LedgerError) as error:
                raise LedgerError(f"{path}, line {number} is no seal.", "Restore it from a backup.") from error
            if before and (seal.position, seal.previous) != (before.position + 1, before.digest()):
                raise LedgerError(
                    f"{path}, line {number}: seal {seal.position} does not follow seal {before.position}.",
                    "Do not trust it: a seal was taken out, put in or changed.",
                )
            before = seal
            yield seal


def check_in_ledger(seal: Seal, path: Path) -> int:
    """Find a seal in a ledger whose chain is whole, and check every signature there; how many seals there are.

    Raises:
        LedgerError: it is not there, or something else is in its place.
        OSError: the file cannot be read.
    """
    found, count = False, 0
    for count, one in enumerate(read_ledger(path), 1):  # noqa: B007 - the count is the answer
        check_seal(one)
        found = found or one == seal
        if one.position == seal.position and one != seal:
            raise LedgerError(f"{path} has another seal at position {seal.position}.", "Do not trust it.")
    if not found:
        raise LedgerError(
            f"{path} has {count} seals, and no seal {seal.position}.",
            "Take a newer ledger (GET /evidence-ledger). If it still has none: do not trust the evidence.",
        )
    return count
