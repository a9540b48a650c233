"""Seals of evidence."""

from vru.service.schemas.base import Schema


class SealBody(Schema):
    """A seal as the signer gives it out: what it signed, and the signature in hexadecimal.

    ``statement`` is the same as an in-toto statement in a DSSE envelope; null if the key was replaced since.
    """

    document: str
    signature: str
    statement: str | None = None
