"""Seals of evidence."""

from vru.service.schemas.base import Schema


class SealBody(Schema):
    """A seal as the signer gives it out: what it signed, and the signature in hexadecimal."""

    document: str
    signature: str
