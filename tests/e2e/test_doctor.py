"""`vru doctor` on a real bare server of its own, with every fault injected that a container lets us inject.

Several faults at once, in few groups; what must be found is named, what was found besides is shown where it fails.

Known by recorded facts only (tests/deploy/doctor/test_examination.py), because this machine's kernel and hardware
cannot be changed from a container, or because the suite's server is what it is:

- other hardware or another kernel: processor, userland, kernel, memory, processors, swap, container inside;
- the shared clock and the kernel's log: clock, failing disk, killed for memory (time synchronisation: as it is);
- security modules of the kernel: SELinux, AppArmor; its settings for all: overcommit, connection table, control groups
  (found as they are);
- programs in other versions: systemd, python, kind of Docker, Docker's version, Compose, storage driver, build cache;
- ufw, iptables and firewalld at work: tests/e2e/test_firewall.py has ufw; IPv6: this server has none;
- known hosts and the project's owner: the suite may run as root, who may write anywhere; an agent with many keys.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.bareserver import BareServer
from tests.e2e.laptop import VRU, Laptop, copy_project

# The server is a container of a machine that may have old control groups, and nothing keeps a container's clock.
GIVEN = {"control groups", "time synchronisation"}
HOLD_LOCK = """
use Fcntl; open(my $f, "+<", "/var/lib/dpkg/lock-frontend") or die;
my $lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0);
fcntl($f, F_SETLK, $lock) or die "$!";
open(my $held, ">", "/run/lock-held");
sleep 600;
"""
LISTEN_80 = (
    "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 1, ReuseAddr => 1); sleep 600;"
)
IMAGE = "python:3.13-slim-trixie"


def await_(fact: str) -> str:
    """A line of shell that waits until a command succeeds, for a minute."""
    return f"for i in $(seq 600); do {fact} && break; sleep 0.1; done; {fact} || exit 1"


@dataclass
class Patient:
    """The server and the laptop that are looked at."""

    server: BareServer
    laptop: Laptop

    def examine(self, *options: str, **environment: str) -> "Findings":
        started = time.monotonic()
        done = subprocess.run(
            [VRU, "doctor", "--json", *options],
            cwd=self.laptop.root,
            env={**os.environ, "HOME": str(self.laptop.home), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        print(f"$ vru doctor {' '.join(options)} -> {done.returncode} in {time.monotonic() - started:.1f} s")
        assert done.stdout, done.stderr
        return Findings(json.loads(done.stdout), done.returncode)

    def run(self, script: str) -> str:
        return self.server.run(script)

    def set(self, **values: str) -> None:
        file = self.laptop.root / ".env.production"
        lines = file.read_text().splitlines()
        for name, value in values.items():
            [at] = [number for number, line in enumerate(lines) if line.startswith(f"{name}=")]
            lines[at] = f"{name}={value}"
        file.write_text("\n".join(lines) + "\n")


class Findings:
    """What the doctor found, by name."""

    def __init__(self, answer: dict, code: int) -> None:
        self.code = code
        self.counts = answer["counts"]
        self.checks = {check["name"]: check for check in answer["checks"]}
        assert answer["ok"] is (self.counts["problem"] == 0)
        assert code == (1 if self.counts["problem"] else 0)
        assert all(check["fix"] for check in self.checks.values() if check["state"] in ("problem", "warning"))

    def names(self, *states: str) -> set[str]:
        return {name for name, check in self.checks.items() if check["state"] in states}

    def has(self, **expected: str) -> None:
        """``problem="a, b"``: these are found in this state, and say how to mend them."""
        for state, names in expected.items():
            for name in names.split(", "):
                assert name in self.checks, f"{name!r} was not looked at"
                assert self.checks[name]["state"] == state, (name, self.checks[name])

    def says(self, name: str) -> str:
        return str(self.checks[name]["detail"])


@pytest.fixture(scope="module")
def patient(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    with BareServer("vru-doctor", address=None, ssh_on="127.0.0.1", ports=(22,)) as server:
        root, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
        copy_project(root)
        (home / ".ssh").mkdir(mode=0o700)
        shutil.copy2(server.key_path, home / ".ssh" / "id_ed25519")
        laptop = Laptop(root, home, server)
        laptop.vru("init", "--host", server.ssh_address, "--port", str(server.ssh_port))
        (home / ".ssh" / "known_hosts").write_text(server.known_hosts_line())
        yield Patient(server, laptop)


def test_a_fresh_server_is_well(patient: Patient) -> None:
    patient.run("touch /root/before")
    started = time.monotonic()
    found = patient.examine()
    assert time.monotonic() - started < 90  # about 5 s, where the machine has nothing else to do
    assert found.names("problem", "unknown") == set()
    assert found.names("warning") <= GIVEN
    assert found.counts["ok"] >= 75
    shown = patient.laptop.vru("doctor").stdout
    assert shown.splitlines()[-1].endswith("things that were looked at are well.")
    # Nothing was changed, nothing was left.
    assert patient.run("find /etc /opt /usr /home /var/lib /var/cache /tmp -xdev -newer /root/before").strip() == ""


def test_faults_of_the_system(patient: Patient) -> None:
    patient.server.write("/root/lock.pl", HOLD_LOCK.encode())
    patient.server.write("/root/listen.pl", LISTEN_80.encode())
    patient.server.write("/etc/systemd/system/wrong.service", b"[Service]\nExecStart=/bin/false\n")
    patient.run(
        "systemd-run -q --unit=lock perl /root/lock.pl; systemd-run -q --unit=web perl /root/listen.pl;"
        "cp /var/lib/dpkg/status /root/status; cp /etc/os-release /root/os-release; cp /etc/hosts /root/hosts;"
        'awk \'/^Package: hostname$/ {at = 1} at && /^Status:/ {$0 = "Status: install ok half-configured"; at = 0}'
        " {print}' /root/status > /var/lib/dpkg/status;"
        "systemctl daemon-reload; systemctl start wrong.service;"
        f"{await_('systemctl is-failed -q wrong.service')}; {await_('test -e /run/lock-held')};"
        f"{await_('ss -Hltn sport = :80 | grep -q .')};"
        "mv /etc/ssl/certs/ca-certificates.crt /root/;"
        "touch /run/reboot-required; echo linux-image > /run/reboot-required.pkgs;"
        "rm /etc/os-release; printf 'ID=fedora\\nVERSION_ID=44\\nPRETTY_NAME=\"Fedora 44\"\\n' > /etc/os-release;"
        "grep -v $(uname -n) /root/hosts > /etc/hosts; echo LANG=de_DE.UTF-8 > /etc/default/locale;"
        "mkdir -p /opt/vru-platform && mount -t tmpfs -o size=1m,nr_inodes=50,nosuid tmpfs /opt/vru-platform;"
        "mount -o remount,noexec /tmp"
    )
    try:
        found = patient.examine()
    finally:
        patient.run(
            "systemctl stop lock.service web.service; systemctl reset-failed; rm /etc/systemd/system/wrong.service;"
            "cp /root/status /var/lib/dpkg/status; mv /root/ca-certificates.crt /etc/ssl/certs/;"
            "cat /root/hosts > /etc/hosts;"
            "rm /run/reboot-required* /run/lock-held /etc/default/locale /etc/os-release;"
            "cp /root/os-release /etc/os-release;"
            "mount -o remount,exec /tmp; mount -o remount,ro /opt/vru-platform"
        )
    read_only = patient.examine()
    patient.run("umount /opt/vru-platform && rmdir /opt/vru-platform")
    read_only.has(problem="writable", ok="package manager, port 80, operating system")
    found.has(
        problem="operating system, half-installed packages, certificates, port 80, disk for /opt/vru-platform, inodes",
        warning="package manager, units, restart pending, host name, locale, mount options, temporary files",
    )
    assert "perl (process" in found.says("package manager")
    assert "hostname" in found.says("half-installed packages")
    assert found.says("port 80") == "Port 80 on the server is taken by perl."
    assert "wrong.service" in found.says("units")
    assert "de_DE.UTF-8 is not installed" in found.says("locale")


def test_faults_of_network_and_ssh(patient: Patient) -> None:
    patient.server.write(
        "/etc/ssh/sshd_config.d/00-few.conf", b"MaxSessions 1\nMaxStartups 2:50:5\nAllowTcpForwarding no\n"
    )
    patient.server.write("/etc/apt/apt.conf.d/90proxy", b'Acquire::http::Proxy "http://me:secret@192.0.2.9:3128";\n')
    patient.run("systemctl restart ssh; cp /etc/docker/daemon.json /root/ 2>/dev/null; cp /etc/resolv.conf /root/")
    patient.run("ip route show default > /root/route; ip link set eth0 mtu 1400; ip route add 172.30.77.0/25 dev lo")
    patient.server.write("/etc/docker/daemon.json", b'{"registry-mirrors": ["http://192.0.2.9:5000"],\n}\n')
    try:
        found = patient.examine()
        patient.run(
            "rm /etc/apt/apt.conf.d/90proxy; echo 'nameserver 192.0.2.53' > /etc/resolv.conf; ip route del default"
        )
        lost = patient.examine()
    finally:
        patient.run(
            "cat /root/resolv.conf > /etc/resolv.conf; ip route replace $(cat /root/route); ip link set eth0 mtu 1500;"
            "ip route del 172.30.77.0/25; rm -f /etc/apt/apt.conf.d/90proxy /etc/ssh/sshd_config.d/00-few.conf;"
            "rm /etc/docker/daemon.json; cp /root/daemon.json /etc/docker/ 2>/dev/null; systemctl restart ssh"
        )
    found.has(
        problem="SSH sessions, packages' source, image registry, daemon.json, networks",
        warning="SSH logins at once, SSH forwarding, proxy, packet size",
    )
    assert found.says("packages' source").startswith("192.0.2.9:3128 does not answer")
    assert "secret" not in json.dumps(found.checks)
    lost.has(problem="names, route", ok="proxy")
    assert found.code == lost.code == 1


def test_leftovers_of_an_older_installation(patient: Patient) -> None:
    patient.run(
        "mkdir -p /opt/vru /opt/vru-platform && touch /opt/vru-platform/docker-compose.yml;"
        "printf '[Service]\\nExecStart=/bin/true\\n' > /etc/systemd/system/vru-backend.service"
    )
    found = patient.examine()
    patient.run("rm -r /opt/vru /opt/vru-platform /etc/systemd/system/vru-backend.service")
    found.has(warning="old files, old units")
    assert found.says("old files") == "Files of an older installation: /opt/vru, /opt/vru-platform."


def test_a_doctor_who_sees_half_says_so(patient: Patient) -> None:
    patient.run(
        "mv /usr/bin/ss /usr/bin/ss.away; mv /usr/bin/df /usr/bin/df.away; mv /usr/sbin/sshd /usr/sbin/sshd.away"
    )
    try:
        found = patient.examine()
    finally:
        patient.run(
            "mv /usr/bin/ss.away /usr/bin/ss; mv /usr/bin/df.away /usr/bin/df; mv /usr/sbin/sshd.away /usr/sbin/sshd"
        )
    assert found.names("unknown") == {"port", "disk", "inodes", "SSH sessions", "SSH logins at once", "SSH forwarding"}
    assert found.names("problem") == set()


def test_faults_of_the_laptop(patient: Patient, tmp_path: Path) -> None:
    key = patient.laptop.home / ".ssh" / "id_ed25519"
    file = patient.laptop.root / ".env.production"
    key.chmod(0o644)
    file.chmod(0o644)
    found = patient.examine()
    found.has(problem="SSH key's mode, settings' mode", unknown="server's name", ok="settings' values")
    assert found.checks["settings' mode"]["fix"] == "chmod 600 .env.production"
    file.chmod(0o600)
    key.chmod(0o600)

    found = patient.examine("--host", "no-such-host.invalid", "--local", https_proxy="http://192.0.2.9:3128")
    found.has(warning="server's address, laptop's proxy")
    assert "connection" not in found.checks

    key.rename(tmp_path / "key")
    file.rename(tmp_path / "env")
    found = patient.examine()
    (tmp_path / "key").rename(key)
    (tmp_path / "env").rename(file)
    found.has(problem="SSH key, settings")


def test_a_server_that_lets_nobody_in(patient: Patient) -> None:
    patient.set(VRU_SSH_USER="debian")
    assert patient.examine().names("problem", "unknown") == set()
    patient.run("mv /etc/sudoers.d/90-debian /root/")
    found = patient.examine()
    patient.run("mv /root/90-debian /etc/sudoers.d/")
    patient.set(VRU_SSH_USER="root")
    found.has(problem="connection")
    assert "sudo" in found.says("connection")

    found = patient.examine("--host", "127.0.0.99")
    found.has(problem="connection")
    patient.server.change_host_keys()
    found = patient.examine()
    found.has(problem="connection")
    assert "has changed" in found.says("connection")
    assert "ssh-keygen -f" in found.checks["connection"]["fix"]
    (patient.laptop.home / ".ssh" / "known_hosts").write_text(patient.server.known_hosts_line())


def test_faults_of_docker(patient: Patient) -> None:
    patient.run(
        "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends docker.io"
        " docker-cli docker-compose iptables"
    )
    label = "--label com.docker.compose.project=vru-platform"
    patient.run(
        f"docker pull -q {IMAGE}; docker run -d --name blog -p 8000:80 {IMAGE} sleep 600;"
        f"docker run -d --name vru_backend_1 {IMAGE} true;"
        f"docker run -d --name vru-platform-ml_engine-1 {label} --restart=always {IMAGE} false;"
        "docker context create other --docker host=tcp://192.0.2.9:2375; docker context use other;"
        "mkdir -p /opt/vru-platform/releases /opt/vru-platform/backups/one;"
        "echo abc > /opt/vru-platform/releases/current;"
        "touch -d '9 days ago' /opt/vru-platform/backups/one; sysctl -qw net.ipv4.ip_forward=0;"
        "for i in $(seq 600); do docker -H unix:///run/docker.sock inspect -f '{{.RestartCount}} {{.State.Status}}'"
        " vru-platform-ml_engine-1 | grep -qE '^([5-9]|[1-9][0-9])' && exit 0; sleep 0.2; done; exit 1"
    )
    found = patient.examine()
    found.has(
        problem="foreign container, restarting containers, forwarding, platform's firewall",
        warning="old containers, Docker elsewhere, log rotation, backups",
        ok="Docker, Docker at boot, Docker's version, Compose, kind of Docker, storage driver, iptables",
    )
    assert "Container blog" in found.says("foreign container")
    assert found.checks["restarting containers"]["fix"] == "vru logs ml_engine --tail 100"
    assert found.says("backups") == "The last backup is 9 days old."

    patient.run(
        "docker context use default; sysctl -qw net.ipv4.ip_forward=1;"
        "rm -r /opt/vru-platform; docker rm -f $(docker ps -aq);"
        "systemctl stop docker.socket docker.service; systemctl mask docker.service"
    )
    found = patient.examine()
    patient.run("systemctl unmask docker.service; systemctl start docker.service")
    found.has(
        problem="Docker, Docker at boot",
        unknown="foreign container, restarting containers, storage driver, build cache, old containers",
    )
    assert patient.examine().names("problem", "unknown") == set()
