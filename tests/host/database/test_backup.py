"""Which backups are kept: the code that deletes them."""

import shutil
import stat
from pathlib import Path

import pytest

from vru.host.base.disk import sha256_of, write_json
from vru.host.base.host import Host
from vru.host.database import backup

NAMES = [f"2026010{day}T030000Z" for day in range(1, 7)]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / ".env").write_text("VRU_BACKUP_KEEP='3'\n")
    return Host(tmp_path)


def make(host: Host, *names: str) -> None:
    for name in names:
        folder = host.backups / name
        folder.mkdir(parents=True)
        (folder / backup.DUMP).write_text(f"dump of {name}")
        about = {"sha256": {backup.DUMP: sha256_of(folder / backup.DUMP)}, "sizes": {}, "rows": {}, "release": None}
        write_json(folder / "manifest.json", about)


def damage(host: Host, *names: str) -> None:
    for name in names:
        (host.backups / name / backup.DUMP).write_text("bits have turned")


def left(host: Host) -> list[str]:
    return [one.name for one in backup.existing(host)]


def test_the_oldest_go_first_until_as_many_are_left_as_are_to_be_kept(host: Host) -> None:
    make(host, *NAMES)
    assert backup.forget(host) == (NAMES[:3], [])
    assert left(host) == NAMES[3:]
    assert backup.forget(host) == ([], [])


def test_the_command_makes_one_and_then_forgets(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(host, *NAMES[:5])

    def create(host: Host, **_: object) -> backup.Backup:  # no database here
        assert left(host) == NAMES[:5], "something was removed before the new backup was whole"
        make(host, NAMES[5])
        return backup.find(host, NAMES[5])

    monkeypatch.setattr(backup, "create", create)
    damage(host, NAMES[4])
    assert backup.run(host, media=False, as_json=False) == 0
    assert left(host) == NAMES[2:]
    said = capsys.readouterr().out
    assert f"removed {NAMES[0]}, {NAMES[1]}" in said and f"backup {NAMES[4]} is damaged" in said


@pytest.mark.parametrize(("setting", "kept"), [("1", 1), ("0", 1), ("5", 5), ("many", 6), ("", 6)])
def test_how_many_are_kept_is_a_setting_and_the_newest_always_is(host: Host, setting: str, kept: int) -> None:
    host.env_file.write_text(f"VRU_BACKUP_KEEP='{setting}'\n")
    make(host, *NAMES)
    backup.forget(host)
    assert left(host) == NAMES[-kept:]


def test_a_damaged_backup_never_takes_the_place_of_a_good_one(host: Host) -> None:
    make(host, *NAMES)
    damage(host, NAMES[3], NAMES[5])
    assert backup.forget(host) == (NAMES[:1], [NAMES[3], NAMES[5]])
    assert left(host) == NAMES[1:]


def test_nothing_goes_while_too_few_are_good_and_the_newest_stays_though_damaged(host: Host) -> None:
    make(host, *NAMES)
    damage(host, *NAMES[2:])
    assert backup.forget(host)[0] == []
    (host.backups / NAMES[0] / backup.DUMP).unlink()
    assert backup.forget(host) == ([], [NAMES[0], *NAMES[2:]])
    assert left(host) == NAMES


def test_a_damaged_one_goes_when_enough_newer_ones_are_good(host: Host) -> None:
    make(host, *NAMES)
    damage(host, NAMES[1])
    assert backup.forget(host) == (NAMES[:3], [])


def test_copies_that_restores_made_do_not_push_out_backups(host: Host) -> None:
    copies = [f"{name}-before-restore" for name in NAMES]
    make(host, *NAMES[:3], *copies)
    assert backup.forget(host)[0] == copies[:3]
    assert set(left(host)) == {*NAMES[:3], *copies[3:]}


def test_what_is_no_whole_backup_is_left_alone(host: Host) -> None:
    make(host, *NAMES)
    (host.backups / ".partial-20250101T000000Z").mkdir()
    (host.backups / "mine").mkdir()
    (host.backups / "20250101T000000Z").mkdir()  # without a manifest: somebody's copy under way
    backup.forget(host)
    there = {path.name for path in host.backups.iterdir()}
    assert there == {*NAMES[3:], ".partial-20250101T000000Z", "mine", "20250101T000000Z"}


def test_key_ledger_and_sealed_evidence_are_put_back_where_they_are_missing(host: Host, tmp_path: Path) -> None:
    made = {
        "evidence/signing-key.pem": 0o600, "evidence/ledger.jsonl": 0o600, "sealed/1.evidence.zip": 0o444,
        "sealed/.new-half": 0o600, "sealed/unsealed/2/manifest.json": 0o600,
    }  # fmt: skip
    for name, mode in made.items():
        path = host.root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
    make(host, NAMES[0])
    saved = backup.existing(host)[0]
    backup._archive(host, saved.path / backup.EVIDENCE, backup._EVIDENCE_FOLDERS)
    assert backup.restore_evidence(host, saved) == []

    ledger = host.root / "data" / "evidence" / "ledger.jsonl"
    ledger.write_text("longer since")
    (host.root / "data" / "evidence" / "signing-key.pem").unlink()
    shutil.rmtree(host.root / "data" / "sealed")
    assert backup.restore_evidence(host, saved) == ["evidence/signing-key.pem", "sealed/1.evidence.zip"]
    assert ledger.read_text() == "longer since"
    for name in ("evidence/signing-key.pem", "sealed/1.evidence.zip"):
        path = host.root / "data" / name
        assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (name, made[name])
    assert not (host.root / "data" / "sealed" / ".new-half").exists()


def test_a_backup_of_an_older_release_has_no_evidence(host: Host) -> None:
    make(host, NAMES[0])
    assert backup.restore_evidence(host, backup.existing(host)[0]) == []
