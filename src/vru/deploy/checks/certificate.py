"""TLS, before anything is sent: whether passwords travel hidden, and whether the certificate will do."""

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vru.deploy.checks.check import ok, problem, warning
from vru.deploy.release import certificates
from vru.deploy.settings.environment import Environment
from vru.domain import VruError
from vru.host.release.masking import TLS_CERTIFICATE
from vru.host.wire import Check

if TYPE_CHECKING:
    from cryptography import x509

_SOON_DAYS = 21
_INTERNAL = (".local", ".internal", ".lan", ".intranet", ".corp", ".home.arpa", ".test", ".example", ".invalid")


def check(environment: Environment) -> Iterator[Check]:
    """Whether users' passwords travel hidden, and whether the certificate will do."""
    if not environment.tls:
        if environment.trusted_proxies or not _is_public(environment.external_ip):
            yield ok("TLS", "off" + ("; a proxy before the platform ends it" if environment.trusted_proxies else ""))
        else:
            yield warning(
                "TLS",
                f"{environment.external_ip} is a public address, and passwords and videos go to it unencrypted.",
                "Set VRU_TLS to selfsigned or files; behind a proxy that ends TLS, set VRU_TRUSTED_PROXIES.",
            )
        return
    try:
        found = certificates.files(environment)
    except VruError as error:
        yield problem("TLS", error.message, error.fix)
        return
    if environment["VRU_TLS"] == "selfsigned":
        yield ok("TLS", f"self-signed, SHA-256 {certificates.fingerprint(found[TLS_CERTIFICATE])}")
    else:
        yield _check_given(environment, found[TLS_CERTIFICATE])


def _is_public(name: str) -> bool:
    """Whether an address is one of the internet's; of a name, whether it could be."""
    try:
        return ipaddress.ip_address(name).is_global
    except ValueError:
        return "." in name and not name.lower().rstrip(".").endswith(_INTERNAL)


def _check_given(environment: Environment, certificate: bytes) -> Check:
    from cryptography import x509

    leaf = x509.load_pem_x509_certificates(certificate)[0]
    now, end = datetime.now(UTC), leaf.not_valid_after_utc
    until = f"{end:%Y-%m-%d}"
    if end <= now:
        return problem("TLS", f"The certificate ended on {until}.", "Get a new one, and deploy again.")
    if leaf.not_valid_before_utc > now:
        return problem("TLS", f"The certificate begins on {leaf.not_valid_before_utc:%Y-%m-%d}.", "Check the clock.")
    if not _covers(leaf, environment.external_ip):
        return problem(
            "TLS",
            f"The certificate is not for {environment.external_ip}, the address that users are told.",
            "Set VRU_EXTERNAL_IP to a name in it, or get one for that address.",
        )
    if (end - now).days < _SOON_DAYS:
        return warning("TLS", f"The certificate ends on {until}.", "Get a new one, and deploy again.")
    return ok("TLS", f"certificate until {until}")


def _covers(leaf: "x509.Certificate", name: str) -> bool:
    from cryptography import x509

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ipaddress.ip_address(name) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        wanted = name.lower().rstrip(".")
        known = {one.lower() for one in names.get_values_for_type(x509.DNSName)}
        return wanted in known or f"*.{wanted.partition('.')[2]}" in known
