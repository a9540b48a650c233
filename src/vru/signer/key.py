"""The private key that signs seals: Ed25519 (RFC 8032)."""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from vru.domain import VruError

KEY_FILE = "signing-key.pem"


def load_key(folder: Path) -> Ed25519PrivateKey | None:
    """The private key in ``folder``; None if there is none.

    Raises:
        VruError: it cannot be read, or others may read it.
    """
    path = folder / KEY_FILE
    try:
        if not path.exists():
            return None
        if path.stat().st_mode & 0o077:
            raise VruError(f"The signing key {path} can be read by others.", f"If nobody has: chmod 600 {path}")
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise VruError(f"The signing key {path} cannot be read: {error.strerror}.", "Mend the folder.") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise VruError(f"The signing key {path} is no private key.", "Restore it from a backup.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise VruError(f"The signing key {path} is not an Ed25519 key.", "Restore it from a backup.")
    return key


def make_key(folder: Path) -> Ed25519PrivateKey:
    """Write a new key, readable by its owner alone. One that is there is kept beside it, with the time in its name.

    Raises:
        VruError: it cannot be written.
    """
    path, key = folder / KEY_FILE, Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        if path.exists():
            path.rename(path.with_name(f"signing-key.until-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.pem"))
        # mkstemp makes it 0600.
        handle, name = tempfile.mkstemp(dir=folder, prefix=".new-key-")
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        Path(name).rename(path)
    except OSError as error:
        raise VruError(f"The signing key {path} cannot be made: {error.strerror}.", "Mend the folder.") from error
    return key
