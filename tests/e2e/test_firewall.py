"""The firewall, seen from the internet: a second container tries all 65535 TCP ports of a server, over IPv4 and IPv6.

One bare server of its own on a network with IPv6, prepared by `vru setup`; a small container stands for nginx and
publishes its four ports. The full platform is scanned over IPv4 on the suite's shared server.
"""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.bareserver import BareServer
from tests.e2e.bareserver.server import docker
from tests.e2e.laptop import Laptop, copy_project, watchdog_asleep

SCANNER = Path(__file__).with_name("scanner.py")
IMAGE = "python:3.13-slim-trixie"
ADDRESS = "127.0.0.45"
NETWORK, SUBNET, SUBNET6 = "vru-firewall-e2e", "10.213.77.0/24", "fd00:7672:7500:77::/64"
OPEN = [22, 80, 3000, 8000]
NEIGHBOUR = 9999
# All that listens here has a port below this one: the scans between changes stop there, to be quick.
SOME, ALL = 10_000, 65_535
GRAFANA = 3001
# Programs on the server itself that listen on all its addresses, IPv4 and IPv6, and must not be reached.
STRANGERS = (5432, 5555, 6379, 8001, 8002, 8003, 9090)
LISTEN = f"""
import select, socket
open = []
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for port in {STRANGERS}:
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((address, port)); one.listen(); open.append(one)
while True:
    for one in select.select(open, [], [])[0]:
        link = one.accept()[0]
        link.sendall(b"you should not be here")
        link.close()
"""
# Until all ports are served; Docker's proxy accepts before the container behind it does.
WAIT = """
import socket, sys, time
for port in map(int, sys.argv[1:]):
    for attempt in range(150):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
                link.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
                if link.recv(1):
                    break
        except OSError:
            pass
        time.sleep(0.2)
    else:
        sys.exit(f"nothing listens on {port}")
"""
REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=4).close()
    print("open")
except TimeoutError:
    print("silent")
"""
STRANGERS_UNIT = """[Service]
ExecStart=/usr/bin/python3 /root/listen.py
[Install]
WantedBy=multi-user.target
"""
# As soon as new rules wait for their confirmation, new SSH connections are dropped: the laptop cannot come back.
SHUT_OUT = {
    "/etc/systemd/system/shut-out.path": """[Path]
PathExists=/opt/vru-platform/state/firewall/pending.json
""",
    "/etc/systemd/system/shut-out.service": """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/iptables -I INPUT 1 -p tcp --syn --dport 22 -j DROP
""",
}


class Internet:
    """A container that is somebody elsewhere."""

    def __init__(self, name: str, *options: str) -> None:
        self.name = name
        docker("rm", "--force", name, check=False)
        docker("run", "--detach", "--init", f"--name={name}", *options, IMAGE, "sleep", "infinity")
        docker("cp", str(SCANNER), f"{name}:/scanner.py")

    def addresses(self, network: str) -> tuple[str, str]:
        found = json.loads(docker("inspect", self.name))[0]["NetworkSettings"]["Networks"][network]
        return found["IPAddress"], found["GlobalIPv6Address"]

    def scan(self, *addresses: str, last: int = ALL) -> dict[str, list[int]]:
        """The open ports of each address. A port that refuses is not one that keeps silent: there must be none."""
        started = time.monotonic()
        found = json.loads(docker("exec", self.name, "python", "/scanner.py", str(last), *addresses))
        print(f"scanned {last} ports of {', '.join(addresses)} in {time.monotonic() - started:.1f} s: {found}")
        assert all(answers["refused"] == [] for answers in found.values())
        return {address: answers["open"] for address, answers in found.items()}

    def reaches(self, address: str, port: int) -> bool:
        """Whether a port answers; one that is not open has to keep silent."""
        return docker("exec", self.name, "python", "-c", REACH, address, str(port)).strip() == "open"


@dataclass
class House:
    """The server, its operator, and two people on the internet, of whom one may see Grafana."""

    server: BareServer
    laptop: Laptop
    stranger: Internet
    monitor: Internet
    addresses: tuple[str, str]

    def set(self, **values: str) -> None:
        """Change settings in .env.production."""
        file = self.laptop.root / ".env.production"
        lines = file.read_text().splitlines()
        for name, value in values.items():
            [at] = [number for number, line in enumerate(lines) if line.startswith(f"{name}=")]
            lines[at] = f"{name}={value}"
        file.write_text("\n".join(lines) + "\n")

    def setup(self, *options: str, check: bool = True) -> str:
        """`vru setup`. Until a release is live, the platform's ports have to be free."""
        self.server.run("docker stop -t 0 nginx-stand-in", check=False)
        done = self.laptop.vru("setup", *options, check=check)
        self.server.run("docker start nginx-stand-in", check=False)
        return done.stdout + done.stderr

    def everything_is_as_it_should_be(self, expected: Sequence[int] = OPEN, last: int = SOME) -> None:
        """Exactly these ports and the neighbour's answer; all that must not answer does listen."""
        self.server.run("python3 /root/wait.py 80 3000 3001 8000 9999 " + " ".join(map(str, STRANGERS)))
        wanted = sorted([*expected, NEIGHBOUR])
        assert self.stranger.scan(*self.addresses, last=last) == dict.fromkeys(self.addresses, wanted)

    def rules(self) -> list[str]:
        """All rules, IPv4 and IPv6, without the counters."""
        text = self.server.run("iptables-save -t filter; ip6tables-save -t filter")
        return [line for line in text.splitlines() if line.startswith("-A")]

    def audit(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.server.read("/opt/vru-platform/state/audit.jsonl").splitlines()]


@pytest.fixture(scope="module")
def house(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    docker("network", "rm", NETWORK, check=False)
    docker("network", "create", "--ipv6", f"--subnet={SUBNET}", f"--subnet={SUBNET6}", NETWORK)
    people: list[Internet] = []
    server = BareServer("vru-firewall", address=ADDRESS, ports=(22, 80, 2222, 3000, 3001, 8000), network=NETWORK)
    try:
        people += [Internet(f"{server.name}-{who}", f"--network={NETWORK}") for who in ("stranger", "monitor")]
        with server:
            yield prepare(server, people, tmp_path_factory)
    finally:
        for one in people:
            docker("rm", "--force", one.name, check=False)
        docker("network", "rm", NETWORK, check=False)


def prepare(server: BareServer, people: list[Internet], tmp: pytest.TempPathFactory) -> House:
    root, home = tmp.mktemp("project"), tmp.mktemp("home")
    copy_project(root)
    (home / ".ssh").mkdir(mode=0o700)
    shutil.copy2(server.key_path, home / ".ssh" / "id_ed25519")
    laptop = Laptop(root, home, server)
    laptop.vru("init", "--host", ADDRESS)
    networks = json.loads(docker("inspect", server.name))[0]["NetworkSettings"]["Networks"][NETWORK]
    house = House(server, laptop, *people, (networks["IPAddress"], networks["GlobalIPv6Address"]))
    v4, v6 = house.monitor.addresses(NETWORK)
    house.set(VRU_MONITORING_ALLOW=f"{v4}/32,{v6}/128")
    house.setup("--accept-host-key", server.host_key_fingerprint())
    server.write("/root/listen.py", LISTEN.encode())
    server.write("/root/wait.py", WAIT.encode())
    server.write("/etc/systemd/system/strangers.service", STRANGERS_UNIT.encode())
    server.run("systemctl enable --now strangers.service")
    publish = " ".join(f"-p {port}:{port}" for port in (80, 3000, 3001, 8000))
    # It answers on each of the ports by itself, as nginx does.
    serve = "; ".join(f"python -m http.server {port} & true" for port in (80, 3000, 3001, 8000))
    server.run(f"docker run -d --init --restart=always --name nginx-stand-in {publish} {IMAGE} sh -c '{serve}; wait'")
    server.run(
        f"docker run -d --init --restart=always --name neighbour -p {NEIGHBOUR}:80 {IMAGE} python -m http.server 80"
    )
    # The watchdog looks every minute; it looks now.
    server.run("vru-platform heal")
    return house


def test_exactly_the_allowed_ports_answer_over_ipv4_and_ipv6(house: House) -> None:
    house.everything_is_as_it_should_be(last=ALL)
    for address in house.addresses:
        assert house.monitor.reaches(address, GRAFANA)
        assert not house.stranger.reaches(address, GRAFANA)
        assert not house.monitor.reaches(address, 5432)


def test_the_rules_outlive_docker_a_flush_and_a_reboot(house: House) -> None:
    rules = set(house.rules())
    house.server.run("systemctl restart docker && docker start nginx-stand-in neighbour")
    house.everything_is_as_it_should_be()

    with watchdog_asleep(house.server):
        house.server.run("iptables -F DOCKER-USER; ip6tables -F DOCKER-USER; iptables -F INPUT; ip6tables -F VRU-INPUT")
        assert house.stranger.reaches(house.addresses[0], GRAFANA)
        assert "firewall rules were missing and are back" in house.server.run("vru-platform heal")
    house.everything_is_as_it_should_be()

    house.server.restart()
    house.server.run("python3 /root/wait.py 3001 9999")
    # Until the watchdog looks for the first time, only what the proxy serves for the neighbour is still shut.
    assert not house.stranger.reaches(house.addresses[0], GRAFANA)
    house.server.run("vru-platform heal")
    house.everything_is_as_it_should_be(last=ALL)
    # Addresses of containers may differ; ours are all there.
    assert {rule for rule in rules if "VRU" in rule} <= set(house.rules())


def test_ssh_on_another_port_locks_nobody_out(house: House) -> None:
    with watchdog_asleep(house.server):
        house.server.write("/etc/ssh/sshd_config.d/port.conf", b"Port 2222\n")
        house.server.run("systemctl restart ssh")
        assert not house.stranger.reaches(house.addresses[0], 2222)
        # The watchdog, which looks every minute, sees that sshd has moved.
        house.server.run("vru-platform heal")
    house.set(VRU_SSH_PORT="2222")
    house.setup("--accept-host-key", house.server.host_key_fingerprint())
    house.everything_is_as_it_should_be([80, 2222, 3000, 8000])

    # The same by ssh.socket, as on Ubuntu, and as a user with sudo.
    house.server.write("/etc/systemd/system/ssh.socket.d/port.conf", b"[Socket]\nListenStream=\nListenStream=2222\n")
    house.server.run("rm /etc/ssh/sshd_config.d/port.conf && systemctl daemon-reload")
    house.server.run("systemctl disable -q --now ssh.service; systemctl enable -q --now ssh.socket")
    house.set(VRU_SSH_USER="debian")
    house.setup()
    house.everything_is_as_it_should_be([80, 2222, 3000, 8000])

    # And back.
    house.server.run("systemctl disable -q --now ssh.socket; rm -r /etc/systemd/system/ssh.socket.d")
    # What the socket unit started holds its port until it is stopped.
    house.server.run("systemctl daemon-reload; systemctl stop ssh.service; systemctl enable -q --now ssh.service")
    house.server.run("vru-platform heal")
    house.set(VRU_SSH_PORT="22", VRU_SSH_USER="root")
    house.setup()
    house.everything_is_as_it_should_be()


@contextmanager
def shut_out(house: House) -> Iterator[None]:
    """Set up, with the laptop shut out before it can confirm: in the block the rules stand, after it they do not."""
    for path, text in SHUT_OUT.items():
        house.server.write(path, text.encode())
    house.server.run("systemctl daemon-reload && systemctl start shut-out.path")
    assert "shut us out" in house.setup(check=False)
    yield
    house.server.run("systemctl stop shut-out.path shut-out.service && iptables -D INPUT 1")
    deadline = time.monotonic() + 150
    while "taken back" not in house.audit()[-1]["detail"]:
        assert time.monotonic() < deadline, house.audit()[-3:]
        time.sleep(1)


def test_rules_that_the_laptop_cannot_confirm_are_taken_back(house: House) -> None:
    before = house.rules()
    v4, _ = house.monitor.addresses(NETWORK)
    house.set(VRU_MONITORING_ALLOW=f"{v4}/32,10.99.0.0/16")
    started = time.monotonic()
    with shut_out(house):
        assert "10.99.0.0/16" in "\n".join(house.rules())
    print(f"taken back after {time.monotonic() - started:.0f} s")
    assert house.rules() == before
    assert "nobody confirmed in 90 s" in house.server.run("journalctl -o cat -u vru-firewall-revert.service")
    # Nobody is locked out, and what was meant can be tried again.
    house.setup()
    assert "10.99.0.0/16" in "\n".join(house.rules())
    _, v6 = house.monitor.addresses(NETWORK)
    house.set(VRU_MONITORING_ALLOW=f"{v4}/32,{v6}/128")
    house.setup()
    assert house.rules() == before


def test_ufw_and_the_platform_keep_the_door_together(house: House) -> None:
    house.server.run("apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y ufw")
    house.server.run("ufw allow 22/tcp && ufw deny 7777/tcp && ufw --force enable")
    with shut_out(house):
        assert "80/tcp" in house.server.run("ufw status")
    status = house.server.run("ufw status")
    assert not any(f"{port}/tcp" in status for port in OPEN if port != 22)
    assert "22/tcp" in status
    house.setup()
    status = house.server.run("ufw status")
    assert all(f"{port}/tcp" in status for port in OPEN)
    assert "7777/tcp" in status
    jumps = [rule for rule in house.rules() if rule.startswith("-A INPUT")]
    assert not any("VRU-INPUT" in rule for rule in jumps)
    # ufw knows nothing of the neighbour, whose port Docker's proxy serves over IPv6; that is its owner's choice.
    v4, v6 = house.addresses
    assert house.stranger.scan(v4, v6, last=SOME) == {v4: [*OPEN, NEIGHBOUR], v6: OPEN}
    assert house.monitor.reaches(v4, GRAFANA)

    house.server.run("ufw disable")
    house.setup()
    assert any("VRU-INPUT" in rule for rule in house.rules() if rule.startswith("-A INPUT"))
    house.everything_is_as_it_should_be()


def test_the_whole_platform_shows_its_four_ports_and_no_more(deployed: Laptop) -> None:
    stranger = Internet(f"{deployed.server.name}-stranger")
    try:
        address = deployed.server.inner_address()
        assert stranger.scan(address) == {address: OPEN}
    finally:
        docker("rm", "--force", stranger.name, check=False)
