"""The login behind a change: as a real sshd tells it, as the kernel keeps it, and what is not known."""

import getpass
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.deploy.sshd import Sshd, needs_sshd, running

from vru.host.base.host import Host
from vru.host.lock import audit, login
from vru.host.lock.login import Login

SHOW = f"{shlex.quote(sys.executable)} -c 'from vru.host.lock.login import login; print(login().as_variable())'"
KEY = "SHA256:" + "a" * 43


def over_ssh(sshd: Sshd, command: str) -> str:
    done = subprocess.run(
        ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
         "-o", "UserKnownHostsFile=/dev/null",
         "-o", "IdentitiesOnly=yes", "-i", sshd.key, "-p", str(sshd.port), f"{getpass.getuser()}@127.0.0.1", command],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def key_of(sshd: Sshd) -> str:
    return subprocess.check_output(["ssh-keygen", "-lf", f"{sshd.key}.pub"], text=True).split()[1]


@needs_sshd
def test_sshd_says_which_key_was_used_where_it_exposes_it(tmp_path: Path) -> None:
    with running(tmp_path / "sshd", "ExposeAuthInfo yes") as sshd:
        assert over_ssh(sshd, SHOW).split()[0] == key_of(sshd)


@needs_sshd
def test_else_the_journal_says_it_of_this_very_connection(tmp_path: Path) -> None:
    """No systemd here: a stand-in for journalctl searches the log of the real sshd, as the real one is asked to."""
    stand_in = tmp_path / "bin" / "journalctl"
    stand_in.parent.mkdir()
    with running(tmp_path / "sshd") as sshd:
        stand_in.write_text(
            "#!/bin/sh\nfor word; do case $word in --grep=*) pattern=${word#--grep=^} ;; esac; done\n"
            f'grep -P -- "$pattern" {shlex.quote(str(sshd.folder / "log"))} | tail -n 1\n'
        )
        stand_in.chmod(0o755)
        over_ssh(sshd, "true")  # another connection, with the same key, whose line is not looked at
        found = over_ssh(sshd, f"PATH={shlex.quote(str(stand_in.parent))}:$PATH {SHOW}")
        assert found.split()[0] == key_of(sshd)
        elsewhere = over_ssh(
            sshd, f"SSH_CONNECTION='127.0.0.1 1 127.0.0.1 2' PATH={shlex.quote(str(stand_in.parent))}:$PATH {SHOW}"
        )
        assert elsewhere.split()[0] == "-"


@pytest.mark.parametrize(("text", "uid"), [("1000", 1000), ("0", 0), ("4294967295", None), ("", None)])
def test_the_kernel_keeps_the_login_uid_or_says_that_there_is_none(tmp_path: Path, text: str, uid: int | None) -> None:
    (tmp_path / "loginuid").write_text(text)
    assert login.login({}, tmp_path).uid == uid
    assert login.login({}, tmp_path / "nowhere").uid is None


def test_a_unit_is_told_and_a_shell_cannot_say_it_of_itself(tmp_path: Path) -> None:
    told = Login(KEY, 1000).as_variable()
    assert login.login({"VRU_LOGIN": told, "INVOCATION_ID": "1"}, tmp_path) == Login(KEY, 1000)
    for shell in ({}, {"INVOCATION_ID": "1", "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}):
        assert login.login({"VRU_LOGIN": told, **shell}, tmp_path) == Login()
    assert Login.of_variable("nonsense x") == Login()
    assert Login.of_variable(Login().as_variable()) == Login()


def test_each_line_of_the_audit_holds_it_and_older_lines_hold_without(tmp_path: Path) -> None:
    host = Host(tmp_path)
    audit.record(host, "restart", outcome="done")
    older = {"seq": 2, "time": "2026-01-01T00:00:00Z", "actor": "a@b", "action": "backup", "release": None,
             "outcome": "done", "detail": ""}  # fmt: skip
    file = host.state / "audit.jsonl"
    first = json.loads(file.read_text())
    assert {"key", "login_uid"} <= set(first)
    older["previous"] = first["hash"]
    older["hash"] = audit.digest(older)
    file.write_text(file.read_text() + json.dumps(older) + "\n")
    (host.state / "audit-head.json").write_text(json.dumps({"seq": 2, "hash": older["hash"]}))
    program = (
        "from pathlib import Path; from vru.host.base.host import Host; from vru.host.lock import audit;"
        f"audit.record(Host(Path({str(tmp_path)!r})), 'backup', outcome='done')"
    )
    variables = {**os.environ, "VRU_LOGIN": f"{KEY} 1000", "INVOCATION_ID": "1"}
    variables.pop("SSH_CONNECTION", None)
    subprocess.run([sys.executable, "-c", program], env=variables, check=True, timeout=60)
    entries, head = audit.read(host)
    assert audit.check(entries, head) == []
    assert (entries[2]["key"], entries[2]["login_uid"]) == (KEY, 1000)
    assert audit.row(entries[2])[3] == "SHA256:aaaaaaaa uid 1000"
    assert audit.row(entries[1])[3] == "-"
    forged = [*entries[:2], {**entries[2], "login_uid": 0}]
    assert audit.check(forged, head) == ["Line 3 was altered: its hash is not that of its content."]
