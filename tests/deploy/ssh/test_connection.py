"""The connection, against a real sshd."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.deploy.sshd import Sshd, address, known_hosts, needs_sshd, opened, running

from vru.deploy.server.facts import gather
from vru.deploy.ssh.connection import ConnectionFailedError, RemoteError, connect
from vru.deploy.ssh.host_keys import HostKeyError

pytestmark = needs_sshd


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with running(tmp_path) as server:
        yield server


def test_an_unknown_host_key_is_refused_and_named(sshd: Sshd) -> None:
    with pytest.raises(HostKeyError) as raised:
        connect(address(sshd))
    assert sshd.fingerprint in str(raised.value)
    assert f"--accept-host-key {sshd.fingerprint}" in raised.value.fix
    assert not known_hosts().exists()


def test_an_accepted_host_key_is_remembered_and_other_lines_are_kept(sshd: Sshd) -> None:
    known_hosts().parent.mkdir()
    known_hosts().write_text("# mine\n|1|abc=|def= ssh-ed25519 AAAA")
    opened(sshd).connection.close()
    text = known_hosts().read_text()
    assert text.startswith("# mine\n|1|abc=|def= ssh-ed25519 AAAA\n")
    with connect(address(sshd)) as server:
        assert server.run(["echo", "again"]).stdout == "again\n"


def test_another_fingerprint_than_the_accepted_one_is_refused(sshd: Sshd) -> None:
    with pytest.raises(HostKeyError, match="not the accepted SHA256:other"):
        connect(address(sshd), accept_host_key="SHA256:other")


def test_the_user_is_asked_on_a_terminal(sshd: Sshd) -> None:
    questions: list[str] = []

    def answer_no(question: str) -> bool:
        questions.append(question)
        return False

    with pytest.raises(HostKeyError):
        connect(address(sshd), ask=answer_no)
    assert sshd.fingerprint in questions[0]
    with connect(address(sshd), ask=lambda _question: True):
        assert known_hosts().exists()


def test_a_changed_host_key_always_stops(sshd: Sshd) -> None:
    opened(sshd).connection.close()
    sshd.stop()
    sshd.new_host_key()
    sshd.start()
    with pytest.raises(HostKeyError, match="has changed") as raised:
        connect(address(sshd), accept_host_key=sshd.fingerprint, ask=lambda _question: True)
    assert "ssh-keygen" in raised.value.fix


def test_hashed_known_hosts_work(sshd: Sshd) -> None:
    opened(sshd).connection.close()
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known_hosts()], check=True, capture_output=True)
    assert "127.0.0.1" not in known_hosts().read_text()
    with connect(address(sshd)) as server:
        assert server.run(["true"]).exit_code == 0


def test_a_refused_key_is_one_clear_sentence(sshd: Sshd) -> None:
    (sshd.folder / "authorized_keys").write_text("")
    with pytest.raises(ConnectionFailedError, match="refused the login of user") as raised:
        opened(sshd)
    assert "ssh-copy-id" in raised.value.fix


def test_a_wrong_port_is_one_clear_sentence(sshd: Sshd) -> None:
    sshd.stop()
    with pytest.raises(ConnectionFailedError, match=f"Nothing answers at 127.0.0.1 port {sshd.port}"):
        connect(address(sshd))


def test_a_port_that_speaks_no_ssh_is_one_clear_sentence(sshd: Sshd) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def answer() -> None:
            client, _ = other.accept()
            with client:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(ConnectionFailedError, match="SSH session cannot be opened"):
            connect(address(sshd, port=other.getsockname()[1]))


def test_a_missing_key_file_is_named(sshd: Sshd) -> None:
    with pytest.raises(ConnectionFailedError, match="nowhere does not exist"):
        connect(address(sshd, key_file=sshd.folder / "nowhere"))


def test_output_streams_line_by_line_and_large_input_arrives_whole(sshd: Sshd) -> None:
    with opened(sshd) as server:
        lines: list[str] = []
        exit_code, stderr = server.stream(["sh", "-c", "echo one; echo two; echo bad >&2; exit 7"], lines.append)
        assert (exit_code, stderr, lines) == (7, "bad\n", ["one\n", "two\n"])
        data = os.urandom(3_000_000)
        assert server.run(["wc", "-c"], stdin=data).stdout.strip() == "3000000"
        assert server.traffic.bytes_sent == 3_000_000
        assert server.traffic.round_trips == 2


def test_arguments_are_quoted(sshd: Sshd) -> None:
    with opened(sshd) as server:
        odd = "a b'c\"$HOME;`id`"
        assert server.run(["printf", "%s", odd]).stdout == odd


def test_a_failing_command_says_its_last_words(sshd: Sshd) -> None:
    with opened(sshd) as server, pytest.raises(RemoteError, match="no such thing"):
        server.run(["sh", "-c", "echo 'no such thing' >&2; exit 3"])


def test_a_command_that_leaves_its_input_unread_does_not_hang(sshd: Sshd) -> None:
    with opened(sshd) as server:
        assert server.run(["false"], stdin=b"x" * 10_000_000, check=False).exit_code == 1


def test_facts_are_read_in_one_round_trip(sshd: Sshd) -> None:
    with opened(sshd) as server:
        facts = gather(server)
        assert server.traffic.round_trips == 1
    assert facts.cpus == os.cpu_count()
    assert facts.memory_bytes > 0
    assert abs(facts.clock_skew_s) < 5
    if os.geteuid() == 0:
        assert (sshd.port, "sshd") in facts.listening
    assert facts.ssh_port == sshd.port
