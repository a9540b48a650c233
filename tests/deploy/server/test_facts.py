"""The server's facts, as the script reads them and as they are parsed."""

import os
import subprocess
from pathlib import Path

import pytest

from vru.deploy.console import log_file
from vru.deploy.server import facts
from vru.deploy.ssh.connection import RemoteError


def read(root: Path) -> facts.Facts:
    script = facts._SCRIPT.replace("__ROOT__", str(root))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return facts.parse(done.stdout, 0.0)


def test_the_databases_name_is_that_of_its_first_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VRU_DATABASE_NAME='camera'\nVRU_DATABASE_USER=\"vru\"\nPOSTGRES_DB='x'\n")
    assert (read(tmp_path).database_name, read(tmp_path).database_user) == ("", "")  # no database was made yet
    (tmp_path / "data/postgres").mkdir(parents=True)
    (tmp_path / "data/postgres/PG_VERSION").write_text("17\n")
    assert (read(tmp_path).database_name, read(tmp_path).database_user) == ("camera", "vru")


def test_whether_the_firewall_stands(tmp_path: Path) -> None:
    assert not read(tmp_path).has_firewall
    (tmp_path / "state/firewall").mkdir(parents=True)
    (tmp_path / "state/firewall/confirmed.json").write_text("{}")
    assert read(tmp_path).has_firewall


def test_listeners_that_others_can_reach_are_told_apart() -> None:
    text = "\n".join(
        [
            *(f"{name}\t1" for name in ("os_id", "os_version", "os_name", "machine", "cpus", "memory_kib")),
            *(f"{name}\t1" for name in ("disk_free_kib", "docker_disk_free_kib", "clock", "init", "apt")),
            "python\t", "docker\t", "release\t", "ssh_port\t22",
            'listening\t80 users:(("apache2",pid=1,fd=4))', 'outside\t80 users:(("apache2",pid=1,fd=4))',
            "listening\t53 ",
        ]
    )  # fmt: skip
    found = facts.parse(text, 0.0)
    assert found.listening == ((80, "apache2"), (53, ""))
    assert found.outside == ((80, "apache2"),)


def test_facts_that_cannot_be_read_are_one_sentence_and_the_rest_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(RemoteError) as caught:
        facts.parse("os_id\tdebian\nnonsense {'a': 1}\n", 0.0)
    assert caught.value.message == "The server's facts cannot be read."
    [file] = (tmp_path / "vru" / "logs").iterdir()
    assert str(file) in caught.value.fix
    assert "os_id\tdebian" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_log_that_cannot_be_written_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert log_file.append("x") is None
    assert log_file.unreadable("The answer", "x").fix == "Run the same command again."


def test_old_logs_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = tmp_path / "vru" / "logs"
    folder.mkdir(parents=True)
    for day in range(10, 40):
        (folder / f"202001{day}-000000-1.log").touch()
    log_file.append("x")
    kept = sorted(os.listdir(folder))
    assert len(kept) == 20
    assert kept[0] == "20200121-000000-1.log"


def test_a_traceback_or_json_is_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert log_file.said("vru-platform: The disk is full.\n  Free some.\n") == "The disk is full."
    assert log_file.said("noise\nsh: nothing\n", last=True) == "sh: nothing"
    assert log_file.said(" \n") == "no output"
    for raw in ("Traceback (most recent call last):\n  File x\nKeyError: 'a'\n", '{"event": "end"}'):
        for last in (False, True):
            assert log_file.said(raw, last=last).startswith("it broke off unexpectedly; what it printed is in ")
    [file] = (tmp_path / "vru" / "logs").iterdir()
    assert "KeyError: 'a'" in file.read_text()
