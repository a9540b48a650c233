"""TLS: the certificate that is made, the one that is given, and what is said of both before anything is sent."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.deploy.servers import GOOD

from vru.deploy.checks import certificate
from vru.deploy.release import certificates, configuration
from vru.deploy.release.manifest import build
from vru.deploy.settings import environment
from vru.deploy.settings.environment import Environment, EnvironmentFileError
from vru.domain import VruError
from vru.host.release.masking import TLS_CERTIFICATE, TLS_KEY, is_shown
from vru.host.wire import Check


def settings(folder: Path, **given: str) -> Environment:
    folder.mkdir(exist_ok=True)
    return environment.generate(folder / ".env.production", {"VRU_HOST": "127.0.0.1", **given})


@contextmanager
def tls_server(certificate: bytes, key: bytes, folder: Path) -> Iterator[int]:
    """Answers handshakes on a port of this machine, whoever asks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, content in (("c.pem", certificate), ("k.pem", key)):
        (folder / name).write_bytes(content)
    context.load_cert_chain(folder / "c.pem", folder / "k.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(connection, server_side=True) as encrypted:
                        encrypted.sendall(b"well")
                except OSError:
                    continue  # the client did not like the certificate

        threading.Thread(target=answer, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def asked(port: int, context: ssl.SSLContext, name: str) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as link,
        context.wrap_socket(link, server_hostname=name) as encrypted,
    ):
        return encrypted.recv(4)


def test_every_laptop_makes_the_same_certificate_and_trusts_it_alone(tmp_path: Path) -> None:
    one = settings(tmp_path / "one", VRU_TLS="selfsigned", VRU_ALLOWED_HOSTS="vru.example.org")
    another = settings(tmp_path / "two", **{name: value for name, value in one.values.items() if value})
    made = certificates.self_signed(one)
    assert made == certificates.self_signed(another)
    stranger = settings(tmp_path / "three", VRU_TLS="selfsigned")
    assert certificates.self_signed(stranger)[1] != made[1]
    context = certificates.client_context(one)
    assert context is not None
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the usual thing from Python 3.13 on
    with tls_server(*made, tmp_path) as port:
        for name in ("127.0.0.1", "vru.example.org", "localhost"):
            assert asked(port, context, name) == b"well"
        with pytest.raises(ssl.SSLCertVerificationError):
            asked(port, context, "other.example.org")
        with pytest.raises(ssl.SSLCertVerificationError):
            asked(port, ssl.create_default_context(), "127.0.0.1")
    with tls_server(*certificates.self_signed(stranger), tmp_path) as port, pytest.raises(ssl.SSLCertVerificationError):
        asked(port, context, "127.0.0.1")


def test_a_new_year_brings_a_new_certificate_before_the_old_one_ends(tmp_path: Path) -> None:
    one = settings(tmp_path, VRU_TLS="selfsigned")
    old, new = (
        x509.load_pem_x509_certificate(certificates.self_signed(one, datetime(year, month, day, tzinfo=UTC))[0])
        for year, month, day in ((2026, 12, 31), (2027, 1, 1))
    )
    assert old.serial_number != new.serial_number
    assert old.not_valid_after_utc - new.not_valid_before_utc == timedelta(days=365)
    assert old.public_key() == new.public_key()


def test_only_nginx_and_root_can_read_the_key_and_no_plan_shows_it(project: Path) -> None:
    one = environment.generate(project / ".env.production", {"VRU_HOST": "server.example", "VRU_TLS": "selfsigned"})
    release = build(project, one, GOOD, configuration.render(project, one, GOOD))
    entry = release.manifest.file(TLS_KEY)
    assert entry is not None
    assert (entry.mode, entry.uid, entry.gid) == (0o640, None, 101)
    key = release.read(entry.sha256)
    assert key.startswith(b"-----BEGIN PRIVATE KEY")
    assert not is_shown(TLS_KEY)
    assert is_shown(TLS_CERTIFICATE)
    seed = one["VRU_TLS_SEED"].encode()
    assert all(seed not in release.read(sha256) for sha256 in release.contents)
    assert build(project, one, GOOD, configuration.render(project, one, GOOD)).name == release.name
    assert release.manifest.firewall is not None
    assert set(release.manifest.firewall.open) == {80, 443, 3000, 8000}
    off = one.replace(VRU_TLS="off")
    plain = build(project, off, GOOD, configuration.render(project, off, GOOD)).manifest
    assert plain.file(TLS_KEY) is None
    assert plain.firewall is not None and 443 not in plain.firewall.open


def issued(
    folder: Path,
    *,
    names: tuple[str, ...] = ("vru.example.org",),
    days: int = 90,
    begun: int = 1,
    password: bytes = b"",
) -> Mapping[str, str]:
    """A certificate of an authority of its own and its key, as files; the variables that name them."""
    folder.mkdir(exist_ok=True)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    alternatives = [
        x509.IPAddress(ipaddress.ip_address(one)) if one[0].isdigit() else x509.DNSName(one) for one in names
    ]
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=begun))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(authority, hashes.SHA256())
    )
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    (folder / "c.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    (folder / "k.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    )
    return {
        "VRU_TLS": "files",
        "VRU_TLS_CERTIFICATE": f"{folder.name}/c.pem",  # from where .env.production is
        "VRU_TLS_KEY": str(folder / "k.pem"),
        "VRU_EXTERNAL_IP": "vru.example.org",
    }


def only(environment: Environment) -> Check:
    [found] = certificate.check(environment)
    return found


def test_a_given_certificate_is_sent_as_it_is(tmp_path: Path) -> None:
    one = settings(tmp_path, **issued(tmp_path / "tls"))
    assert certificates.files(one) == {
        TLS_CERTIFICATE: (tmp_path / "tls/c.pem").read_bytes(),
        TLS_KEY: (tmp_path / "tls/k.pem").read_bytes(),
    }
    assert only(one).state == "ok"


@pytest.mark.parametrize(
    ("given", "state", "words"),
    [
        ({"days": 10}, "warning", "ends on"),
        ({"days": -1, "begun": 9}, "problem", "ended on"),
        ({"begun": -2}, "problem", "begins on"),
        ({"names": ("other.example.org",)}, "problem", "is not for vru.example.org"),
        ({"names": ("*.example.org",)}, "ok", "until"),
        ({"names": ("192.0.2.1",)}, "problem", "is not for vru.example.org"),
        ({"password": b"secret"}, "problem", "no key that can be used"),
    ],
)
def test_what_is_wrong_with_a_given_certificate_is_said(
    tmp_path: Path, given: dict[str, object], state: str, words: str
) -> None:
    found = only(settings(tmp_path, **issued(tmp_path / "tls", **given)))  # type: ignore[arg-type]
    assert (found.state, words in found.detail) == (state, True), found


def test_a_file_that_is_not_what_it_should_be_is_named(tmp_path: Path) -> None:
    good = issued(tmp_path / "tls")
    other = issued(tmp_path / "other")
    (tmp_path / "text").write_text("hello")
    for changed, words in (
        ({"VRU_TLS_KEY": other["VRU_TLS_KEY"]}, "is not the key of"),
        ({"VRU_TLS_KEY": "nowhere"}, "VRU_TLS_KEY: nowhere cannot be read: No such file"),
        ({"VRU_TLS_CERTIFICATE": "text"}, "VRU_TLS_CERTIFICATE: text holds no certificate"),
        ({"VRU_TLS_KEY": "text"}, "VRU_TLS_KEY: text holds no key"),
    ):
        one = environment.generate(
            tmp_path / ".env.production", {"VRU_HOST": "127.0.0.1", **good, **changed}, force=True
        )
        with pytest.raises(VruError, match=words):
            certificates.files(one)
        assert only(one).state == "problem"


@pytest.mark.parametrize(
    ("address", "proxies", "state"),
    [
        ("8.8.8.8", "", "warning"),
        ("2001:4860:4860::8888", "", "warning"),
        ("vru.example.org", "", "warning"),
        ("vru.example.org", "10.0.0.0/8", "ok"),
        ("10.1.2.3", "", "ok"),
        ("platform.internal", "", "ok"),
        ("platform", "", "ok"),
    ],
)
def test_a_public_address_without_tls_is_warned_of(tmp_path: Path, address: str, proxies: str, state: str) -> None:
    found = only(settings(tmp_path, VRU_EXTERNAL_IP=address, VRU_TRUSTED_PROXIES=proxies))
    assert found.state == state
    assert ("unencrypted" in found.detail) is (state == "warning")


def test_addresses_that_users_are_told(tmp_path: Path) -> None:
    off = settings(tmp_path, VRU_EXTERNAL_IP="vru.example.org")
    tls = off.replace(VRU_TLS="selfsigned")
    assert (off.url(off.page_port), tls.url(tls.page_port)) == ("http://vru.example.org", "https://vru.example.org")
    assert tls.url(tls.api_port) == "https://vru.example.org:8000"
    assert tls.url(tls.api_port, "ws") == "wss://vru.example.org:8000"
    assert tls.redirecting_url == "http://vru.example.org"
    assert tls.cors_origins == ("https://vru.example.org", "https://vru.example.org:3000")
    assert set(tls.published_ports) - set(off.published_ports) == {443}
    assert tls.replace(VRU_HTTPS_PORT="8443").url(8443) == "https://vru.example.org:8443"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"VRU_TLS": "files", "VRU_TLS_KEY": "k"}, "VRU_TLS=files needs VRU_TLS_CERTIFICATE"),
        ({"VRU_TLS": "selfsigned", "VRU_HTTPS_PORT": "3000"}, "are both 3000"),
        ({"VRU_TRUSTED_PROXIES": "proxy"}, "must be networks"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, given: dict[str, str], words: str) -> None:
    with pytest.raises((EnvironmentFileError, VruError), match=words):
        settings(tmp_path, **given)


def test_an_older_file_is_good_without_tls_and_with_it_says_what_it_lacks(tmp_path: Path) -> None:
    made = settings(tmp_path, VRU_TLS="selfsigned")
    text = made.path.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("VRU_TLS_SEED=")]
    made.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(EnvironmentFileError, match="VRU_TLS=selfsigned needs VRU_TLS_SEED") as refused:
        environment.load(made.path)
    assert "vru init --force" in refused.value.fix
    made.path.write_text("\n".join(line for line in lines if not line.startswith("VRU_TLS")) + "\n")
    assert not environment.load(made.path).tls
