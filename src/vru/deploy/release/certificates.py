"""nginx's certificate and key: files of the operator, or one that is made here, for ``VRU_TLS=selfsigned``.

The self-signed one is a function of ``VRU_TLS_SEED``, the platform's names and the year: every laptop makes the same.
So a release does not depend on who sends it, and whoever has ``.env.production`` knows which certificate must answer.
"""

import hashlib
import hmac
import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vru.deploy.settings.environment import Environment
from vru.domain import VruError
from vru.host.release.masking import TLS_CERTIFICATE, TLS_KEY

if TYPE_CHECKING:
    from cryptography import x509

# nginx runs as this user, and no other service's container does.
GROUP = 101
MODE = 0o640
# The order of the group of NIST P-256 (FIPS 186-5, SP 800-186): private keys are 1 to one less.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def files(environment: Environment) -> dict[str, bytes]:
    """The certificate with its chain, and the key, by their paths on the server; nothing without TLS.

    Raises:
        VruError: a file cannot be read, or the two do not belong together.
    """
    if environment["VRU_TLS"] == "files":
        certificate, key = _given(environment)
    elif environment["VRU_TLS"] == "selfsigned":
        certificate, key = self_signed(environment)
    else:
        return {}
    return {TLS_CERTIFICATE: certificate, TLS_KEY: key}


def client_context(environment: Environment) -> ssl.SSLContext | None:
    """What a client on this laptop trusts: the certificate that was made here, or those that the system trusts."""
    if not environment.tls:
        return None
    context = ssl.create_default_context()
    if environment["VRU_TLS"] == "selfsigned":
        certificate, _ = self_signed(environment)
        context = ssl.create_default_context(cadata=certificate.decode())
    return context


def fingerprint(certificate: bytes) -> str:
    """The SHA-256 of a PEM certificate, as browsers show it."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode())).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def self_signed(environment: Environment, now: datetime | None = None) -> tuple[bytes, bytes]:
    """A certificate for the platform's names, signed by its own key (ECDSA, P-256); valid from this year's first day
    to the end of the next year.

    Returns:
        Certificate and key, both PEM.

    Raises:
        VruError: this laptop's OpenSSL cannot sign without chance (RFC 6979).
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    digest = hmac.new(environment["VRU_TLS_SEED"].encode(), b"key of the self-signed certificate", hashlib.sha512)
    key = ec.derive_private_key(int.from_bytes(digest.digest()) % (_ORDER - 1) + 1, ec.SECP256R1())
    year = (now or datetime.now(UTC)).year
    names = list(dict.fromkeys((*environment.allowed_hosts, "localhost", "127.0.0.1", "::1")))
    serial = hashlib.sha256(f"{year}\0{' '.join(names)}".encode()).digest()[:19]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "VRU Platform")])
    public = key.public_key()
    own = x509.SubjectKeyIdentifier.from_public_key(public)
    builder = (
        x509.CertificateBuilder(subject, subject, public, int.from_bytes(serial) or 1)
        .not_valid_before(datetime(year, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(year + 2, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_only_signatures(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(own, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
    )
    try:
        certificate = builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    except UnsupportedAlgorithm as error:
        raise VruError(
            "This laptop's OpenSSL cannot make a self-signed certificate that is the same everywhere.",
            "Install the package cryptography from PyPI, or set VRU_TLS=files.",
        ) from error
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, *form),
    )


def _only_signatures() -> "x509.KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _general_name(name: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _given(environment: Environment) -> tuple[bytes, bytes]:
    found = []
    for variable in ("VRU_TLS_CERTIFICATE", "VRU_TLS_KEY"):
        path = Path(environment[variable]).expanduser()
        try:
            found.append((environment.path.parent / path).read_bytes())
        except OSError as error:
            raise VruError(f"{variable}: {path} cannot be read: {error.strerror}.", "Correct the path.") from error
    certificate, key = found
    _require_pair(environment, certificate, key)
    return certificate, key


def _require_pair(environment: Environment, certificate: bytes, key: bytes) -> None:
    """nginx would refuse it on the server; said here."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError as error:
        raise VruError(
            f"VRU_TLS_CERTIFICATE: {environment['VRU_TLS_CERTIFICATE']} holds no certificate: {error}.",
            "It must be PEM: the certificate first, then its chain.",
        ) from error
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise VruError(
            f"VRU_TLS_KEY: {environment['VRU_TLS_KEY']} holds no key that can be used: {error}.",
            "It must be PEM, without a password.",
        ) from error
    if private.public_key() != leaf.public_key():
        raise VruError(
            "VRU_TLS_KEY is not the key of the first certificate in VRU_TLS_CERTIFICATE.",
            "Put the server's certificate first, and its chain behind it.",
        )
