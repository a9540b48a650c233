"""Time stamps by an authority of the test's own: `openssl ts` behind a real HTTP server on the loopback."""

import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.reports.test_evidence import CONTENTS, FACTS, made, sealed

from vru.cli import main
from vru.reports.evidence import manifest_of
from vru.reports.timestamp import TimestampError, check_timestamp, read_roots

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl, to make an authority")

_CONFIGURATION = """
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[stamping]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = authority
[authority]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""
_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256", "-days", "30")


class Authority:
    """A root, a certificate for stamping, and `openssl ts` with them."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.root = self.folder / "root.pem"
        (self.folder / "conf").write_text(_CONFIGURATION.format(folder=self.folder))
        (self.folder / "serial").write_text("01")
        root = ("-x509", "-keyout", "root.key", "-out", "root.pem", "-subj", f"/CN={name} root", "-extensions", "root")
        self._openssl("req", "-config", "conf", *_EC, *root)
        request = ("-keyout", "tsa.key", "-out", "tsa.csr", "-subj", f"/CN={name}")
        self._openssl("req", "-config", "conf", *_EC, *request)
        signing = ("-CA", "root.pem", "-CAkey", "root.key", "-extfile", "conf", "-extensions", "stamping")
        self._openssl("x509", "-req", "-in", "tsa.csr", *signing, "-out", "tsa.pem", "-days", "30", "-sha256")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def stamp(self, query: bytes) -> bytes:
        """The answer to a query, both in DER."""
        (self.folder / "query").write_bytes(query)
        signer = ("-signer", "tsa.pem", "-inkey", "tsa.key", "-config", "conf", "-section", "authority")
        self._openssl("ts", "-reply", "-queryfile", "query", *signer, "-out", "answer")
        return (self.folder / "answer").read_bytes()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authorities"), "ours")


@pytest.fixture(scope="module")
def url(authority: Authority) -> Iterator[str]:
    """Where it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            asked = self.headers["Content-Type"] == "application/timestamp-query" and self.path == "/tsa"
            answer = authority.stamp(query) if asked else b"no"
            self.send_response(200 if asked else 404)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/tsa"
        server.shutdown()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.evidence.zip"
    path.write_bytes(made())
    return path


def vru(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evidence", *map(str, arguments)])


def test_stamped_and_verified(file: Path, authority: Authority, url: str) -> None:
    before = file.read_bytes()
    stamped = vru("timestamp", file, "--url", url, "--timestamp-roots", authority.root)
    assert stamped.exit_code == 0, stamped.output
    assert "seal 1 was there on 20" in stamped.output
    assert file.read_bytes() == before
    stamp = file.with_name("run.evidence.zip.tsr")
    verified = vru("verify", file, "--no-recompute", "--timestamp", stamp, "--timestamp-roots", authority.root)
    assert verified.exit_code == 3, verified.output  # no --key was given
    assert "stamped  20" in verified.output
    with zipfile.ZipFile(file) as archive:
        archive.extract("seal.json", file.parent)
    data = ("-data", file.parent / "seal.json", "-in", stamp, "-CAfile", authority.root)
    checked = subprocess.run(["openssl", "ts", "-verify", *data], capture_output=True, text=True)
    assert "Verification: OK" in checked.stdout + checked.stderr


def test_a_stamp_of_another_seal_or_authority_is_refused(
    file: Path, authority: Authority, url: str, tmp_path: Path
) -> None:
    vru("timestamp", file, "--url", url, "--timestamp-roots", authority.root)
    stamp = file.with_name("run.evidence.zip.tsr")
    seal = sealed(manifest_of(FACTS, CONTENTS))
    check_timestamp(stamp.read_bytes(), seal, read_roots(authority.root))
    with pytest.raises(TimestampError, match="not one of this seal"):
        check_timestamp(stamp.read_bytes(), sealed(b"another"), read_roots(authority.root))
    other = Authority(tmp_path, "theirs")
    refused = vru("verify", file, "--no-recompute", "--timestamp", stamp, "--timestamp-roots", other.root)
    assert refused.exit_code == 1
    assert "by an authority that you trust" in refused.output
    content = bytearray(stamp.read_bytes())
    for place in range(0, len(content), max(1, len(content) // 20)):
        changed = content.copy()
        changed[place] ^= 1
        try:
            made_at = check_timestamp(bytes(changed), seal, read_roots(authority.root))
        except TimestampError:
            continue
        # Bytes that nobody signed, as the order of certificates, may be others: then it says the same.
        assert made_at == check_timestamp(bytes(content), seal, read_roots(authority.root))
    for nonsense in (b"", b"text", bytes(100)):
        with pytest.raises(TimestampError):
            check_timestamp(nonsense, seal, read_roots(authority.root))


def test_an_authority_that_does_not_answer_is_named(file: Path, authority: Authority, url: str) -> None:
    for address, message in ((url + "/gone", "does not answer"), ("file:///etc/passwd", "is no address")):
        refused = vru("timestamp", file, "--url", address, "--timestamp-roots", authority.root)
        assert refused.exit_code == 1
        assert message in refused.output
    assert vru("timestamp", file, "--url", url).exit_code == 2
    assert vru("verify", file, "--timestamp", file).exit_code == 2
    assert not file.with_name("run.evidence.zip.tsr").exists()
