"""The audit's chain: whatever is done to it, the first wrong line is named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vru.host.base.host import Host
from vru.host.lock import audit


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    for number in range(1, 6):
        audit.record(host, "apply", outcome="done", release="a" * 12, detail=f"{number} changes")
    return host


def lines(host: Host) -> list[str]:
    return (host.state / "audit.jsonl").read_text().splitlines()


def write(host: Host, changed: list[str]) -> None:
    (host.state / "audit.jsonl").write_text("".join(f"{line}\n" for line in changed))


def problems(host: Host) -> list[str]:
    return audit.check(*audit.read(host))


def altered(line: str, **fields: object) -> str:
    entry = {**json.loads(line), **fields}
    return json.dumps({**entry, "hash": audit.digest(entry)})


def test_a_whole_chain_holds(host):
    assert problems(host) == []
    entries, head = audit.read(host)
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0]["previous"] == audit.ZERO
    assert head == {"seq": 5, "hash": entries[-1]["hash"]}
    assert (host.state / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_nothing_recorded_is_whole_too(tmp_path):
    assert audit.check(*audit.read(Host(tmp_path))) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda kept: [*kept[:2], kept[2].replace("3 changes", "9 changes"), *kept[3:]], "Line 3 was altered"),
        (lambda kept: [*kept[:2], altered(kept[2], detail="9"), *kept[3:]], "Line 4 does not follow"),
        (lambda kept: [*kept[:2], *kept[3:]], "Line 3 has the number 4"),
        (lambda kept: [*kept[:2], kept[1], *kept[2:]], "Line 3 has the number 2"),
        (lambda kept: [kept[1], kept[0], *kept[2:]], "Line 1 has the number 2"),
        (lambda kept: kept[:3], "The last 2 lines were cut off"),
        (lambda kept: [], "The last 5 lines were cut off"),
        (lambda kept: [*kept[:4], altered(kept[4], detail="9")], "Line 5 is not the one that was written"),
        (lambda kept: [*kept[:2], "nonsense", *kept[3:]], "Line 3 cannot be read"),
        (lambda kept: [*kept[:2], altered(kept[2], extra=1), *kept[3:]], "Line 3 was altered"),
    ],
)
def test_the_first_wrong_line_is_named(host, damage, said):
    write(host, damage(lines(host)))
    assert problems(host)[0].startswith(said)
    # Going on does not heal it.
    audit.record(host, "apply", outcome="done")
    assert problems(host)


def test_lines_added_behind_its_back_are_found(host):
    head = (host.state / "audit-head.json").read_bytes()
    for _ in range(2):
        audit.record(host, "apply", outcome="done")
    (host.state / "audit-head.json").write_bytes(head)
    assert problems(host) == ["Line 7 was added by something else than this program."]
    audit.record(host, "apply", outcome="done")
    assert problems(host) == ["Line 8 has the number 6: lines were taken out or put in before it."]


def test_a_lost_head_is_said_and_then_recorded(host):
    (host.state / "audit-head.json").unlink()
    assert "is gone" in problems(host)[0]
    audit.record(host, "apply", outcome="done")
    assert problems(host) == []
    assert "newest line was gone" in lines(host)[5]


def test_a_line_cut_by_a_crash_becomes_one_that_says_so(host):
    whole = lines(host)
    cut = '{"action":"restart","actor":"me'
    (host.state / "audit.jsonl").write_text("".join(f"{line}\n" for line in whole) + cut)
    assert problems(host) == []
    audit.record(host, "restart", outcome="done")
    assert problems(host) == []
    entries, _ = audit.read(host)
    assert [entry["outcome"] for entry in entries[5:]] == ["repaired", "done"]
    assert cut in entries[5]["detail"]


def test_a_crash_between_the_line_and_its_head_is_no_damage(host):
    head = (host.state / "audit-head.json").read_bytes()
    audit.record(host, "restart", outcome="done")
    (host.state / "audit-head.json").write_bytes(head)
    assert problems(host) == []
    audit.record(host, "restart", outcome="done")
    assert problems(host) == []


def test_many_at_once_make_one_chain(host):
    program = (
        "import sys; from pathlib import Path; from vru.host.lock import audit; from vru.host.base.host import Host\n"
        "for number in range(20): audit.record(Host(Path(sys.argv[1])), 'exec', outcome='done', detail=sys.argv[2])"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(host.root), str(number)]) for number in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert problems(host) == []
    assert len(lines(host)) == 85


def test_the_actor_is_the_laptops_user_else_the_one_behind_sudo(monkeypatch):
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    monkeypatch.setenv("SUDO_USER", "debian")
    assert audit.actor() == f"debian@{os.uname().nodename}"
    monkeypatch.setenv("VRU_ACTOR", "ada@laptop\n")
    assert audit.actor() == "ada@laptop"
    monkeypatch.delenv("VRU_ACTOR")
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setenv("INVOCATION_ID", "0")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert audit.actor() == f"systemd@{os.uname().nodename}"


def test_the_verb_shows_and_checks(host, capsys):
    assert audit.show(host, as_json=False, tail=2, check_only=False) == 0
    out = capsys.readouterr().out
    assert "5 changes" in out
    assert "3 changes" not in out
    assert "5 lines, the chain is whole" in out
    write(host, lines(host)[:2])
    assert audit.show(host, as_json=True, tail=None, check_only=True) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert "cut off" in answer["problems"][0]
