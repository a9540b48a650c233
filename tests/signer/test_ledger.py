"""The signer's own record: what it signed once it does not sign again, and a key is never made anew in silence."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vru.domain import VruError
from vru.reports.ledger import check_in_ledger, read_ledger
from vru.reports.signing import fingerprint
from vru.signer.ledger import Ledger

DIGESTS = [f"{number:064x}" for number in range(20)]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "signer")


def test_the_key_is_made_once_and_for_its_owner_alone(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: fingerprint(Ledger(ledger.folder).check()), range(32)))
    assert len(set(keys)) == 1
    assert stat.S_IMODE((ledger.folder / "signing-key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(ledger.folder.stat().st_mode) == 0o700


def test_seals_of_many_at_once_form_one_chain(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda digest: Ledger(ledger.folder).seal(f"run {digest}", digest), DIGESTS))
    seals = list(read_ledger(ledger.path))
    assert [seal.position for seal in seals] == list(range(1, 21))
    assert sorted(str(seal.manifest_sha256) for seal in seals) == DIGESTS
    assert check_in_ledger(seals[7], ledger.path) == 20


def test_a_run_is_sealed_once(ledger: Ledger) -> None:
    first = ledger.seal("run", DIGESTS[1])
    assert ledger.seal("run", DIGESTS[1]) == first
    with pytest.raises(VruError, match="was sealed with another manifest, at position 1"):
        ledger.seal("run", DIGESTS[2])
    assert list(read_ledger(ledger.path)) == [first]


def test_a_lost_key_is_not_made_anew(ledger: Ledger) -> None:
    ledger.seal("run", DIGESTS[1])
    key = ledger.folder / "signing-key.pem"
    kept = key.read_bytes()
    key.unlink()
    with pytest.raises(VruError, match=r"signing-key\.pem is missing.*Restore"):
        ledger.seal("other", DIGESTS[2])
    assert not key.exists()

    other = Ledger(ledger.folder.parent / "other")
    other.check()
    (other.folder / "signing-key.pem").rename(key)
    with pytest.raises(VruError, match="but the last seal was signed by"):
        ledger.check()
    key.write_bytes(kept)
    ledger.seal("other", DIGESTS[2])


def test_a_ledger_that_is_older_than_what_was_given_out(ledger: Ledger) -> None:
    ledger.seal("run", DIGESTS[1])
    assert ledger.seal("other", DIGESTS[2], known=1).position == 2
    with pytest.raises(VruError, match="ends at seal 2; seal 3 was given out"):
        ledger.seal("third", DIGESTS[3], known=3)
    # All of the folder is gone.
    with pytest.raises(VruError, match="ends at seal 0; seal 2 was given out"):
        Ledger(ledger.folder.parent / "new").check(known=2)


def test_a_broken_ledger_signs_nothing(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        ledger.seal(f"run {number}", DIGESTS[number])
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(lines[0] + lines[2])
    with pytest.raises(VruError, match="seal 3 does not follow seal 1"):
        ledger.seal("run 4", DIGESTS[4])


def test_a_new_key_says_from_where_on_it_signs(ledger: Ledger) -> None:
    first = ledger.seal("run", DIGESTS[1])
    change = ledger.replace_key()
    second = ledger.seal("other", DIGESTS[2])
    assert first.public_key != change.public_key == second.public_key
    assert (change.run, change.position, change.previous) == (None, 2, first.digest())
    assert check_in_ledger(first, ledger.path) == check_in_ledger(second, ledger.path) == 3
    assert len(list(ledger.folder.glob("signing-key.until-*.pem"))) == 1


def test_a_new_key_where_the_whole_folder_is_lost(ledger: Ledger) -> None:
    change = ledger.replace_key(known=7)
    assert (change.position, change.previous) == (8, None)
    assert ledger.seal("run", DIGESTS[1], known=7).position == 9


@pytest.mark.parametrize(("mode", "content", "message"), [
    (0o644, None, "can be read by others"), (0o600, b"nothing", "is no private key"),
])  # fmt: skip
def test_a_key_that_others_can_read_or_that_is_none(
    ledger: Ledger, mode: int, content: bytes | None, message: str
) -> None:
    ledger.check()
    key = ledger.folder / "signing-key.pem"
    if content:
        key.write_bytes(content)
    key.chmod(mode)
    with pytest.raises(VruError, match=message):
        ledger.check()
