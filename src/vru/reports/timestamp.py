"""A time stamp of somebody else (RFC 3161): that a seal was there at a time which the platform did not choose.

It lies beside the evidence, as DER: sealed evidence is never changed, and no service needs a way out of its network.
Needs the extra ``timestamp``.
"""

import http.client
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.x509 import Certificate, load_pem_x509_certificates

from vru.domain import VruError
from vru.reports.ledger import Seal

_TIMEOUT_S = 30
_LARGEST = 1 << 20
_INSTALL = "Install it: pip install 'vru-platform[timestamp]'"


class TimestampError(VruError):
    """A time stamp that proves nothing."""


def _library() -> Any:
    try:
        import rfc3161_client
    except ModuleNotFoundError as error:
        raise VruError("rfc3161-client is not installed: it reads time stamps.", _INSTALL) from error
    return rfc3161_client


def request_timestamp(seal: Seal, url: str, roots: list[Certificate]) -> bytes:
    """The answer of the authority at ``url`` for a seal: a TimeStampResp in DER, checked as ``check_timestamp`` does.

    Raises:
        VruError: it does not answer, refuses, or its answer is not one for this seal.
    """
    library = _library()
    asked = library.TimestampRequestBuilder().data(seal.document())
    request = asked.cert_request(cert_request=True).nonce(nonce=True).build()
    if not url.startswith(("http://", "https://")):
        raise VruError(f"{url!r} is no address of a time stamp authority.", "Give one that begins with https://.")
    query = urllib.request.Request(  # noqa: S310 - see above
        url, data=request.as_bytes(), headers={"Content-Type": "application/timestamp-query"}
    )
    try:
        with urllib.request.urlopen(query, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            content: bytes = answer.read(_LARGEST + 1)
    except (OSError, http.client.HTTPException) as error:
        raise VruError(f"The time stamp authority {url} does not answer: {error}.", "Try again, or another.") from error
    check_timestamp(content, seal, roots, nonce=request.nonce)
    return content


def check_timestamp(content: bytes, seal: Seal, roots: list[Certificate], nonce: int | None = None) -> datetime:
    """When the seal was there, at the latest: by a time stamp in DER, whose authority's certificate leads to ``roots``.

    Raises:
        TimestampError: it is none, is not of this seal, or was not made by such an authority.
    """
    library = _library()
    if len(content) > _LARGEST:
        raise TimestampError("The time stamp is larger than one can be.", "Do not trust it.")
    try:
        stamp = library.decode_timestamp_response(content)
        builder = library.VerifierBuilder(roots=list(roots), nonce=nonce)
        builder.build().verify_message(stamp, seal.document())
        made: datetime = stamp.tst_info.gen_time
    except (ValueError, library.VerificationError) as error:
        raise TimestampError(
            f"The time stamp is not one of this seal by an authority that you trust: {error}.", "Do not trust it."
        ) from error
    return made


def read_roots(path: Path) -> list[Certificate]:
    """The certificates in a PEM file.

    Raises:
        VruError: there is none.
    """
    try:
        return load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise VruError(f"{path} holds no certificate that can be read: {error}.", "Give a PEM file.") from error
