"""Operators who are not root or sit behind a jump host, and what they do besides: look inside, close, call hooks."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.e2e.laptop import VRU, Laptop, on_server

PASSWORD = "correct-Horse.7"


@contextmanager
def settings(laptop: Laptop, **changes: str) -> Iterator[None]:
    """The laptop's .env.production with other values, for a while."""
    file = laptop.root / ".env.production"
    before = file.read_text()
    text = before
    for name, value in changes.items():
        text, count = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
        assert count == 1, name
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(before)


@pytest.fixture(scope="module")
def operators(deployed: Laptop) -> Iterator[Laptop]:
    """Two users on the server: olga's sudo wants her password, frida's wants none."""
    script = f"""
    set -e
    for user in olga frida; do
      useradd --create-home --shell /bin/bash $user
      install -d -m 700 -o $user -g $user /home/$user/.ssh
      install -m 600 -o $user -g $user /root/.ssh/authorized_keys /home/$user/.ssh/authorized_keys
    done
    echo 'olga:{PASSWORD}' | chpasswd
    echo 'olga ALL=(ALL) ALL' > /etc/sudoers.d/95-olga
    echo 'frida ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/95-frida
    chmod 440 /etc/sudoers.d/95-*
    """
    on_server(deployed, script)
    yield deployed
    on_server(deployed, "rm -f /etc/sudoers.d/95-*; userdel -rf olga; userdel -rf frida", check=False)


def plan(laptop: Laptop, *arguments: str) -> Any:
    return laptop.vru_json("plan", *arguments)


# -- who may deploy -------------------------------------------------------------------------------------------------


def test_users_with_sudo_see_the_server_as_root_does(operators: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = plan(operators)
    assert expected["changes"] == [], expected
    with settings(operators, VRU_SSH_USER="frida"):
        assert plan(operators)["id"] == expected["id"]
    monkeypatch.setenv("VRU_SUDO_PASSWORD", PASSWORD)
    with settings(operators, VRU_SSH_USER="olga"):
        assert plan(operators)["id"] == expected["id"]
        assert "Nothing to change" in operators.vru("deploy").stdout


def test_a_change_goes_through_sudo_with_a_password(
    operators: Laptop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Content is sent on the standard input that begins with the password."""
    password_file = tmp_path / "password"
    password_file.write_text(f"{PASSWORD}\n")
    before = on_server(operators, "cat /etc/logrotate.d/vru-platform")
    try:
        with settings(operators, VRU_SSH_USER="olga", VRU_LOG_RETENTION_DAYS="21"):
            done = operators.vru("deploy", "--sudo-password-file", str(password_file))
        assert "1 change" in done.stdout or "changes, release" in done.stdout
        assert "rotate 21" in on_server(operators, "cat /etc/logrotate.d/vru-platform")
        last = operators.vru_json("audit", "--tail", "1")["entries"][-1]
        assert (last["action"], last["outcome"]) == ("apply", "done")
        assert PASSWORD not in on_server(operators, "grep -rF --text -- rotate /opt/vru-platform/state | tail -c 20000")
    finally:
        with settings(operators, VRU_SSH_USER="frida"):
            operators.vru("deploy")
    assert on_server(operators, "cat /etc/logrotate.d/vru-platform") == before


def test_sudo_that_wants_a_terminal_and_lectures_is_no_obstacle(
    operators: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VRU_SUDO_PASSWORD", PASSWORD)
    on_server(operators, "printf 'Defaults requiretty\\nDefaults lecture=always\\n' > /etc/sudoers.d/95-odd")
    try:
        for user in ("olga", "frida"):
            with settings(operators, VRU_SSH_USER=user):
                assert plan(operators)["changes"] == []
    finally:
        on_server(operators, "rm /etc/sudoers.d/95-odd")


def test_without_the_password_it_says_how_to_give_it(operators: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    with settings(operators, VRU_SSH_USER="olga"):
        done = operators.vru("status", check=False)
        assert done.returncode == 3
        assert "sudo wants the password of user olga" in done.stderr
        assert "VRU_SUDO_PASSWORD" in done.stderr
        monkeypatch.setenv("VRU_SUDO_PASSWORD", "wrong")
        done = operators.vru("status", check=False)
        assert done.returncode == 3
        assert "does not accept the password in VRU_SUDO_PASSWORD" in done.stderr


def test_on_a_terminal_the_password_is_asked_once_and_not_shown(operators: Laptop) -> None:
    with settings(operators, VRU_SSH_USER="olga"), Terminal(operators, "plan") as terminal:
        terminal.read_until("sudo password of olga")
        terminal.type("wrong\n")
        terminal.read_until("That was not it. sudo password of olga")
        terminal.type(f"{PASSWORD}\n")
        assert terminal.wait() == 0
        assert terminal.seen.count("sudo password of") == 2
        assert PASSWORD not in terminal.seen


def test_an_alias_behind_a_jump_host_is_the_same_server(operators: Laptop) -> None:
    """The server is its own jump host: from there, its sshd is at 127.0.0.1."""
    expected = plan(operators)
    server, ssh = operators.server, operators.home / ".ssh"
    known = ssh / "known_hosts"
    before = known.read_bytes()
    (ssh / "config").write_text(
        f"Host gate\n  HostName {server.ssh_address}\n  Port {server.ssh_port}\n  User frida\n"
        "Host platform\n  HostName 127.0.0.1\n  User root\n  ProxyJump gate\n  HostKeyAlias the-platform\n"
    )
    try:
        with settings(operators, VRU_SSH_USER="", VRU_SSH_PORT=""):
            refused = operators.vru("status", "--host", "platform", check=False)
            assert refused.returncode == 3
            assert "the-platform is unknown" in refused.stderr
            trusted = ("--host", "platform", "--accept-host-key", server.host_key_fingerprint())
            assert plan(operators, *trusted)["id"] == expected["id"]
            assert operators.vru_json("status", "--host", "platform")["release"]
    finally:
        (ssh / "config").unlink()
        known.write_bytes(before)


# -- looking inside -------------------------------------------------------------------------------------------------


@contextmanager
def tunnel(laptop: Laptop, *arguments: str) -> Iterator[dict[str, Any]]:
    process = subprocess.Popen(
        [VRU, "tunnel", *arguments, "--json"],
        cwd=laptop.root,
        env={**os.environ, "HOME": str(laptop.home)},
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        # A suite that runs in the background is started with Ctrl-C ignored, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "end":
                yield event
                break
        else:
            raise AssertionError("the tunnel ended")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()


def wait_for(url: str, seconds: float = 60) -> int:
    end = time.monotonic() + seconds
    while True:
        try:
            return httpx2.get(url, timeout=10).status_code
        except httpx2.HTTPError:
            assert time.monotonic() < end, url
            time.sleep(1)


def test_a_tunnel_survives_the_containers_replacement(deployed: Laptop) -> None:
    with tunnel(deployed, "grafana") as opened:
        assert "user admin" in opened["login"]
        assert deployed.environment["VRU_GRAFANA_PASSWORD"] not in json.dumps(opened)
        answer = httpx2.get(f"{opened['url']}/api/health", timeout=30)
        assert (answer.status_code, answer.json()["database"]) == (200, "ok")
        with httpx2.Client(timeout=30) as client:
            assert [client.get(f"{opened['url']}/api/health").status_code for _ in range(3)] == [200] * 3
        compose = "cd /opt/vru-platform && docker compose -f docker-compose.production.yml"
        on_server(deployed, f"{compose} up -d --force-recreate --wait grafana")
        assert wait_for(f"{opened['url']}/api/health") == 200
        # Its port is taken now: a second tunnel takes another one, unless it was told which.
        with tunnel(deployed, "grafana") as second:
            assert second["port"] != opened["port"]
            assert httpx2.get(f"{second['url']}/api/health", timeout=30).status_code == 200
        refused = deployed.vru("tunnel", "grafana", "--port", str(opened["port"]), check=False)
        assert refused.returncode == 1
        assert f"Port {opened['port']} of this laptop cannot be used" in refused.stderr
    assert not on_server(deployed, "ss -Hltn 'sport = :3002 or sport = :9090'").strip(), "nothing was opened there"


def test_a_tunnel_leads_to_stores_as_well(deployed: Laptop) -> None:
    with tunnel(deployed, "redis") as opened:
        import socket

        with socket.create_connection(("127.0.0.1", opened["port"]), timeout=30) as link:
            link.sendall(b"PING\r\n")
            assert link.recv(100).startswith(b"-NOAUTH")


def test_what_cannot_be_opened_is_said(deployed: Laptop) -> None:
    unknown = deployed.vru("tunnel", "grafanna", check=False)
    assert unknown.returncode == 1
    assert "no service 'grafanna'" in unknown.stderr
    assert "alertmanager" in unknown.stderr
    rule = "/etc/ssh/sshd_config.d/95-no-forwarding.conf"
    # Not `reload`, which returns before sshd has read anything; open connections outlive either.
    on_server(deployed, f"echo 'AllowTcpForwarding no' > {rule} && systemctl restart ssh")
    try:
        refused = deployed.vru("tunnel", "grafana", check=False)
    finally:
        on_server(deployed, f"rm {rule} && systemctl restart ssh")
    assert refused.returncode == 1
    assert "forbids forwarding" in refused.stderr
    assert "AllowTcpForwarding" in refused.stderr


def run_inside(laptop: Laptop, *arguments: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [VRU, "exec", *arguments],
        cwd=laptop.root,
        env={**os.environ, "HOME": str(laptop.home)},
        input=given,
        capture_output=True,
        check=False,
    )


def test_exec_passes_streams_and_the_exit_code_on(deployed: Laptop) -> None:
    data = os.urandom(300_000)
    done = run_inside(deployed, "postgres", "--", "sh", "-c", "cat; echo 's3cret $1' >&2; exit 7", given=data)
    assert (done.returncode, done.stdout == data, done.stderr) == (7, True, b"s3cret $1\n")
    last = deployed.vru_json("audit", "--tail", "1")["entries"][-1]
    assert (last["action"], last["detail"]) == ("exec", "sh in vru-platform-postgres-1")
    assert "s3cret" not in on_server(deployed, "cat /opt/vru-platform/state/audit.jsonl")
    unknown = run_inside(deployed, "nothing", "--", "true")
    assert unknown.returncode == 1
    assert b"There are: alertmanager" in unknown.stderr


def test_exec_on_a_terminal_is_one(deployed: Laptop) -> None:
    with Terminal(deployed, "exec", "postgres", "--", "bash", rows=31, columns=97) as terminal:
        terminal.read_until("$ ")
        terminal.type("stty size\n")
        terminal.read_until("31 97")
        terminal.read_until("$ ")
        terminal.resize(40, 120)
        # It is told when it is told; a shell that hears of it in the middle of a line may print the prompt once more.
        terminal.type("until stty size | grep -x '40 120'; do sleep 0.1; done\n")
        terminal.read_until("40 120\r\n")
        # Not as it is typed and echoed: it runs.
        terminal.type("printf 'be%s\\n' gun; sleep 1000\n")
        terminal.read_until("begun")
        terminal.type("\x03")
        terminal.read_until("^C")
        terminal.type("exit 9\n")
        assert terminal.wait() == 9
        assert terminal.is_restored()
    with Terminal(deployed, "exec", "postgres", "--", "bash") as terminal:
        terminal.read_until("$ ")
        terminal.process.terminate()
        assert terminal.wait() == 128 + signal.SIGTERM
        assert terminal.is_restored()


class Terminal:
    """`vru` on a terminal of its own."""

    def __init__(self, laptop: Laptop, *arguments: str, rows: int = 24, columns: int = 80) -> None:
        self.ours, self.theirs = pty.openpty()
        self.resize(rows, columns, tell=False)
        self.before = termios.tcgetattr(self.theirs)
        self.seen = ""
        self.process = subprocess.Popen(
            [VRU, *arguments],
            cwd=laptop.root,
            env={**os.environ, "HOME": str(laptop.home), "TERM": "xterm"},
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._from = 0

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)

    def resize(self, rows: int, columns: int, *, tell: bool = True) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def _read(self, seconds: float) -> None:
        ready, _, _ = select.select([self.ours], [], [], seconds)
        if ready:
            self.seen += os.read(self.ours, 65536).decode(errors="replace")

    def read_until(self, text: str, seconds: float = 90) -> None:
        """Read on until a text comes that was not waited for before."""
        end = time.monotonic() + seconds
        while (found := self.seen.find(text, self._from)) < 0:
            assert time.monotonic() < end, f"no {text!r} in {self.seen[-3000:]!r}"
            self._read(0.5)
        self._from = found + len(text)

    def wait(self, seconds: float = 90) -> int:
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, self.seen[-3000:]
            self._read(0.2)
        self._read(0.2)
        return self.process.returncode

    def is_restored(self) -> bool:
        return termios.tcgetattr(self.theirs) == self.before


# -- maintenance ----------------------------------------------------------------------------------------------------


@pytest.fixture
def reopened(deployed: Laptop) -> Iterator[Laptop]:
    yield deployed
    deployed.vru("maintenance", "off")


def test_maintenance_closes_the_platform_to_users_and_nothing_else(reopened: Laptop) -> None:
    laptop = reopened
    assert "is off" in laptop.vru("maintenance").stdout
    laptop.vru("maintenance", "on", "--message", "A larger <disk>", "--for", "1h")
    page = httpx2.get(laptop.url(80), timeout=30)
    assert (page.status_code, page.headers["retry-after"]) == (503, "60")
    assert "A larger &lt;disk&gt;" in page.text
    refused = httpx2.get(laptop.url(8000, "/api/v1/projects"), timeout=30)
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    assert refused.json()["detail"] == "Maintenance: A larger <disk>"
    assert httpx2.get(laptop.url(8000, "/health"), timeout=30).status_code == 200
    status = laptop.vru_json("status")
    assert status["healthy"]
    assert status["maintenance"]["message"] == "A larger <disk>"
    assert any("Maintenance is on" in warning for warning in status["warnings"])
    assert any("Maintenance is on" in note for note in plan(laptop)["notes"])
    verified = laptop.vru_json("verify")
    assert verified["state"] == "warning"
    # It survives a deployment, and nginx's own restart.
    assert "Nothing to change" in laptop.vru("deploy").stdout
    on_server(laptop, "docker restart vru-platform-nginx-1")
    end = time.monotonic() + 60
    while True:
        try:
            assert httpx2.get(laptop.url(80), timeout=30).status_code == 503
            break
        except httpx2.HTTPError:
            assert time.monotonic() < end
            time.sleep(0.5)
    laptop.vru("maintenance", "off")
    assert httpx2.get(laptop.url(80), timeout=30).status_code == 200
    entries = laptop.vru_json("audit", "--tail", "10")["entries"]
    words = [(entry["outcome"], entry["detail"]) for entry in entries if entry["action"] == "maintenance"]
    assert words[-1] == ("off", "")
    assert words[-2][1].endswith("A larger <disk>")


def test_maintenance_ends_by_itself(reopened: Laptop) -> None:
    reopened.vru("maintenance", "on", "--for", "30s")
    assert httpx2.get(reopened.url(80), timeout=30).status_code == 503
    end = time.monotonic() + 120
    while httpx2.get(reopened.url(80), timeout=30).status_code == 503:
        assert time.monotonic() < end, "it does not end"
        time.sleep(0.5)
    assert "is off" in reopened.vru("maintenance").stdout


# -- hooks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hooks(deployed: Laptop) -> Iterator[Path]:
    folder = deployed.root / "hooks"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def write_hooks(folder: Path, scripts: Mapping[str, str]) -> None:
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def test_hooks_see_the_plan_and_the_outcome_and_can_stop_a_deployment(deployed: Laptop, hooks: Path) -> None:
    write_hooks(
        hooks,
        {
            "pre-deploy": 'cat > plan.json; echo "about to deploy $VRU_RELEASE"; test ! -e forbidden',
            "post-deploy": "cat > outcome.json",
        },
    )
    done = deployed.vru("deploy")
    seen, outcome = (json.loads((deployed.root / name).read_text()) for name in ("plan.json", "outcome.json"))
    assert f"about to deploy {seen['release']}" in done.stdout
    assert (seen["changes"], outcome["ok"], outcome["changed"]) == ([], True, 0)
    (deployed.root / "forbidden").touch()
    refused = deployed.vru("deploy", check=False)
    assert refused.returncode == 1
    assert "The hook hooks/pre-deploy failed (exit code 1); nothing was changed." in refused.stderr
    assert "Nothing to change" in deployed.vru("deploy", "--skip-hooks").stdout
    for name in ("plan.json", "outcome.json", "forbidden"):
        (deployed.root / name).unlink()
