"""Credentials at rest: encrypted, with a key that is made from what the service's callers sign with."""

import base64
import hmac
import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken

from vru.domain import VruError


class Vault:
    """Encrypts and decrypts small sets of credentials (Fernet: AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, secret: str) -> None:
        """``secret`` is what VRU_CAMERA_SERVICE_SECRET holds; another one cannot open what this one has closed."""
        key = hmac.digest(secret.encode(), b"credentials of cameras and signal sources at rest", "sha256")
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def close(self, secrets: Mapping[str, str]) -> str:
        """Text that says nothing to others; empty for no secrets."""
        return self._fernet.encrypt(json.dumps(dict(secrets)).encode()).decode() if secrets else ""

    def open(self, closed: str) -> dict[str, str]:
        """The secrets again.

        Raises:
            VruError: they were closed with another key, or are damaged.
        """
        if not closed:
            return {}
        try:
            found: dict[str, str] = json.loads(self._fernet.decrypt(closed.encode()))
        except (InvalidToken, ValueError) as error:
            raise VruError(
                "Its credentials cannot be read any more: VRU_SECRET_KEY has changed.", "Delete it and add it again."
            ) from error
        return found
