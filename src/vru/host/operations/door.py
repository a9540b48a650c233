"""TLS at the door: how this server asks its own nginx, and whether browsers would trust the certificate there.

While they would, a file beside the routes says so, and nginx sends HSTS: no browser is bound to HTTPS before it was
seen to hold.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..base.disk import write_atomic
from ..base.errors import plain
from ..base.host import Host
from ..release.masking import TLS_CERTIFICATE
from ..wire import Check
from . import maintenance

_TIMEOUT_S = 10.0
_SOON_DAYS = 21
_DAY_S = 86400.0


def scheme(values: Mapping[str, str]) -> str:
    """``https`` where the release's ``.env`` turns TLS on."""
    return "https" if values.get("VRU_TLS", "off") != "off" else "http"


def own_context(host: Host) -> ssl.SSLContext | None:
    """Trusts the release's own certificate and no other, at whatever address; None where the release has none."""
    certificate = host.root / TLS_CERTIFICATE
    if not certificate.exists():
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # The certificate itself is the anchor, whoever signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cafile=str(certificate))
    return context


def proof(host: Host) -> Path:
    """The file that nginx looks for before it sends HSTS."""
    return host.root / maintenance.DIRECTORY / "https-proved"


def certificate(host: Host, values: Mapping[str, str], address: str) -> Iterator[Check]:
    """Until when the certificate holds that nginx serves, and whether browsers trust it: then HSTS is sent.

    Args:
        host: this server.
        values: the release's ``.env``.
        address: where nginx listens.
    """
    own = own_context(host)
    if own is None:
        proof(host).unlink(missing_ok=True)
        return
    port = int(values.get("VRU_HTTPS_PORT") or 443)
    try:
        end = _shake_hands(own, address, port, None)
    except OSError as error:
        yield Check(
            "certificate",
            "problem",
            f"nginx does not serve the release's certificate: {_reason(error)}",
            "Read: vru-platform logs nginx --tail 50",
        )
        return
    until = time.strftime("%Y-%m-%d", time.gmtime(end))
    trusted = _prove(host, values, address, port)
    if end - time.time() < _SOON_DAYS * _DAY_S:
        yield Check("certificate", "warning", f"ends on {until}", "Get a new one, then run: vru deploy")
    else:
        yield Check("certificate", "ok", f"until {until}; {trusted}")


def _prove(host: Host, values: Mapping[str, str], address: str, port: int) -> str:
    """Do what a browser does, and remember whether it would go on; in words."""
    if values.get("VRU_TLS") == "selfsigned":
        proof(host).unlink(missing_ok=True)
        return "self-signed, so HSTS is not sent"
    try:
        _shake_hands(ssl.create_default_context(), address, port, values.get("VRU_EXTERNAL_IP", ""))
    except OSError as error:
        proof(host).unlink(missing_ok=True)
        return f"HSTS is not sent: {_reason(error)}"
    if not proof(host).exists():
        write_atomic(proof(host), b"", 0o644)
    return "trusted, so HSTS is sent"


def _shake_hands(context: ssl.SSLContext, address: str, port: int, name: str | None) -> float:
    """The end of the certificate that answers, in seconds since 1970."""
    with (
        socket.create_connection((address, port), timeout=_TIMEOUT_S) as plain_socket,
        context.wrap_socket(plain_socket, server_hostname=name) as encrypted,
    ):
        peer = encrypted.getpeercert() or {}
        return float(ssl.cert_time_to_seconds(str(peer["notAfter"])))


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return plain(error)
