"""The public side of the key that signs evidence: Ed25519 (RFC 8032)."""

import hashlib
import re
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from vru.domain import VruError

PUBLIC_FILE = "public-key.pem"
_FINGERPRINT = re.compile(r"SHA256:[0-9a-f]{64}")


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
