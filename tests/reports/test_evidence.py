"""Evidence: what was signed is what is there, byte for byte."""

import gzip
import io
import json
import os
import random
import stat
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from vru.cli import main
from vru.domain import VruError
from vru.reports.container import ContainerError, checked_content, open_container, pack
from vru.reports.evidence import DETECTIONS, MANIFEST, SIGNATURE, build, read_lines, verify
from vru.reports.signing import fingerprint, public_pem, signing_key

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FACTS = {"run": {"id": "1", "state": "completed", "verdict": "FAIL", "created_by": "a@b.example"}, "inputs": {}}
CONTENTS = {
    "metrics.json": b'{"a": 1}\n',
    "report.html": b"<p>report</p>" * 20,
    DETECTIONS: gzip.compress(b"[0,0.0]\n[1,0.04]\n", mtime=0),
}


def made(key: Ed25519PrivateKey = KEY, **more: bytes) -> bytes:
    return b"".join(build(FACTS, CONTENTS | more, key))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.evidence.zip"
    path.write_bytes(made())
    return path


def vru(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evidence", *map(str, arguments)])


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(VruError) as caught:
        verify(path)
    return caught.value.message


class TestVerify:
    def test_whole_and_trusted(self, file: Path) -> None:
        mark = fingerprint(KEY.public_key())
        assert verify(file).trusted is None
        checked = verify(file, mark)
        assert checked.trusted is True and checked.key == mark and checked.manifest["run"] == FACTS["run"]
        assert list(read_lines(file, DETECTIONS)) == [[0, 0.0], [1, 0.04]]

    def test_the_same_twice(self) -> None:
        assert made() == made()

    def test_every_changed_byte_is_found(self, file: Path, tmp_path: Path) -> None:
        whole = file.read_bytes()
        changed, chance = tmp_path / "changed.zip", random.Random(5)
        for place in range(len(whole)):
            content = bytearray(whole)
            content[place] ^= chance.randrange(1, 256)
            refused(changed, bytes(content))

    @pytest.mark.parametrize("piece", [b"\0", b"PK\x05\x06", b"hello"])
    def test_bytes_added_or_taken_away(self, file: Path, piece: bytes) -> None:
        whole = file.read_bytes()
        chance = random.Random(6)
        for place in (0, len(whole), *(chance.randrange(len(whole)) for _ in range(100))):
            refused(file, whole[:place] + piece + whole[place:])
            if place < len(whole):
                refused(file, whole[:place] + whole[place + 1 :])

    def test_another_key(self, file: Path) -> None:
        with pytest.raises(VruError, match="signed by another key"):
            verify(file, "SHA256:" + "0" * 64)

    def test_a_stranger_in_a_well_formed_file(self, file: Path) -> None:
        with zipfile.ZipFile(io.BytesIO(made())) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        assert "was not signed" in refused(file, b"".join(pack(contents | {"more.txt": b"x"})))
        less = {name: content for name, content in contents.items() if name != "metrics.json"}
        assert "metrics.json was signed, but is missing" in refused(file, b"".join(pack(less)))
        other = contents | {"metrics.json": b'{"a": 2}\n'}
        assert "metrics.json is not what was signed" in refused(file, b"".join(pack(other)))
        forged = json.loads(contents[MANIFEST]) | {"run": {"verdict": "PASS"}}
        assert "signature" in refused(file, b"".join(pack(contents | {MANIFEST: json.dumps(forged).encode()})))
        unsigned = {name: content for name, content in contents.items() if name != SIGNATURE}
        assert "manifest.sig" in refused(file, b"".join(pack(unsigned)))

    @pytest.mark.parametrize("content", [b"", b"PK", b"{}", bytes(5000), b"PK\x05\x06" + bytes(18)])
    def test_other_files(self, file: Path, content: bytes) -> None:
        refused(file, content)

    def test_an_archive_of_another_program_and_ways_out(self, file: Path) -> None:
        for name in ("../../etc/passwd", "/etc/passwd", "manifest.json", "a\\b", "con:x"):
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(name, bytes(10_000_000))
            refused(file, stream.getvalue())
        for name in ("../x", "/x", "a/../b", "A", "a//b", "", "."):
            with pytest.raises(ContainerError):
                list(pack({name: b""}))

    def test_other_programs_open_it(self, file: Path, tmp_path: Path) -> None:
        with zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            archive.extractall(tmp_path)
        (tmp_path / "public-key.pem").write_bytes(public_pem(KEY.public_key()))
        command = "openssl pkeyutl -verify -pubin -inkey public-key.pem -rawin -in manifest.json -sigfile manifest.sig"
        ended = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr

    @given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9]{0,5}(\.[a-z]{1,3})?", fullmatch=True), st.binary(max_size=99)))
    def test_what_is_packed_is_found(self, contents: dict[str, bytes]) -> None:
        stream = io.BytesIO(b"".join(pack(contents)))
        found = {member.name: b"".join(checked_content(stream, member)) for member in open_container(stream)}
        assert found == contents


class TestKey:
    def test_made_once_and_for_its_owner_alone(self, tmp_path: Path) -> None:
        folder = tmp_path / "evidence"
        with ThreadPoolExecutor(8) as pool:
            keys = list(pool.map(lambda _: fingerprint(signing_key(folder).public_key()), range(32)))
        assert len(set(keys)) == 1
        assert [path.name for path in folder.iterdir()] == ["signing-key.pem"]
        assert stat.S_IMODE((folder / "signing-key.pem").stat().st_mode) == 0o600

    def test_refused_if_others_may_read_it(self, tmp_path: Path) -> None:
        signing_key(tmp_path)
        (tmp_path / "signing-key.pem").chmod(0o644)
        with pytest.raises(VruError, match="can be read by others"):
            signing_key(tmp_path)

    def test_refused_if_broken(self, tmp_path: Path) -> None:
        (tmp_path / "signing-key.pem").write_bytes(b"nothing")
        (tmp_path / "signing-key.pem").chmod(0o600)
        with pytest.raises(VruError, match="is no private key"):
            signing_key(tmp_path)


class TestCommand:
    def test_without_a_key_it_says_so(self, file: Path) -> None:
        result = vru("verify", file)
        assert result.exit_code == 0 and "NOT compared" in result.output
        assert fingerprint(KEY.public_key()) in result.output

    def test_with_a_key_as_fingerprint_or_file(self, file: Path, tmp_path: Path) -> None:
        mark = fingerprint(KEY.public_key())
        (tmp_path / "key.pem").write_bytes(public_pem(KEY.public_key()))
        (tmp_path / "key.txt").write_text(mark + "\n")
        for given_key in (mark, mark[7:].upper(), tmp_path / "key.pem", tmp_path / "key.txt"):
            result = vru("verify", file, "--key", given_key)
            assert result.exit_code == 0 and "the key that you gave" in result.output, result.output
            assert "NOT compared" not in result.output

    def test_changed_is_1_and_wrong_usage_is_2(self, file: Path) -> None:
        assert vru("verify", file, "--key", "nonsense").exit_code == 2
        assert vru("verify", file, "--key", "0" * 64).exit_code == 1
        file.write_bytes(file.read_bytes() + b"x")
        for command in ("verify", "show", "recompute"):
            result = vru(command, file)
            assert result.exit_code == 1 and "error:" in result.output

    def test_show(self, file: Path) -> None:
        result = vru("show", file)
        assert result.exit_code == 0 and json.loads(result.stdout)["run"] == FACTS["run"]

    def test_it_needs_none_of_the_extras(self, file: Path) -> None:
        program = (
            "import sys\n"
            "for name in ('numpy', 'scipy', 'pydantic', 'fastapi', 'sqlalchemy', 'typst'): sys.modules[name] = None\n"
            f"from vru.cli import main; main(['evidence', 'verify', {os.fspath(file)!r}])"
        )
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
