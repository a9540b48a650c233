"""TLS as the server sees it: real handshakes with a real server, and what is remembered of them."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vru.host.base.host import Host
from vru.host.operations import door, verify
from vru.host.release.masking import TLS_CERTIFICATE
from vru.host.wire import Check

NAME = "vru.example.org"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "data/routes").mkdir(parents=True)
    return Host(tmp_path)


class Authority:
    """Signs certificates for NAME; whether it is trusted is the test's business."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.certificate = self._signed(self.name, self.key.public_key(), 900).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ).sign(self.key, hashes.SHA256())  # fmt: skip

    def _signed(self, subject: x509.Name, public: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            self.name,
            subject,
            public,
            x509.random_serial_number(),
            now - timedelta(days=30),
            now + timedelta(days=days),
        )

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, days: int = 90, name: str = NAME) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        leaf = self._signed(subject, key.public_key(), days).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        ).sign(self.key, hashes.SHA256())  # fmt: skip
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return (
            leaf.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, *form),
        )


@contextmanager
def serving(pair: tuple[bytes, bytes], folder: Path) -> Iterator[int]:
    """Something that speaks TLS, and HTTP in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (folder / "served.pem").write_bytes(b"".join(pair))
    context.load_cert_chain(folder / "served.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(connection, server_side=True) as encrypted:
                        encrypted.settimeout(5)
                        if encrypted.recv(1000):
                            encrypted.sendall(b"HTTP/1.0 200 OK\r\n\r\nwell")
                except OSError:
                    continue  # the client did not like the certificate

        threading.Thread(target=answer, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def released(host: Host, certificate: bytes) -> None:
    (host.root / TLS_CERTIFICATE).parent.mkdir(parents=True, exist_ok=True)
    (host.root / TLS_CERTIFICATE).write_bytes(certificate)


def looked_at(host: Host, port: int, tls: str = "files", name: str = NAME) -> list[Check]:
    values = {"VRU_TLS": tls, "VRU_HTTPS_PORT": str(port), "VRU_EXTERNAL_IP": name}
    return list(door.certificate(host, values, "127.0.0.1"))


def test_what_browsers_trust_is_proved_and_no_longer_when_they_do_not(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority()
    (tmp_path / "authorities.pem").write_bytes(authority.pem())
    pair = authority.issue()
    released(host, pair[0])
    with serving(pair, tmp_path) as port:
        [check] = looked_at(host, port)
        assert (check.state, "HSTS is not sent: unable to get" in check.detail) == ("ok", True), check
        assert not door.proof(host).exists()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities.pem"))
        [check] = looked_at(host, port)
        assert check.detail.endswith("trusted, so HSTS is sent")
        assert door.proof(host).exists()
        assert door.proof(host).stat().st_mode & 0o777 == 0o644  # nginx is another user
        [check] = looked_at(host, port, name="other.example.org")
        assert "HSTS is not sent: Hostname mismatch" in check.detail
        assert not door.proof(host).exists()
        looked_at(host, port)
        [check] = looked_at(host, port, tls="selfsigned")
        assert "self-signed" in check.detail
        assert not door.proof(host).exists()


def test_another_certificate_than_the_releases_is_a_problem(host: Host, tmp_path: Path) -> None:
    authority = Authority()
    released(host, authority.issue()[0])
    with serving(authority.issue(), tmp_path) as port:
        [check] = looked_at(host, port)
        assert (check.state, check.name) == ("problem", "certificate")
        assert "does not serve the release's certificate" in check.detail


@pytest.mark.parametrize(("days", "state", "words"), [(5, "warning", "ends on"), (-5, "problem", "has expired")])
def test_an_end_that_is_near_or_past_is_said(host: Host, tmp_path: Path, days: int, state: str, words: str) -> None:
    pair = Authority().issue(days)
    released(host, pair[0])
    with serving(pair, tmp_path) as port:
        [check] = looked_at(host, port)
    assert (check.state, words in check.detail) == (state, True), check


def test_without_tls_nothing_is_said_and_an_old_proof_is_gone(host: Host) -> None:
    door.proof(host).write_bytes(b"")
    assert looked_at(host, 1, tls="off") == []
    assert not door.proof(host).exists()


def test_addresses_are_asked_with_the_releases_certificate(host: Host, tmp_path: Path) -> None:
    pair = Authority().issue()
    released(host, pair[0])
    context = door.own_context(host)
    with serving(pair, tmp_path) as port:
        assert verify._address("page", f"https://127.0.0.1:{port}/", 0, context).state == "ok"
    with serving(Authority().issue(), tmp_path) as port:
        check = verify._address("page", f"https://127.0.0.1:{port}/", 0, context)
        assert check.state == "problem"
        assert "does not answer" in check.detail
