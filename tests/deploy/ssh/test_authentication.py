"""Keys, agents, jump hosts and ~/.ssh/config, against real sshds and a real ssh-agent."""

import getpass
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.deploy.relay import Relay
from tests.deploy.sshd import Sshd, address, known_hosts, needs_sshd, new_key, opened, running

from vru.deploy.ssh import config
from vru.deploy.ssh.config import SshConfigError, parse_jump, resolve
from vru.deploy.ssh.connection import Address, ConnectionFailedError, Server, connect
from vru.deploy.ssh.credentials import Credentials
from vru.deploy.ssh.host_keys import HostKeyError

pytestmark = needs_sshd


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    started: list[Iterator[Sshd]] = []

    def one(name: str, *options: str) -> Sshd:
        context = running(tmp_path / name, *options)
        started.append(context)  # type: ignore[arg-type]
        return context.__enter__()

    yield one
    for context in started:
        context.__exit__(None, None, None)  # type: ignore[attr-defined]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    while not socket.exists():
        time.sleep(0.02)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))

    def add(key: Path) -> None:
        subprocess.run(["ssh-add", "-q", key], check=True, capture_output=True)

    yield add
    process.terminate()
    process.wait()


def configure(text: str) -> None:
    (Path.home() / ".ssh" / "config").write_text(text)


def trust(*servers: Sshd) -> None:
    known_hosts().write_text("".join(server.known() for server in servers))


def logins(sshd: Sshd) -> int:
    return sshd.log.count("Accepted publickey")


def connections(sshd: Sshd) -> int:
    """How many there were, without the one that found out that it listens."""
    return sshd.log.count("Connection from ") - 1


# -- keys -----------------------------------------------------------------------------------------------------------


def test_a_login_finds_its_key_among_twelve_in_the_agent_although_the_server_hears_two(
    start: Callable[..., Sshd], agent: Callable[[Path], None], tmp_path: Path
) -> None:
    sshd = start("server", "MaxAuthTries 2")
    for number in range(11):
        agent(new_key(tmp_path / f"other{number}"))
    agent(sshd.key)
    trust(sshd)
    with connect(address(sshd, key_file=None)) as server:
        assert server.run(["echo", "in"]).stdout == "in\n"
    assert connections(sshd) == 6


def test_the_configured_key_is_offered_first_also_when_the_agent_has_it(
    start: Callable[..., Sshd], agent: Callable[[Path], None], tmp_path: Path
) -> None:
    sshd = start("server", "MaxAuthTries 1")
    for number in range(11):
        agent(new_key(tmp_path / f"other{number}"))
    agent(sshd.key)
    trust(sshd)
    configure(f"Host there\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.key}.pub\n")
    with connect(Address("there", user=getpass.getuser())) as server:
        assert server.run(["true"]).exit_code == 0
    with connect(address(sshd)) as server:
        assert server.run(["true"]).exit_code == 0
    assert connections(sshd) == 2


def test_identities_only_leaves_the_agents_other_keys_alone(
    start: Callable[..., Sshd], agent: Callable[[Path], None], tmp_path: Path
) -> None:
    sshd = start("server")
    agent(sshd.key)
    trust(sshd)
    configure(f"Host *\n  IdentitiesOnly yes\n  IdentityFile {new_key(tmp_path / 'mine')}\n")
    with pytest.raises(ConnectionFailedError, match=r"no key was accepted \(.*mine\)"):
        connect(address(sshd, key_file=None))


def test_an_encrypted_key_is_asked_for_once_and_only_when_it_is_needed(
    start: Callable[..., Sshd], agent: Callable[[Path], None], tmp_path: Path
) -> None:
    sshd = start("server")
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", locked], check=True)
    trust(sshd)
    configure(f"Host *\n  IdentityFile {locked}\n")
    asked: list[str] = []
    answers = ["wrong", "open sesame"]

    def ask(question: str) -> str:
        asked.append(question)
        return answers[len(asked) - 1]

    credentials = Credentials(ask)
    agent(sshd.key)
    connect(address(sshd, key_file=None), credentials=credentials).close()
    assert not asked, "the agent's key was enough"
    sshd.authorize(locked)
    for _ in range(2):
        with connect(address(sshd, key_file=None), credentials=credentials) as server:
            assert server.run(["true"]).exit_code == 0
    assert asked == [f"Passphrase of the SSH key {locked}"] * 2, "once wrong, once right, then remembered"


@pytest.mark.parametrize("options", [(), ("-m", "PEM", "-t", "rsa"), ("-t", "ecdsa")])
def test_an_encrypted_key_and_nobody_to_ask_is_one_clear_sentence(
    start: Callable[..., Sshd], tmp_path: Path, options: tuple[str, ...]
) -> None:
    sshd = start("server")
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", *(options or ("-t", "ed25519")), "-N", "open sesame", "-f", locked], check=True)
    sshd.authorize(locked)
    trust(sshd)
    with pytest.raises(ConnectionFailedError, match="needs its passphrase") as raised:
        connect(address(sshd, key_file=locked))
    assert raised.value.fix == f"Give the key to the agent first: ssh-add {locked}"
    with connect(address(sshd, key_file=locked), credentials=Credentials(lambda _: "open sesame")) as server:
        assert server.run(["true"]).exit_code == 0


def test_a_damaged_key_that_was_named_is_an_error_and_another_is_passed_over(
    start: Callable[..., Sshd], tmp_path: Path
) -> None:
    sshd = start("server")
    trust(sshd)
    damaged = tmp_path / "damaged"
    damaged.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(ConnectionFailedError, match="damaged cannot be read"):
        connect(address(sshd, key_file=damaged))
    configure(f"Host *\n  IdentityFile {damaged}\n  IdentityFile {sshd.key}\n")
    connect(address(sshd, key_file=None)).close()
    assert logins(sshd) == 1


def test_a_certificate_beside_the_key_is_used(start: Callable[..., Sshd], tmp_path: Path) -> None:
    authority = new_key(tmp_path / "authority")
    sshd = start("server", f"TrustedUserCAKeys {authority}.pub")
    (sshd.folder / "authorized_keys").write_text("")
    subprocess.run(
        ["ssh-keygen", "-q", "-s", authority, "-I", "me", "-n", getpass.getuser(), f"{sshd.key}.pub"], check=True
    )
    trust(sshd)
    with connect(address(sshd)) as server:
        assert server.run(["true"]).exit_code == 0


# -- ways -----------------------------------------------------------------------------------------------------------


def test_jump_hosts_are_passed_in_their_order_and_each_ones_host_key_is_checked(start: Callable[..., Sshd]) -> None:
    # Neither the first nor the second jump host lets anybody on but to the next one.
    inner = start("inner")
    second = start("second", f"PermitOpen 127.0.0.1:{inner.port}")
    first = start("first", f"PermitOpen 127.0.0.1:{second.port}")
    me = getpass.getuser()
    configure(
        f"Host inner\n  HostName 127.0.0.1\n  Port {inner.port}\n  IdentityFile {inner.key}\n"
        f"  ProxyJump first,{me}@second:{second.port}\n"
        f"Host second\n  HostName 127.0.0.1\n  IdentityFile {second.key}\n"
        f"Host first\n  HostName 127.0.0.1\n  Port {first.port}\n  IdentityFile {first.key}\n"
    )
    trust(inner, first)
    with pytest.raises(HostKeyError, match=rf"127.0.0.1\]:{second.port} is unknown") as raised:
        connect(Address("inner"))
    assert second.fingerprint in raised.value.fix
    connect(Address("inner"), accept_host_key=second.fingerprint).close()
    with connect(Address("inner")) as server:
        shown = server.run(["sh", "-c", "echo ${VRU_SSH_CONNECTION:-$SSH_CONNECTION}"]).stdout
        assert shown.split()[3] == str(inner.port)
    assert (logins(first), logins(second), logins(inner)) == (3, 2, 2)
    # The host key of a hop that has changed stops the whole.
    first.stop()
    first.new_host_key()
    first.start()
    with pytest.raises(HostKeyError, match="has changed"):
        connect(Address("inner"), accept_host_key=first.fingerprint)
    assert logins(inner) == 2


def test_a_jump_host_that_does_not_reach_the_server_is_one_clear_sentence(start: Callable[..., Sshd]) -> None:
    jump = start("jump")
    trust(jump)
    configure(
        f"Host jump\n  HostName 127.0.0.1\n  Port {jump.port}\n  IdentityFile {jump.key}\n"
        "Host inner\n  HostName 127.0.0.1\n  Port 1\n  ProxyJump jump\n"
    )
    with pytest.raises(ConnectionFailedError, match=r"The jump host cannot connect to 127\.0\.0\.1 port 1") as raised:
        connect(Address("inner"))
    assert "AllowTcpForwarding" in raised.value.fix


def test_a_proxy_command_is_run_by_a_shell(start: Callable[..., Sshd], tmp_path: Path) -> None:
    sshd = start("server")
    trust(sshd)
    relay = tmp_path / "relay.py"
    relay.write_text(
        "import socket, sys, threading, os\n"
        "link = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def up():\n"
        "    while data := os.read(0, 65536): link.sendall(data)\n"
        "    link.shutdown(1)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while data := link.recv(65536): os.write(1, data)\n"
    )
    configure(
        f"Host there\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.key}\n"
        f"  ProxyCommand $(command -v python3) '{relay}' %h %p; true %n\n"
    )
    with connect(Address("there")) as server:
        data = os.urandom(2_000_000)
        assert server.run(["wc", "-c"], stdin=data).stdout.strip() == "2000000"
    end = time.monotonic() + 60
    while subprocess.run(["pgrep", "-f", str(relay)], stdout=subprocess.DEVNULL, check=False).returncode == 0:
        assert time.monotonic() < end, "the program lives on"
        time.sleep(0.1)
    configure("Host there\n  ProxyCommand false\n")
    with pytest.raises(ConnectionFailedError, match="SSH session cannot be opened"):
        connect(Address("there"))


def test_includes_matches_and_known_hosts_files_of_ones_own(start: Callable[..., Sshd], tmp_path: Path) -> None:
    sshd = start("server")
    mine, more = tmp_path / "my_hosts", tmp_path / "more.conf"
    mine.write_text(sshd.known("fleet"))
    more.write_text(
        f"Match originalhost there\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.folder}/%%lient\n"
        f"  HostKeyAlias fleet\n  UserKnownHostsFile {mine}\n".replace("%%l", "cl")
    )
    configure(f"Include {more}\n")
    with connect(Address("there")) as server:
        assert server.run(["echo", "included"]).stdout == "included\n"
    assert not known_hosts().exists()


def test_a_wrong_configuration_is_named(home: Path) -> None:
    configure("Host there\n  NoSuchOption yes\n")
    with pytest.raises(ConnectionFailedError, match="Bad configuration option") as raised:
        connect(Address("there"))
    assert str(home / ".ssh" / "config") in raised.value.fix


def test_without_an_ssh_program_the_configuration_is_read_all_the_same(
    start: Callable[..., Sshd], monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd = start("server")
    trust(sshd)
    configure(f"Host there\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.key}\n")
    monkeypatch.setattr(config.shutil, "which", lambda _name: None)
    with connect(Address("there")) as server:
        assert server.run(["true"]).exit_code == 0
    configure("Include other\n")
    with pytest.raises(ConnectionFailedError, match="includes other files"):
        connect(Address("there"))


def test_jump_hosts_in_a_circle_are_named() -> None:
    configure("Host *\n  ProxyJump gate\n")
    with pytest.raises(SshConfigError, match="loop via gate"):
        resolve("server.example")
    configure("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(SshConfigError, match="circle"):
        resolve("a")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gate", (None, "gate", None)),
        ("me@gate:2222", ("me", "gate", 2222)),
        ("ssh://me@gate:22", ("me", "gate", 22)),
        ("me@[2001:db8::1]:22", ("me", "2001:db8::1", 22)),
        ("2001:db8::1", (None, "2001:db8::1", None)),
    ],
)
def test_jump_hosts_are_written_as_for_ssh(text: str, expected: tuple[str | None, str, int | None]) -> None:
    assert parse_jump(text) == expected


# -- known hosts ----------------------------------------------------------------------------------------------------


def test_other_programs_lines_of_known_hosts_do_no_harm_and_patterns_count(start: Callable[..., Sshd]) -> None:
    sshd = start("server")
    odd = (
        "@cert-authority *.example.org ssh-ed25519 AAAA authority\n"
        "@revoked * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJyb2tlbg==\n"
        "@cert-authority x\nno-key-here\n|1|short ssh-rsa AAAA\nname sk-ssh-ed25519@openssh.com AAAA\n"
        "name ssh-rsa ???\n"
        f"!elsewhere,127.0.0.2,[127.0.0.?]:{sshd.port} {(sshd.folder / 'host.pub').read_text()}"
    )
    known_hosts().write_text(odd)
    with connect(address(sshd)) as server:
        assert server.run(["true"]).exit_code == 0
    assert known_hosts().read_text() == odd


def test_a_revoked_key_is_refused_even_if_it_is_accepted(start: Callable[..., Sshd]) -> None:
    sshd = start("server")
    known_hosts().write_text(sshd.known() + f"@revoked * {(sshd.folder / 'host.pub').read_text()}")
    with pytest.raises(HostKeyError, match="was revoked"):
        connect(address(sshd), accept_host_key=sshd.fingerprint)


def test_a_name_is_remembered_hashed_where_the_configuration_says_so(start: Callable[..., Sshd]) -> None:
    sshd = start("server")
    configure("Host *\n  HashKnownHosts yes\n")
    opened(sshd).close()
    assert known_hosts().read_text().startswith("|1|")
    with connect(address(sshd)) as server:
        assert server.run(["true"]).exit_code == 0


def test_the_key_type_that_is_known_is_asked_for(start: Callable[..., Sshd], tmp_path: Path) -> None:
    """A server with several host keys, of which we know the one that would not be chosen first."""
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", tmp_path / "rsa"], check=True)
    sshd = start("server", f"HostKey {tmp_path}/rsa")
    known_hosts().write_text(f"[127.0.0.1]:{sshd.port} {(tmp_path / 'rsa.pub').read_text()}")
    with connect(address(sshd)) as server:
        assert server.run(["true"]).exit_code == 0


# -- many commands at once ------------------------------------------------------------------------------------------


def in_parallel(server: Server, count: int) -> list[str]:
    def one(number: int) -> str:
        return server.run(["sh", "-c", "sleep 0.1; cat"], stdin=f"{number}".encode()).stdout

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.parametrize("limit", [1, 2, 10])
def test_parallel_commands_share_one_connection_and_respect_max_sessions(
    start: Callable[..., Sshd], limit: int
) -> None:
    sshd = start("server", f"MaxSessions {limit}")
    with opened(sshd) as server:
        for _ in range(2):
            assert in_parallel(server, 8) == [str(number) for number in range(8)]
        assert server.run(["echo", "after"]).stdout == "after\n"
    assert (connections(sshd), logins(sshd)) == (1, 1)


def test_a_server_that_opens_no_session_is_one_clear_sentence(start: Callable[..., Sshd]) -> None:
    sshd = start("server", "MaxSessions 0")
    with opened(sshd) as server, pytest.raises(ConnectionFailedError, match="opens no session") as raised:
        server.run(["true"])
    assert "MaxSessions" in raised.value.fix


def test_a_cut_connection_ends_all_commands_with_one_clear_sentence(start: Callable[..., Sshd]) -> None:
    sshd = start("server")
    server = opened(sshd)
    failed: list[BaseException] = []

    def wait() -> None:
        try:
            server.run(["sleep", "60"])
        except ConnectionFailedError as error:
            failed.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    server.connection.transport.sock.shutdown(2)
    for thread in threads:
        thread.join(timeout=120)
    assert len(failed) == 3
    with pytest.raises(ConnectionFailedError, match=r"gone|broke"):
        server.run(["true"])


def test_a_killed_command_is_not_called_a_broken_connection(start: Callable[..., Sshd]) -> None:
    sshd = start("server")
    with opened(sshd) as server:
        with pytest.raises(ConnectionFailedError, match="was killed"):
            server.run(["sh", "-c", "kill -9 $$"])
        assert server.run(["true"]).exit_code == 0


def test_a_command_takes_one_round_trip(start: Callable[..., Sshd]) -> None:
    """Through a relay that delays each way by 0.3 s. The least counts: a busy machine adds its own."""
    sshd = start("server")
    with Relay(sshd.port, 0.3) as relay:
        server = connect(address(sshd, port=relay.port), accept_host_key=sshd.fingerprint)
        took = []
        with server:
            for _ in range(6):
                began = time.monotonic()
                assert server.run(["echo", "here"]).stdout == "here\n"
                took.append(time.monotonic() - began)
    assert min(took[1:]) < 1.05, took
