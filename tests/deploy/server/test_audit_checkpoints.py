"""What the laptop remembers of a server's audit."""

import pytest

from vru.deploy.server import audit_checkpoints
from vru.deploy.ssh.connection import Address
from vru.host.base.host import Host
from vru.host.lock import audit
from vru.host.wire import AuditHead

HERE = Address("server.example", 22)


@pytest.fixture
def host(tmp_path, monkeypatch) -> Host:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    host = Host(tmp_path / "server")
    for _ in range(3):
        audit.record(host, "apply", outcome="done")
    return host


def look(host: Host) -> list[str]:
    entries, head = audit.read(host)
    found = [*audit.check(entries, head), *audit_checkpoints.contradictions(HERE, entries)]
    audit_checkpoints.record(HERE, None if head is None else AuditHead(head["seq"], head["hash"]))
    return found


def test_a_chain_that_only_grows_is_whole(host):
    for _ in range(3):
        assert look(host) == []
        audit.record(host, "apply", outcome="done")


def test_a_rewritten_history_is_found_though_its_own_chain_holds(host):
    assert look(host) == []
    for path in host.state.iterdir():
        path.unlink()
    for number in range(5):
        audit.record(host, "apply", outcome="done", detail=str(number))
    assert audit.check(*audit.read(host)) == []
    assert "has another line 3" in look(host)[0]
    # Seeing the new one does not make it forget the old one; only being told so does.
    assert look(host)
    audit_checkpoints.forget(HERE)
    assert look(host) == []


def test_a_shortened_history_is_found(host):
    assert look(host) == []
    for path in host.state.iterdir():
        path.unlink()
    audit.record(host, "apply", outcome="done")
    assert "no longer has line 3" in look(host)[0]


def test_servers_are_not_mixed_up(host):
    assert look(host) == []
    assert audit_checkpoints.contradictions(Address("server.example", 2222), []) == []
    assert audit_checkpoints.contradictions(Address("server.example"), []) != []


def test_a_damaged_memory_is_none(host, tmp_path):
    look(host)
    (file,) = (tmp_path / "state" / "vru" / "audit").iterdir()
    file.write_text("{")
    assert look(host) == []
