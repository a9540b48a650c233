"""A seal once more, in the form that the tools of software supply chains read: an in-toto statement in a DSSE envelope.

Both formats are public: https://github.com/in-toto/attestation (Statement v1), https://github.com/secure-systems-lab/dsse.
It is signed by the seal's own key and says what the seal says; so there is one such envelope for a seal, byte for byte.
"""

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vru.domain import VruError
from vru.reports.canonical import canonical_json
from vru.reports.ledger import Seal
from vru.reports.signing import fingerprint

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE_TYPE = "urn:vru-platform:seal:1"
_SUBJECT = "manifest.json"


class StatementError(VruError):
    """A statement that proves nothing."""


def statement_of(seal: Seal) -> bytes:
    """The in-toto statement: its subject is the manifest, its predicate the seal."""
    subject = {"name": _SUBJECT, "digest": {"sha256": seal.manifest_sha256}}
    return canonical_json(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [subject],
            "predicateType": PREDICATE_TYPE,
            "predicate": json.loads(seal.document()),
        }
    )


def enveloped(seal: Seal, key: Ed25519PrivateKey) -> bytes:
    """The DSSE envelope with the seal's statement, signed by ``key``, which must be the seal's."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey

    envelope = Envelope(statement_of(seal), PAYLOAD_TYPE, {})
    public = key.public_key()
    envelope.sign(CryptoSigner(key, SSlibKey.from_crypto(public, fingerprint(public))))
    return canonical_json(envelope.to_dict())


def check_envelope(document: bytes, seal: Seal) -> None:
    """Do nothing if ``document`` is the envelope of this seal, signed by its key.

    Raises:
        StatementError: it is not.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import Error
    from securesystemslib.signer import SSlibKey

    key = seal.key()
    try:
        envelope = Envelope.from_dict(json.loads(document))
        envelope.verify([SSlibKey.from_crypto(key, fingerprint(key))], 1)
        said = (envelope.payload, envelope.payload_type) == (statement_of(seal), PAYLOAD_TYPE)
        # One signature, and no other way to write the same: no byte of it is free.
        whole = len(envelope.signatures) == 1 and canonical_json(envelope.to_dict()) == document
    except (Error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StatementError(
            "Its in-toto statement is not signed by the key of its seal.", "Do not trust it."
        ) from error
    if not (said and whole):
        raise StatementError("Its in-toto statement does not say what its seal says.", "Do not trust it.")
