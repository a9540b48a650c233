"""The signer's own record: every seal that it ever signed, in order, in a file beside its key.

It decides. The database may be changed by whoever may write to it; what is in this file is not signed a second time.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from vru.domain import VruError
from vru.reports.ledger import LedgerError, Seal, read_ledger
from vru.reports.signing import fingerprint
from vru.reports.statement import enveloped
from vru.signer.key import KEY_FILE, load_key, make_key

LEDGER_FILE = "ledger.jsonl"
_RESTORE = "Restore the signer's folder from a backup; if there is none, make a new key: python -m vru.signer new-key"


class Ledger:
    """The key and the ledger in one folder. Several processes may use it at once; every call blocks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / LEDGER_FILE

    def check(self, known: int = 0) -> Ed25519PublicKey:
        """The public key that signs next. Makes a key where nothing was ever sealed.

        Args:
            known: position of the last seal that the database knows.

        Raises:
            VruError: key or ledger is missing, changed, older than the database, or not the one of the last seal.
        """
        with self._locked():
            return self._key(self._seals(), known).public_key()

    def seal(self, run: str, manifest_sha256: str, known: int = 0) -> Seal:
        """Sign that a run's evidence is the one with this manifest; the same seal again if it was signed already.

        Raises:
            VruError: another manifest was sealed for this run, or as in ``check``.
        """
        with self._locked():
            seals = self._seals()
            key = self._key(seals, known)
            for seal in seals:
                if seal.run == run:
                    if seal.manifest_sha256 != manifest_sha256:
                        raise VruError(
                            f"Run {run} was sealed with another manifest, at position {seal.position}.",
                            "Nothing is sealed twice. Start a new run.",
                        )
                    return seal
            return self._append(seals, key, run, manifest_sha256)

    def statement(self, seal: Seal) -> bytes | None:
        """The in-toto statement of a seal, signed by the seal's own key; None if that was replaced."""
        key = load_key(self.folder)
        return enveloped(seal, key) if key is not None and key.public_key() == seal.key() else None

    def replace_key(self, known: int = 0) -> Seal:
        """Make a new key; the seal that says so is the first that it signs. Where the ledger is lost too, a new one
        begins behind the last seal that the database knows.

        Raises:
            VruError: the folder cannot be written, or its ledger is broken.
        """
        with self._locked():
            seals = self._seals()
            return self._append(seals, make_key(self.folder), None, None, after=known)

    def _append(
        self, seals: list[Seal], key: Ed25519PrivateKey, run: str | None, manifest_sha256: str | None, after: int = 0
    ) -> Seal:
        last = seals[-1] if seals else None
        seal = Seal(
            position=max(last.position if last else 0, after) + 1,
            previous=last.digest() if last else None,
            run=run,
            manifest_sha256=manifest_sha256,
            public_key=key.public_key().public_bytes_raw().hex(),
            sealed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        ).signed(key)
        with self.path.open("ab") as file:
            file.write(seal.line())
            file.flush()
            os.fsync(file.fileno())
        return seal

    def _key(self, seals: list[Seal], known: int) -> Ed25519PrivateKey:
        last = seals[-1] if seals else None
        if known > (last.position if last else 0):
            raise VruError(
                f"The ledger {self.path} ends at seal {last.position if last else 0}; seal {known} was given out.",
                _RESTORE,
            )
        key = load_key(self.folder)
        if key is None:
            if last:
                raise VruError(f"The signing key {self.folder / KEY_FILE} is missing.", _RESTORE)
            return make_key(self.folder)
        if last and last.key() != key.public_key():
            now, before = fingerprint(key.public_key()), fingerprint(last.key())
            raise VruError(f"The signing key is {now}, but the last seal was signed by {before}.", _RESTORE)
        return key

    def _seals(self) -> list[Seal]:
        if not self.path.exists():
            return []
        try:
            return list(read_ledger(self.path))
        except LedgerError as error:
            raise VruError(error.message, "Restore the signer's folder from a backup.") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise VruError(f"The signer's folder {self.folder} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise VruError(
                f"The ledger {self.path} cannot be read or written: {error.strerror}.", "Make room, or mend the folder."
            ) from error
        finally:
            os.close(handle)
