"""What the probes saw -> what is found: one case at least for every fault that the doctor knows."""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from vru.deploy.checks.check import ok, problem, unknown, warning
from vru.deploy.checks.evidence import Evidence, UnknownError
from vru.deploy.checks.fault import Fault, examine
from vru.deploy.doctor import examination, laptop, report
from vru.deploy.settings import environment
from vru.deploy.settings.environment import Environment
from vru.host.wire import Check

ROOT = Path(__file__).parents[3]
RECORDED = Path(__file__).parent / "recorded"
GUIDE = ROOT / "docs" / "operating.md"
PROBES = ROOT / "src" / "vru" / "deploy" / "doctor" / "probes.sh"
DAY = 24 * 3600
# When the servers were recorded.
NOW = 1795462345


@pytest.fixture
def settings(tmp_path: Path) -> Environment:
    return environment.generate(tmp_path / ".env.production", {"VRU_HOST": "server.example"})


def server(settings: Environment, name: str = "bare", /, **changes: tuple[str, ...] | None) -> Evidence:
    """A recorded server with some answers changed; None breaks a probe."""
    recorded = Evidence.parse((RECORDED / f"{name}.txt").read_text(), settings, clock_skew="0.4")
    seen = {**recorded.seen, **{key: lines for key, lines in changes.items() if lines is not None}}
    broken = {**recorded.broken, **{key: "it timed out" for key, lines in changes.items() if lines is None}}
    return replace(
        recorded, seen={key: seen[key] for key in seen if key not in broken or changes.get(key)}, broken=broken
    )


def fault(name: str) -> Fault:
    [found] = [one for one in (*examination.LAPTOP, *examination.SERVER) if one.name == name]
    return found


def mounts(**options: str) -> tuple[str, ...]:
    of = {"/opt/vru-platform": "rw", "/var/lib/docker": "rw", "/": "rw", "/tmp": "rw"} | options
    return tuple(f"{path} {path} {options},relatime" for path, options in of.items())


def disks(free_kib: int = 99_999_999, free_inodes: int = 9_999_999, total_inodes: int = 9_999_999) -> tuple[str, ...]:
    places = ("/opt/vru-platform", "/var/lib/docker", "/", "/tmp")
    return tuple(f"{place} / {free_kib} 99999999 {free_inodes} {total_inodes}" for place in places)


DOCKER = ("/usr/bin/docker", "Docker version 26.1.5+dfsg1, build a72d7cd")
SSHD = ("maxsessions 10", "maxstartups 10:30:100", "allowtcpforwarding yes", "disableforwarding no")
KERNEL = "net/netfilter/nf_conntrack_"
IO_ERROR = "[ 12.5] I/O error, dev sda, sector 1953 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2"
OOM = "[ 99.1] Memory cgroup out of memory: Killed process 4711 (python) total-vm:4096kB"
DENIED = '[ 9.1] audit: type=1400 apparmor="DENIED" operation="mount" profile="docker-default" name="/"'

# fault, which recorded server, what its probes answer instead, the state, and words of the sentence.
SERVER_CASES: list[tuple[str, str, dict[str, tuple[str, ...] | None], str, str]] = [
    ("operating system", "bare", {"os": ("ID=fedora", "PRETTY_NAME=Fedora 44")}, "problem", "Fedora 44 is not"),
    ("operating system", "bare", {"os": ("ID=debian", 'VERSION_ID="11"')}, "problem", "is not supported"),
    ("operating system", "bare", {"os": ("ID=debian", "PRETTY_NAME=Debian sid")}, "problem", "sid is not supported"),
    ("processor", "bare", {"machine": ("riscv64",)}, "problem", "riscv64"),
    ("userland", "bare", {"userland": ("i386",)}, "problem", "i386"),
    ("userland", "bare", {"userland": ("armhf",)}, "problem", "armhf"),
    ("systemd", "bare", {"init": ("sh",)}, "problem", "init is sh"),
    ("units", "bare", {"failed_units": ("nginx.service loaded failed failed web",)}, "warning", "nginx.service"),
    ("units", "bare", {"systemd": ("maintenance",)}, "warning", "maintenance"),
    ("container inside", "bare", {"virtual": ("openvz",)}, "warning", "openvz"),
    ("python", "bare", {"python": ("3.9",), "apt": ()}, "problem", "Python: 3.9"),
    ("kernel", "bare", {"kernel": ("3.10.0-1160.el7",)}, "problem", "3.10.0-1160.el7 is too old"),
    ("kernel", "bare", {"kernel": ("5.4.0-100-generic",)}, "warning", "no longer gets"),
    ("memory", "bare", {"memory": ("MemTotal 1048576", "SwapTotal 0")}, "problem", "Only 1.0 GiB"),
    ("processors", "bare", {"cpus": ("1",)}, "warning", "1 processor core"),
    ("swap", "bare", {"memory": ("MemTotal 4194304", "SwapTotal 0")}, "warning", "No swap beside 4.0 GiB"),
    ("disk", "bare", {"disks": disks(free_kib=3 * 1024**2)}, "problem", "Only 3.0 GiB free; 10 GiB"),
    ("disk", "deployed", {"disks": disks(free_kib=1024**2)}, "problem", "Only 1.0 GiB free; 2 GiB"),
    ("inodes", "bare", {"disks": disks(free_inodes=17)}, "problem", "Only 17 inodes are free on /"),
    ("writable", "bare", {"mounts": mounts(**{"/": "ro"})}, "problem", "/ is on /, which is mounted read-only"),
    ("mount options", "bare", {"mounts": mounts(**{"/var/lib/docker": "rw,noexec"})}, "problem", "mounted noexec"),
    ("mount options", "bare", {"mounts": mounts(**{"/opt/vru-platform": "rw,nosuid"})}, "warning", "mounted nosuid"),
    ("temporary files", "bare", {"mounts": mounts(**{"/tmp": "rw,noexec"})}, "warning", "/tmp is mounted noexec"),
    ("clock", "bare", {"clock_skew": ("-300.2",)}, "warning", "300 s behind the laptop's"),
    ("time synchronisation", "bare", {"time_sync": ()}, "warning", "No time service"),
    ("restart pending", "bare", {"reboot": ("required", "linux-image-amd64")}, "warning", "for linux-image-amd64"),
    (
        "locale", "bare",
        {"locales": ("de_DE.UTF-8", "locale: Cannot set LC_ALL to default locale: No such file or directory")},
        "warning", "de_DE.UTF-8 is not installed",
    ),
    ("host name", "bare", {"host_name": ("web1",)}, "warning", "own name web1"),
    ("failing disk", "bare", {"kernel_log": (IO_ERROR,)}, "problem", "I/O error, dev sda"),
    ("killed for memory", "bare", {"kernel_log": (OOM,)}, "warning", "last python"),
    ("control groups", "bare", {"cgroup": ("tmpfs",)}, "warning", "of version 1"),
    ("control groups", "bare", {"cgroup": ("tmpfs", "hybrid")}, "warning", "of both versions"),
    ("overcommit", "deployed", {"settings": ("vm/overcommit_memory=0",)}, "warning", "is 0"),
    ("SELinux", "bare", {"selinux": ("1",)}, "warning", "enforcing"),
    ("AppArmor", "deployed", {"apparmor": ("Y",)}, "problem", "apparmor_parser is not installed"),
    ("AppArmor", "deployed", {"kernel_log": (DENIED,)}, "warning", "refused containers something 1 times"),
    ("package manager", "bare", {"apt_lock": ("812 apt-get /var/lib/dpkg/lock",)}, "warning", "apt-get (process 812)"),
    (
        "half-installed packages", "bare",
        {"dpkg_audit": ("The following packages are only half configured:", " libc-bin   GNU C Library: Binaries")},
        "problem", "half installed: libc-bin",
    ),
    ("certificates", "bare", {"certificates": ()}, "problem", "ca-certificates.crt is missing"),
    ("kind of Docker", "bare", {"docker_binary": ("/usr/bin/podman", "podman version 5.4")}, "problem", "is Podman"),
    ("kind of Docker", "bare", {"docker_binary": ("/snap/bin/docker", "Docker 27")}, "problem", "as a snap"),
    ("kind of Docker", "deployed", {"docker_info": ("security=[name=rootless]",)}, "problem", "rootless"),
    ("Docker", "deployed", {"docker_version": None}, "problem", "does not answer: it timed out"),
    ("Docker at boot", "deployed", {"docker_unit": ("masked", "inactive")}, "problem", "masked"),
    ("Docker at boot", "deployed", {"docker_unit": ("disabled", "active")}, "warning", "disabled"),
    ("Docker's version", "deployed", {"docker_version": ("19.03.5",)}, "problem", "19.03.5 is too old"),
    ("Docker's version", "deployed", {"docker_version": ("20.10.24+dfsg1",)}, "warning", "no longer gets"),
    ("Compose", "deployed", {"compose": ("1.29.2",)}, "problem", "1.29.2 is too old"),
    ("daemon.json", "bare", {"daemon_json": ('{"log-driver": "json-file",', "}")}, "problem", "cannot be read"),
    ("daemon.json", "bare", {"daemon_json": ("[]",)}, "problem", "no JSON object"),
    ("log rotation", "deployed", {"daemon_json": ("{}",)}, "warning", "Docker rotates no logs"),
    ("log rotation", "deployed", {"container_logs": ("/var/lib/a-json.log",)}, "warning", "a-json.log"),
    ("log rotation", "deployed", {"logrotate": ("/usr/sbin/logrotate",)}, "warning", "vru-platform is missing"),
    ("storage driver", "deployed", {"docker_info": ("driver=vfs",)}, "warning", "driver is vfs"),
    ("Docker elsewhere", "deployed", {"docker_host": ("tcp://10.0.0.9:2375",)}, "warning", "tcp://10.0.0.9:2375"),
    ("build cache", "deployed", {"build_cache": ("Build Cache\t31.2GB\t30GB",)}, "warning", "take 31.2GB"),
    (
        "restarting containers", "deployed",
        {"restarts": ("/vru-platform-ml_engine-1 9 running false",)}, "problem", "was restarted 9 times",
    ),
    (
        "restarting containers", "deployed",
        {"restarts": ("/vru-platform-ml_engine-1 0 exited true",)}, "problem", "was killed for memory",
    ),
    (
        "port", "bare",
        {"listening": ('LISTEN 0 511 *:80 *:* users:(("apache2",pid=1,fd=4))',)}, "problem", "taken by apache2",
    ),
    ("port", "bare", {"listening": ("LISTEN 0 511 127.0.0.1:3001 0.0.0.0:*",)}, "problem", "another process"),
    (
        "foreign container", "deployed",
        {"containers": ("web\trunning\tblog\t0.0.0.0:3000-3001->3000-3001/tcp\tghost",)},
        "problem", "web, which is not the platform's, publishes port 3000, 3001",
    ),
    ("names", "bare", {"dns": ("deb.debian.org no",)}, "problem", "cannot resolve deb.debian.org"),
    ("route", "bare", {"routes": ()}, "problem", "no default route"),
    ("packages' source", "bare", {"mirror": ("deb.debian.org:80 no",)}, "problem", "Docker is still to be installed"),
    ("packages' source", "deployed", {"mirror": ("deb.debian.org:80 no",)}, "warning", "no updates"),
    ("image registry", "bare", {"registry": ("registry-1.docker.io:443 no",)}, "problem", "cannot be fetched"),
    ("image registry", "deployed", {"registry": ("registry-1.docker.io:443 no",)}, "warning", "cannot be built"),
    ("proxy", "deployed", {"proxies": ("apt http://proxy:3128",)}, "warning", "but not for environment, docker"),
    ("SSH sessions", "bare", {"sshd_settings": ("maxsessions 1",)}, "problem", "allows 1 sessions"),
    ("SSH sessions", "bare", {"sshd_settings": ("maxsessions 4",)}, "warning", "allows 4 sessions"),
    ("SSH logins at once", "bare", {"sshd_settings": ("maxstartups 2:50:5",)}, "warning", "at 2 (MaxStartups 2:50:5)"),
    ("SSH forwarding", "bare", {"sshd_settings": ("allowtcpforwarding no",)}, "warning", "forwards no ports"),
    ("SSH forwarding", "bare", {"sshd_settings": ("disableforwarding yes",)}, "warning", "forwards no ports"),
    (
        "ufw", "deployed",
        {"ufw_status": ("Status: active", "22/tcp    ALLOW   Anywhere", "80/tcp    ALLOW   Anywhere")},
        "warning", "does not allow port 3000, 8000",
    ),
    ("firewalld", "bare", {"firewalld": ("active",)}, "warning", "firewalld is active"),
    ("iptables", "deployed", {"iptables_legacy": ("filter",)}, "warning", "iptables-legacy"),
    ("iptables", "deployed", {"iptables_version": ()}, "problem", "not installed"),
    ("platform's firewall", "deployed", {"iptables_jumps": ("iptables VRU-INPUT",)}, "problem", "no jump into"),
    ("forwarding", "deployed", {"settings": ("net/ipv4/ip_forward=0",)}, "problem", "ip_forward is 0"),
    ("connection table", "deployed", {"settings": ("net/ipv4/ip_forward=1",)}, "problem", "no nf_conntrack"),
    (
        "connection table", "deployed",
        {"settings": (f"{KERNEL}count=65000", f"{KERNEL}max=65536")}, "warning", "65000 of 65536",
    ),
    ("uplink's name", "bare", {"routes": ("default via 10.0.0.1 dev br-ext",)}, "problem", "br-ext"),
    ("networks", "bare", {"networks": ("172.16.0.0/12 dev tun0 scope link",)}, "problem", "172.16.0.0/12 overlaps"),
    (
        "packet size", "bare",
        {"links": ("2: eth0@if600: <BROADCAST,UP> mtu 1450 qdisc noqueue state UP",)}, "warning", "1450 bytes",
    ),
    ("old containers", "deployed", {"containers": ("vru_backend_1\texited\tvru\t\told",)}, "warning", "vru_backend_1"),
    ("old units", "bare", {"old_units": ("vru-backend.service", "vru-backup.timer")}, "warning", "vru-backend.service"),
    ("old files", "bare", {"old_paths": ("/opt/vru",)}, "warning", "/opt/vru"),
    ("backups", "deployed", {"backups": ()}, "warning", "no backup yet"),
    ("backups", "deployed", {"backups": (f"{NOW - 9 * DAY} /opt/b",), "clock": (str(NOW),)}, "warning", "9 days old"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "recorded", "changes", "state", "words"), SERVER_CASES)
def test_each_fault_of_a_server_is_named_with_its_fix(
    settings: Environment, name: str, recorded: str, changes: dict[str, tuple[str, ...] | None], state: str, words: str
) -> None:
    found = [check for check in fault(name).examine(server(settings, recorded, **changes)) if check.state != "ok"]
    assert found, f"{name} was not found"
    assert found[0].state == state
    assert words in found[0].detail
    assert found[0].fix
    assert "{" not in found[0].fix


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"VRU_PUBLISH_ADDRESS": "fd00::5"}, "no IPv6 address"),
        ({"VRU_EXTERNAL_IP": "2001:db8::5"}, "nginx listens on 0.0.0.0 only"),
    ],
)
def test_an_ipv6_address_that_is_not_served_is_found(settings: Environment, values: dict[str, str], words: str) -> None:
    [check] = fault("IPv6").examine(server(settings.replace(**values)))
    assert check.state == "problem"
    assert words in check.detail


LAPTOP_GOOD: dict[str, tuple[str, ...]] = {
    "python": ("3.11.7",),
    "project": ("/home/me/vru",),
    "missing": (),
    "settings_file": ("0600",),
    "settings_problems": (),
    "tracked": (),
    "ignored": (".env.production",),
    "repository": ("/home/me/vru",),
    "disk": ("9000",),
    "writable": ("True",),
    "keys": ("/home/me/.ssh/id_ed25519\t0600\tprivate",),
    "named_key": (),
    "agent": (),
    "known_hosts": ("/home/me/.ssh/known_hosts", "yes"),
    "host": ("server.example",),
    "resolves": ("192.0.2.1",),
    "alias": (),
    "through": (),
    "proxies": (),
    "no_proxy": ("",),
    "rendering": (),
}
KEY = "/home/me/.ssh/id_rsa"
LAPTOP_CASES: list[tuple[str, dict[str, tuple[str, ...]], str, str]] = [
    ("Python", {"python": ("3.10.2",)}, "problem", "Python 3.10.2; 3.11"),
    ("project", {"missing": ("Dockerfile",)}, "problem", "lacks Dockerfile"),
    ("room", {"disk": ("12",)}, "problem", "Only 12 MiB"),
    ("project's owner", {"writable": ("False",)}, "problem", "cannot be written"),
    ("settings", {"settings_file": ()}, "problem", "no .env.production"),
    ("settings' mode", {"settings_file": ("0644",)}, "problem", "is 0644"),
    ("settings' values", {"settings_problems": ("3\tVRU_X is no variable.\tRemove it.",)}, "problem", "Line 3: VRU_X"),
    ("settings in git", {"tracked": (".env.production",)}, "problem", "git tracks .env.production"),
    ("settings in git", {"ignored": ()}, "warning", "does not ignore"),
    ("configuration", {"rendering": ("nginx.conf.j2: 'x' is undefined\tCorrect it.",)}, "problem", "undefined"),
    ("SSH key", {"keys": ()}, "problem", "no SSH key in ~/.ssh"),
    ("SSH key", {"keys": (), "named_key": ("/nowhere",)}, "problem", "/nowhere that VRU_SSH_KEY names"),
    ("SSH key's mode", {"keys": (f"{KEY}\t0644\tprivate",)}, "problem", "0644"),
    ("SSH key's kind", {"keys": (f"{KEY}.pub\t0644\tpublic",)}, "problem", "is a public key"),
    ("SSH key's kind", {"keys": (f"{KEY}\t0000\tunreadable",)}, "problem", "cannot be read"),
    ("SSH agent", {"agent": tuple("abcdef")}, "warning", "6 keys"),
    ("known hosts", {"known_hosts": ("/home/me/.ssh/known_hosts", "/home/me")}, "problem", "cannot be written"),
    ("server's name", {"host": ()}, "problem", "VRU_HOST is empty"),
    ("server's address", {"resolves": ()}, "warning", "resolves to no address"),
    ("laptop's proxy", {"proxies": ("https_proxy",)}, "warning", "does not name server.example"),
]


@pytest.mark.parametrize(("name", "changes", "state", "words"), LAPTOP_CASES)
def test_each_fault_of_a_laptop_is_named_with_its_fix(
    settings: Environment, name: str, changes: dict[str, tuple[str, ...]], state: str, words: str
) -> None:
    [check] = fault(name).examine(Evidence({**LAPTOP_GOOD, **changes}, environment=settings))
    assert check.state == state
    assert words in check.detail
    assert check.fix
    assert "{" not in check.fix


def test_every_fault_has_a_case_and_there_are_enough() -> None:
    known = [one.name for one in (*examination.LAPTOP, *examination.SERVER)]
    assert len(known) == len(set(known))
    assert len(known) >= 40
    assert {case[0] for case in (*SERVER_CASES, *LAPTOP_CASES)} | {"IPv6"} == set(known)


def test_the_guide_lists_the_faults_as_the_code_has_them() -> None:
    """To write it anew: ``vru doctor --list``."""
    text = GUIDE.read_text()
    for faults in (examination.LAPTOP, examination.SERVER):
        assert report.table(faults) in text


def test_the_recorded_servers_are_well(settings: Environment) -> None:
    for name in ("bare", "deployed"):
        found = [check for check in examine(examination.SERVER, server(settings, name)) if check.state != "ok"]
        # They were containers of a machine with mixed control groups, and nothing keeps a container's clock.
        expected = {"control groups", "time synchronisation"} | ({"backups"} if name == "deployed" else set())
        assert {check.name for check in found} == expected
        assert all(check.state == "warning" for check in found)
    assert examine(examination.LAPTOP, Evidence(LAPTOP_GOOD, environment=settings)) == [
        check
        for check in examine(examination.LAPTOP, Evidence(LAPTOP_GOOD, environment=settings))
        if check.state == "ok"
    ]


def test_a_probe_that_fails_makes_its_faults_unknown_and_no_others(settings: Environment) -> None:
    checks = examine(examination.SERVER, server(settings, sshd_settings=None, disks=None))
    lost = {check.name: check.detail for check in checks if check.state == "unknown"}
    assert set(lost) == {"SSH sessions", "SSH logins at once", "SSH forwarding", "disk", "inodes"}
    assert "the probe disks failed: it timed out" in lost["disk"]


def test_where_docker_does_not_answer_what_only_docker_knows_is_unknown(settings: Environment) -> None:
    silent = dict.fromkeys(("docker_version", "docker_info", "containers", "restarts", "build_cache"))
    found = {check.name: check.state for check in examine(examination.SERVER, server(settings, "deployed", **silent))}
    assert found["Docker"] == "problem"
    assert found["restarting containers"] == found["storage driver"] == found["foreign container"] == "unknown"


def test_nothing_seen_at_all_is_unknown_not_well() -> None:
    states = {check.state for check in examine((*examination.LAPTOP, *examination.SERVER), Evidence({}))}
    assert states == {"unknown"}


def test_an_answer_in_another_form_is_unknown(settings: Environment) -> None:
    for changes in ({"cpus": ("many",)}, {"restarts": ("a b",)}, {"kernel": ("six",)}, {"clock_skew": ("?",)}):
        states = [check.state for check in examine(examination.SERVER, server(settings, "deployed", **changes))]
        assert states.count("unknown") == 1


def test_evidence_is_parsed_from_blocks() -> None:
    seen = Evidence.parse("noise\n@@ a 0\none\n\ntwo\n@@ b 0\n\n@@ c 127\nsh: nowhere\nnot found\n@@ d 1\n")
    assert seen.lines("a") == ("one", "two")
    assert seen.text("b") == ""
    assert seen.broken == {"c": "not found", "d": "it ended with 1"}
    with pytest.raises(UnknownError, match="the probe c failed: not found"):
        seen.lines("c")
    with pytest.raises(UnknownError, match="gave no answer"):
        seen.text("never")


def test_the_script_is_posix_and_hides_passwords_of_proxies() -> None:
    for shell in ("dash", "bash"):
        assert subprocess.run([shell, "-n", PROBES], check=False).returncode == 0
    here = subprocess.run(
        ["sh", "-s", "--", "/opt/vru-platform"],
        input=PROBES.read_bytes(),
        capture_output=True,
        timeout=240,
        check=False,
        env={**os.environ, "https_proxy": "http://me:hunter2@proxy.example:3128"},
    ).stdout.decode()
    assert "environment http://***@proxy.example:3128" in here
    assert "hunter2" not in here
    asked = set(re.findall(r"^@@ (\w+) \d+$", here, re.M))
    recorded = set(re.findall(r"^@@ (\w+) \d+$", (RECORDED / "bare.txt").read_text(), re.M))
    assert asked == recorded


def test_an_alias_of_ssh_config_is_no_fault(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "my home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = home / "keys for work"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    config = home / ".ssh" / "config"
    config.write_text(f'Host production\n  HostName 127.0.0.1\n  IdentityFile "{key}"\n')
    settings = environment.generate(project / ".env.production", {"VRU_HOST": "production"})
    checks = {check.name: check for check in examine(examination.LAPTOP, laptop.look(project, settings, home))}
    assert (checks["server's address"].state, checks["SSH key"].state) == ("ok", "ok")
    assert "127.0.0.1" in checks["server's address"].detail
    key.chmod(0o644)
    checks = {check.name: check for check in examine(examination.LAPTOP, laptop.look(project, settings, home))}
    assert checks["SSH key's mode"].fix == f"chmod 600 '{key}'"


CHECKS = [ok("a", "1"), warning("b", "2.", "do b"), problem("c", "3.", "do c"), unknown("d", "4."), ok("e")]


def test_what_is_wrong_is_said_first_then_how_much_is_well() -> None:
    said = [line for _, line in report.lines(CHECKS)]
    assert said == [
        "problem  c: 3.",
        "         fix: do c",
        "warning  b: 2.",
        "         fix: do b",
        "unknown  d: 4.",
        "1 problem, 1 warning, 1 unknown; 2 of 5 things that were looked at are well.",
    ]
    assert [line for _, line in report.lines(CHECKS, everything=True)][-3:-1] == ["ok       a: 1", "ok       e"]
    assert report.summary([ok("a")]) == "All 1 things that were looked at are well."


def test_for_programs_it_is_ok_unless_there_is_a_problem() -> None:
    data = report.as_json(CHECKS)
    assert data["ok"] is False
    assert data["counts"] == {"problem": 1, "warning": 1, "unknown": 1, "ok": 2}
    assert [check["name"] for check in data["checks"]] == ["c", "b", "d", "a", "e"]
    assert report.as_json([warning("b", "2.")])["ok"] is True


def test_a_real_laptop_is_looked_at(project: Path, tmp_path: Path) -> None:
    settings = environment.generate(project / ".env.production", {"VRU_HOST": "no-such-host.invalid"})
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    key = home / ".ssh" / "id_ed25519"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    key.chmod(0o644)
    seen = laptop.look(project, settings, home)
    assert seen.text("settings_file") == "0600"
    found = {check.name: check for check in examine(examination.LAPTOP, seen) if check.state != "ok"}
    assert found["SSH key's mode"].fix == f"chmod 600 {key}"
    assert found["server's address"].state == "warning"
    assert set(found) <= {"SSH key's mode", "server's address", "SSH agent", "laptop's proxy"}


def test_a_laptop_without_settings_or_key_is_looked_at_all_the_same(project: Path, tmp_path: Path) -> None:
    def found() -> dict[str, Check]:
        with pytest.raises(environment.EnvironmentFileError) as error:
            environment.load(project / ".env.production")
        seen = laptop.look(project, error.value, tmp_path / "empty home")
        return {check.name: check for check in examine(examination.LAPTOP, seen)}

    assert found()["settings"].fix == "vru init --host ADDRESS"
    assert found()["SSH key"].state == "problem"
    assert found()["server's name"].state == "unknown"
    environment.generate(project / ".env.production", {"VRU_HOST": "server.example"})
    (project / ".env.production").chmod(0o644)
    assert found()["settings' mode"].detail == "The mode of .env.production is 0644."
    assert found()["settings' values"].state == "ok"
    (project / "Dockerfile").unlink()
    assert "lacks Dockerfile" in found()["project"].detail


def test_settings_that_git_tracks_are_found(project: Path, tmp_path: Path) -> None:
    settings = environment.generate(project / ".env.production", {"VRU_HOST": "server.example"})

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", project, *arguments], check=True, capture_output=True)

    def state() -> str:
        return fault("settings in git").examine(laptop.look(project, settings, tmp_path))[0].state

    git("init")
    assert state() == "warning"
    (project / ".gitignore").write_text(".env.production\n")
    assert state() == "ok"
    git("add", "--force", ".env.production")
    assert state() == "problem"
