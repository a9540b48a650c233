"""The key that signs evidence: Ed25519 (RFC 8032)."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from vru.domain import VruError

KEY_FILE, PUBLIC_FILE = "signing-key.pem", "public-key.pem"
_FINGERPRINT = re.compile(r"SHA256:[0-9a-f]{64}")


def signing_key(folder: Path) -> Ed25519PrivateKey:
    """The private key in ``folder``, made at the first need, readable by its owner alone.

    Several processes may ask at once: all get the same key.

    Raises:
        VruError: it cannot be read or made, or others may read it.
    """
    path = folder / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise VruError(f"The signing key {path} can be read by others.", f"If nobody has: chmod 600 {path}")
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise VruError(
            f"The signing key {path} cannot be read or made: {error.strerror}.", "Mend the folder."
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise VruError(f"The signing key {path} is no private key.", "Restore it from a backup.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise VruError(f"The signing key {path} is not an Ed25519 key.", "Restore it from a backup.")
    return key


def _make(path: Path) -> None:
    """Write a new key whole, or leave the one that another process was first to write."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # mkstemp makes it 0600.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-key-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
    finally:
        Path(name).unlink()


def public_pem(key: Ed25519PublicKey) -> bytes:
    """The public key as OpenSSL reads it."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PublicKey) -> str:
    """``SHA256:`` and the digest of the public key in DER, in hexadecimal."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"SHA256:{hashlib.sha256(der).hexdigest()}"


def load_public(pem: bytes) -> Ed25519PublicKey:
    """A public key from PEM.

    Raises:
        VruError: it is none, or it is not written as ``public_pem`` writes it: base64 has several ways to say the same.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise VruError("The public key is not one.", "It must be the PEM of an Ed25519 key.") from error
    if not isinstance(key, Ed25519PublicKey) or public_pem(key) != pem:
        raise VruError("The public key is not the plain PEM of an Ed25519 key.", "Do not trust it.")
    return key


def trusted_fingerprint(given: str) -> str:
    """The fingerprint that ``--key`` gives: itself, or that of the public key in the file it names.

    Raises:
        VruError: it is neither.
    """
    text = given.strip()
    if re.fullmatch(r"(?i:sha256:)?[0-9a-fA-F]{64}", text):
        return f"SHA256:{text[-64:].lower()}"
    try:
        content = Path(given).read_bytes()
    except OSError as error:
        raise VruError(
            f"{given!r} is neither a fingerprint nor a file that can be read.",
            "Give SHA256: and 64 hexadecimal digits, or the public key's PEM file.",
        ) from error
    line = content.decode("ascii", errors="replace").strip()
    return line if _FINGERPRINT.fullmatch(line) else fingerprint(load_public(content))


def is_signed(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    """Whether the key's owner signed this content."""
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
