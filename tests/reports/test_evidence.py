"""Evidence: what was signed is what is there, byte for byte."""

import base64
import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from vru.cli import main
from vru.domain import VruError
from vru.reports.container import ContainerError, checked_content, open_container, pack
from vru.reports.evidence import DETECTIONS, MANIFEST, SEAL, SIGNATURE, build, manifest_of, read_lines, verify
from vru.reports.ledger import LedgerError, Seal, check_in_ledger, read_ledger
from vru.reports.signing import fingerprint, public_pem
from vru.reports.statement import PAYLOAD_TYPE, StatementError, check_envelope, enveloped

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FACTS = {"run": {"id": "1", "state": "completed", "verdict": "FAIL", "created_by": "a@b.example"}, "inputs": {}}
CONTENTS = {
    "metrics.json": b'{"a": 1}\n',
    "report.html": b"<p>report</p>" * 20,
    DETECTIONS: gzip.compress(b"[0,0.0]\n[1,0.04]\n", mtime=0),
}


def sealed(manifest: bytes, position: int = 1, previous: str | None = None, run: str = "1") -> Seal:
    digest = hashlib.sha256(manifest).hexdigest()
    key = KEY.public_key().public_bytes_raw().hex()
    return Seal(position, previous, run, digest, key, "2026-01-01T00:00:00+00:00").signed(KEY)


def made(**more: bytes) -> bytes:
    manifest = manifest_of(FACTS, CONTENTS | more)
    seal = sealed(manifest)
    return b"".join(build({**CONTENTS, **more, MANIFEST: manifest}, seal, enveloped(seal, KEY)))


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
        assert "not the one that was sealed" in refused(
            file, b"".join(pack(contents | {MANIFEST: json.dumps(forged).encode()}))
        )
        own = sealed(json.dumps(forged).encode()).document()
        assert "signature of seal 1 is not its own" in refused(file, b"".join(pack(contents | {SEAL: own})))
        unsigned = {name: content for name, content in contents.items() if name != SIGNATURE}
        assert "seal.sig" in refused(file, b"".join(pack(unsigned)))
        other_run = sealed(contents[MANIFEST], run="2")
        signed = {SEAL: other_run.document(), SIGNATURE: bytes.fromhex(other_run.signature)}
        assert "another run" in refused(file, b"".join(pack(contents | signed)))
        assert "before evidence was sealed" in refused(file, b"".join(pack({MANIFEST: b"{}", "manifest.sig": b"x"})))

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
        command = "openssl pkeyutl -verify -pubin -inkey public-key.pem -rawin -in seal.json -sigfile seal.sig"
        ended = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr

    @given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9]{0,5}(\.[a-z]{1,3})?", fullmatch=True), st.binary(max_size=99)))
    def test_what_is_packed_is_found(self, contents: dict[str, bytes]) -> None:
        stream = io.BytesIO(b"".join(pack(contents)))
        found = {member.name: b"".join(checked_content(stream, member)) for member in open_container(stream)}
        assert found == contents


class TestLedger:
    @pytest.fixture
    def seals(self) -> list[Seal]:
        seals: list[Seal] = []
        for number in range(1, 6):
            before = seals[-1].digest() if seals else None
            seals.append(sealed(b"manifest %d" % number, number, before, str(number)))
        return seals

    @pytest.fixture
    def ledger(self, seals: list[Seal], tmp_path: Path) -> Path:
        path = tmp_path / "ledger.jsonl"
        path.write_bytes(b"".join(seal.line() for seal in seals))
        return path

    def test_it_is_read_as_it_was_written(self, seals: list[Seal], ledger: Path) -> None:
        assert list(read_ledger(ledger)) == seals
        assert [check_in_ledger(seal, ledger) for seal in seals] == [5] * 5

    def test_a_seal_cannot_be_taken_out_put_in_or_changed(self, seals: list[Seal], ledger: Path) -> None:
        lines = ledger.read_bytes().splitlines(keepends=True)
        forged = replace(seals[2], run="9").signed(KEY).line()
        for place, changed in (
            (3, [*lines[:2], *lines[3:]]), (4, [*lines[:2], forged, *lines[3:]]), (4, [*lines[:3], *lines[2:]]),
        ):  # fmt: skip
            ledger.write_bytes(b"".join(changed))
            with pytest.raises(LedgerError, match=f"line {place}: seal"):
                check_in_ledger(seals[0], ledger)
        ledger.write_bytes(b"".join([*lines[:4], replace(seals[4], run="9").line()]))
        with pytest.raises(LedgerError, match="signature of seal 5 is not its own"):
            check_in_ledger(seals[0], ledger)

    def test_one_that_is_not_in_it(self, seals: list[Seal], ledger: Path) -> None:
        with pytest.raises(LedgerError, match="has another seal at position 3"):
            check_in_ledger(replace(seals[2], run="9").signed(KEY), ledger)
        with pytest.raises(LedgerError, match="has 5 seals, and no seal 6"):
            check_in_ledger(sealed(b"x", 6, seals[4].digest()), ledger)

    @pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"seal": {}, "signature": ""}', b"\xff", b"[" * 5000])
    def test_what_is_no_seal_is_named_by_its_line(self, ledger: Path, line: bytes) -> None:
        ledger.write_bytes(ledger.read_bytes() + line + b"\n")
        with pytest.raises(LedgerError, match="line 6 is no seal"):
            list(read_ledger(ledger))


class TestCommand:
    def test_without_a_key_it_says_so(self, file: Path) -> None:
        result = vru("verify", file, "--no-recompute")
        assert result.exit_code == 3 and "NOT compared" in result.output
        assert fingerprint(KEY.public_key()) in result.output

    def test_with_a_key_as_fingerprint_or_file(self, file: Path, tmp_path: Path) -> None:
        mark = fingerprint(KEY.public_key())
        (tmp_path / "key.pem").write_bytes(public_pem(KEY.public_key()))
        (tmp_path / "key.txt").write_text(mark + "\n")
        for given_key in (mark, mark[7:].upper(), tmp_path / "key.pem", tmp_path / "key.txt"):
            result = vru("verify", file, "--key", given_key, "--no-recompute")
            assert result.exit_code == 3 and "the key that you gave" in result.output, result.output
            assert "NOT compared" not in result.output

    def test_with_a_ledger(self, file: Path, tmp_path: Path) -> None:
        ledger = tmp_path / "ledger.jsonl"
        ledger.write_bytes(verify(file).seal.line())
        result = vru("verify", file, "--ledger", ledger, "--no-recompute")
        assert result.exit_code == 3 and "whole, 1 seals; this is seal 1" in result.output
        ledger.write_bytes(sealed(b"another").line())
        result = vru("verify", file, "--ledger", ledger, "--no-recompute")
        assert result.exit_code == 1 and "has another seal at position 1" in result.output
        assert vru("verify", file, "--ledger", tmp_path / "none").exit_code == 2

    def test_what_cannot_be_computed_again_is_not_proved(self, file: Path) -> None:
        result = vru("verify", file, "--key", fingerprint(KEY.public_key()))
        assert result.exit_code == 1 and "It has no run.json" in result.output

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
        assert ended.returncode == 3, ended.stderr
        assert "NOT computed again" in ended.stderr and "pip install" in ended.stderr


class TestStatement:
    """The seal as others read it: in-toto in DSSE."""

    SEAL = sealed(manifest_of(FACTS, CONTENTS))

    def test_its_subject_is_the_manifest_and_openssl_agrees_on_what_was_signed(self, file: Path) -> None:
        with file.open("rb") as stream:
            members = {member.name: b"".join(checked_content(stream, member)) for member in open_container(stream)}
        envelope = json.loads(members["seal.intoto.json"])
        payload = base64.b64decode(envelope["payload"])
        said = json.loads(payload)
        assert said["_type"] == "https://in-toto.io/Statement/v1"
        digest = hashlib.sha256(members[MANIFEST]).hexdigest()
        assert said["subject"] == [{"name": MANIFEST, "digest": {"sha256": digest}}]
        assert said["predicate"] == json.loads(members[SEAL])
        # Written out from the specification: without the library that made it.
        signed = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
        (signature,) = envelope["signatures"]
        assert signature["keyid"] == fingerprint(KEY.public_key())
        KEY.public_key().verify(base64.b64decode(signature["sig"]), signed)
        assert "in-toto" in vru("verify", file, "--no-recompute").output

    def test_evidence_without_one_is_whole_too(self, tmp_path: Path) -> None:
        manifest = manifest_of(FACTS, CONTENTS)
        (tmp_path / "old.zip").write_bytes(b"".join(build({**CONTENTS, MANIFEST: manifest}, sealed(manifest))))
        assert verify(tmp_path / "old.zip").stated is False

    @pytest.mark.parametrize(
        "spoil", ["another seal", "another key", "type", "two", "spaces", "no JSON", "list", "none"]
    )
    def test_one_that_says_anything_else_is_refused(self, tmp_path: Path, spoil: str) -> None:
        whole = json.loads(enveloped(self.SEAL, KEY))
        other = Ed25519PrivateKey.from_private_bytes(bytes(32))
        spoiled = {
            "another seal": enveloped(sealed(b"another"), KEY),
            "another key": enveloped(self.SEAL, other),
            "type": json.dumps(whole | {"payloadType": "text/plain"}).encode(),
            "two": json.dumps(whole | {"signatures": whole["signatures"] * 2}).encode(),
            "spaces": json.dumps(whole, indent=3).encode(),
            "no JSON": b"\xff",
            "list": b"[]",
            "none": json.dumps(whole | {"signatures": []}).encode(),
        }[spoil]
        with pytest.raises(StatementError, match="in-toto statement"):
            check_envelope(spoiled, self.SEAL)
        manifest = manifest_of(FACTS, CONTENTS)
        evidence = b"".join(build({**CONTENTS, MANIFEST: manifest}, self.SEAL, spoiled))
        assert "in-toto statement" in refused(tmp_path / "file.zip", evidence)
