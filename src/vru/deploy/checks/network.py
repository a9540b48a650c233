"""Faults of the network, of SSH and of firewalls."""

import ipaddress
import re
from collections.abc import Iterator

from vru.deploy.checks.evidence import Evidence
from vru.deploy.checks.fault import Fault, Faults
from vru.host.wire import Check

# Under this name our own nginx's published ports show up on the server.
OUR_LISTENER = "docker-proxy"
_PROJECT = "vru-platform"
_BRIDGE = re.compile(r"docker0|br-.+")
_FEW_SESSIONS, _FEW_STARTUPS = 10, 10
_SSHD = "/etc/ssh/sshd_config.d/00-vru.conf"
_FULL = 0.9

fault = Faults()


def listeners(seen: Evidence) -> dict[int, str]:
    """TCP port -> process, of all sockets that listen; loopback counts too, as a port is bound on all addresses."""
    found: dict[int, str] = {}
    for port, process in seen.facts.listening:
        found.setdefault(port, process or "another process")
    return found


@fault(
    "port",
    "Another program listens on one of the platform's ports.",
    "ss -ltnp 'sport = :{port}' shows it: stop it, or choose another port in .env.production",
)
def _ports(this: Fault, seen: Evidence) -> Iterator[Check]:
    found = listeners(seen)
    for port in sorted(seen.settings().published_ports):
        owner = found.get(port)
        if owner is None or (seen.deployed and owner == OUR_LISTENER):
            yield this.ok(name=f"port {port}")
        else:
            yield this.problem(f"Port {port} on the server is taken by {owner}.", name=f"port {port}", port=port)


@fault(
    "foreign container",
    "A container that is not the platform's publishes one of its ports.",
    "docker stop {container}, or choose another port in .env.production",
)
def _foreign_container(this: Fault, seen: Evidence) -> Iterator[Check]:
    wanted = set(seen.settings().published_ports)
    wrong = []
    for line in seen.lines("containers") if seen.docker_installed else ():
        name, state, project, published, *_ = [*line.split("\t"), "", "", "", ""]
        taken = wanted & _published(published)
        if project != _PROJECT and state == "running" and taken:
            wrong.append((name, sorted(taken)))
    for name, taken_ports in wrong:
        shown = ", ".join(map(str, taken_ports))
        yield this.problem(f"Container {name}, which is not the platform's, publishes port {shown}.", container=name)
    if not wrong:
        yield this.ok()


def _published(text: str) -> set[int]:
    """The ports in ``0.0.0.0:3000-3001->3000-3001/tcp, :::80->8080/tcp``."""
    found: set[int] = set()
    for first, last in re.findall(r":(\d+)(?:-(\d+))?->", text):
        found.update(range(int(first), int(last or first) + 1))
    return found


@fault(
    "names",
    "The server cannot resolve names.",
    "resolvectl status; cat /etc/resolv.conf: name a resolver that answers, e.g. nameserver 9.9.9.9",
)
def _names(this: Fault, seen: Evidence) -> Iterator[Check]:
    lost = [line.split()[0] for line in seen.lines("dns") if line.endswith(" no")]
    if lost and not _proxied(seen, "apt"):
        yield this.problem(f"The server cannot resolve {lost[0]}.")
    else:
        yield this.ok()


@fault(
    "route",
    "The server has no default route: it reaches nothing outside its own network.",
    "ip route add default via GATEWAY, and in the network's settings (/etc/netplan, /etc/network/interfaces)",
)
def _route(this: Fault, seen: Evidence) -> Iterator[Check]:
    lines = seen.lines("routes")
    yield this.ok(lines[0].strip()) if lines else this.problem("The server has no default route.")


def _reached(seen: Evidence, key: str) -> tuple[str, bool]:
    where, _, answer = seen.text(key).rpartition(" ")
    return where, answer == "yes"


@fault(
    "packages' source",
    "The server cannot reach its packages' source.",
    "Open the way to it in the firewall, or set a proxy: echo 'Acquire::http::Proxy "
    '"http://PROXY:PORT";\' > /etc/apt/apt.conf.d/90proxy',
)
def _mirror(this: Fault, seen: Evidence) -> Iterator[Check]:
    where, reached = _reached(seen, "mirror")
    if reached:
        yield this.ok(where)
    elif seen.docker_installed:
        yield this.warning(f"{where} does not answer: no updates can be installed.")
    else:
        yield this.problem(f"{where} does not answer, and Docker is still to be installed.")


@fault(
    "image registry",
    "The server cannot reach the registry that the base images come from.",
    'Open the way to it, or name a mirror: "registry-mirrors" in /etc/docker/daemon.json',
)
def _registry(this: Fault, seen: Evidence) -> Iterator[Check]:
    where, reached = _reached(seen, "registry")
    if reached:
        yield this.ok(where)
    elif seen.deployed:
        yield this.warning(f"{where} does not answer: a release with new base images cannot be built.")
    else:
        yield this.problem(f"{where} does not answer: the base images cannot be fetched.")


def _proxied(seen: Evidence, who: str) -> str:
    return next((line.split()[1] for line in seen.lines("proxies") if line.startswith(f"{who} ")), "")


@fault(
    "proxy",
    "A proxy is set for some programs of the server and not for others.",
    'Set it for all: /etc/environment, /etc/apt/apt.conf.d/90proxy, and "proxies" in '
    "/etc/docker/daemon.json; systemctl restart docker",
)
def _proxy(this: Fault, seen: Evidence) -> Iterator[Check]:
    asked = ["environment", "apt", *(["docker"] if seen.docker_installed else [])]
    of = {who: _proxied(seen, who) for who in asked}
    if (
        "docker" in of
        and not of["docker"]
        and any('"http' in line and "-proxy" in line for line in seen.lines("daemon_json"))
    ):
        of["docker"] = "daemon.json"
    given = {who: where for who, where in of.items() if where}
    if given and len(given) < len(of):
        has = ", ".join(f"{who} ({where})" for who, where in given.items())
        lacks = ", ".join(who for who in of if who not in given)
        yield this.warning(f"A proxy is set for {has}, but not for {lacks}.")
    else:
        yield this.ok("the same for all" if given else "none")


@fault(
    "SSH sessions",
    "sshd allows few sessions on one connection: parallel commands are refused.",
    f"echo 'MaxSessions 10' > {_SSHD} && systemctl reload ssh",
)
def _max_sessions(this: Fault, seen: Evidence) -> Iterator[Check]:
    count = int(seen.words("sshd_settings")["maxsessions"])
    if count < 2:
        yield this.problem(f"sshd allows {count} sessions on one connection; vru needs 2 and more.")
    elif count < _FEW_SESSIONS:
        yield this.warning(f"sshd allows {count} sessions on one connection.")
    else:
        yield this.ok(str(count))


@fault(
    "SSH logins at once",
    "sshd drops logins when a few come at once.",
    f"echo 'MaxStartups 10:30:100' >> {_SSHD} && systemctl reload ssh",
)
def _max_startups(this: Fault, seen: Evidence) -> Iterator[Check]:
    shown = seen.words("sshd_settings")["maxstartups"]
    if int(shown.split(":")[0]) < _FEW_STARTUPS:
        yield this.warning(f"sshd begins to drop logins at {shown.split(':')[0]} (MaxStartups {shown}).")
    else:
        yield this.ok(shown)


@fault(
    "SSH forwarding",
    "sshd forwards no ports: `vru tunnel` does not work.",
    f"echo 'AllowTcpForwarding local' >> {_SSHD} && systemctl reload ssh",
)
def _forwarding(this: Fault, seen: Evidence) -> Iterator[Check]:
    said = seen.words("sshd_settings")
    if said.get("disableforwarding") == "yes" or said.get("allowtcpforwarding") in ("no", "remote"):
        yield this.warning("sshd forwards no ports (AllowTcpForwarding, DisableForwarding).")
    else:
        yield this.ok()


@fault("ufw", "ufw is active and refuses one of the platform's ports.", "ufw allow {port}/tcp, or run: vru setup")
def _ufw(this: Fault, seen: Evidence) -> Iterator[Check]:
    lines = seen.lines("ufw_status")
    if "Status: active" not in lines:
        yield this.ok("not active")
        return
    allowed = {int(port) for line in lines for port in re.findall(r"^(\d+)(?:/tcp)?\s+ALLOW", line)}
    settings = seen.settings()
    missing = sorted(set(settings.open_ports) - allowed)
    if missing and seen.deployed:
        shown = ", ".join(map(str, missing))
        yield this.warning(f"ufw is active and does not allow port {shown}.", port=missing[0])
    else:
        yield this.ok("active; vru setup adds its ports")


@fault(
    "firewalld",
    "firewalld is active; the platform leaves it alone.",
    "firewall-cmd --permanent --add-port={port}/tcp for each of the platform's ports; firewall-cmd --reload",
)
def _firewalld(this: Fault, seen: Evidence) -> Iterator[Check]:
    if seen.text("firewalld") == "active":
        yield this.warning(
            "firewalld is active: open the platform's ports there as well.", port=seen.settings().http_port
        )
    else:
        yield this.ok("not active")


@fault(
    "iptables",
    "Rules stand in both of the kernel's systems, old and new: they contradict each other.",
    "update-alternatives --set iptables /usr/sbin/iptables-nft; iptables-legacy-save > /root/rules; "
    "iptables-legacy -F; reboot",
)
def _iptables(this: Fault, seen: Evidence) -> Iterator[Check]:
    version = seen.text("iptables_version")
    if not version:
        if seen.deployed:
            yield this.problem("iptables is not installed; the firewall does not stand. Run: vru setup")
        else:
            yield this.ok("will be installed")
    elif "nf_tables" in version and seen.lines("iptables_legacy"):
        yield this.warning("iptables is the new one, but old rules (iptables-legacy) stand as well.")
    else:
        yield this.ok(version)


@fault("platform's firewall", "The platform's firewall rules are gone.", "vru setup")
def _own_rules(this: Fault, seen: Evidence) -> Iterator[Check]:
    if not seen.deployed:
        yield this.ok("will be made")
        return
    needed = {f"{name} {chain}" for name in ("iptables", "ip6tables") for chain in ("VRU-DOCKER", "DOCKER-USER")}
    if "Status: active" not in seen.lines("ufw_status"):
        needed |= {f"{name} VRU-INPUT" for name in ("iptables", "ip6tables")}
    missing = sorted(needed - set(seen.lines("iptables_jumps")))
    if missing:
        yield this.problem(f"The rules do not stand: no jump into {missing[0].split()[1]} ({missing[0].split()[0]}).")
    else:
        yield this.ok()


@fault(
    "forwarding",
    "The kernel forwards no packets: containers reach nothing, and nobody reaches them.",
    "sysctl -w net.ipv4.ip_forward=1, and remove the line that says 0 from /etc/sysctl.conf or /etc/sysctl.d",
)
def _ip_forward(this: Fault, seen: Evidence) -> Iterator[Check]:
    value = seen.words("settings")["net/ipv4/ip_forward"]
    if value == "1" or not seen.docker_installed:
        yield this.ok("on" if value == "1" else "Docker turns it on")
    else:
        yield this.problem("net.ipv4.ip_forward is 0.")


@fault(
    "connection table",
    "The kernel's table of connections is nearly full or missing: connections are dropped.",
    "sysctl -w net.netfilter.nf_conntrack_max=262144; modprobe nf_conntrack",
)
def _connection_table(this: Fault, seen: Evidence) -> Iterator[Check]:
    said = seen.words("settings")
    name = "net/netfilter/nf_conntrack_max"
    if name not in said:
        if seen.deployed:
            yield this.problem("The kernel has no nf_conntrack: Docker's ports and the firewall need it.")
        else:
            yield this.ok("Docker loads it")
        return
    used, most = int(said["net/netfilter/nf_conntrack_count"]), int(said[name])
    if used > most * _FULL:
        yield this.warning(f"{used} of {most} connections are in use.")
    else:
        yield this.ok(f"{used} of {most}")


@fault(
    "IPv6",
    "Users are told an IPv6 address that the server does not serve.",
    "Set VRU_EXTERNAL_IP to an IPv4 address; or turn IPv6 on (sysctl -w "
    "net.ipv6.conf.all.disable_ipv6=0) and set VRU_PUBLISH_ADDRESS=::",
)
def _ipv6(this: Fault, seen: Evidence) -> Iterator[Check]:
    settings = seen.settings()
    published = settings["VRU_PUBLISH_ADDRESS"]
    if ":" in published and not seen.lines("addresses"):
        yield this.problem(f"VRU_PUBLISH_ADDRESS is {published}, but the server has no IPv6 address.")
    elif ":" in settings.external_ip and ":" not in published:
        yield this.problem(
            f"The platform's address {settings.external_ip} is IPv6, but nginx listens on {published} only."
        )
    else:
        yield this.ok()


@fault(
    "uplink's name",
    "The server's uplink is named as Docker names its bridges: the firewall takes what comes over it for "
    "its own containers.",
    "Give the bridge another name, such as uplink0, in /etc/netplan or /etc/network/interfaces",
)
def _uplink(this: Fault, seen: Evidence) -> Iterator[Check]:
    devices = _uplinks(seen)
    wrong = [device for device in devices if _BRIDGE.fullmatch(device)]
    if wrong:
        yield this.problem(f"The default route leads over {wrong[0]}, a name like those of Docker's bridges.")
    else:
        yield this.ok(", ".join(devices))


def _uplinks(seen: Evidence) -> list[str]:
    return sorted({match[1] for line in seen.lines("routes") if (match := re.search(r"\bdev (\S+)", line))})


@fault(
    "networks",
    "A network of the server overlaps the one that nginx gets: one of them is not reached.",
    "Set VRU_EDGE_SUBNET in .env.production to a network that nobody uses, e.g. 172.29.77.0/24",
)
def _overlap(this: Fault, seen: Evidence) -> Iterator[Check]:
    mine = ipaddress.ip_network(seen.settings()["VRU_EDGE_SUBNET"])
    for line in seen.lines("networks"):
        words = line.removeprefix("unreachable ").removeprefix("blackhole ").split()
        if words[0] == "default" or re.search(r"\bdev (br-[0-9a-f]{12})\b", line):
            continue
        other = ipaddress.ip_network(words[0], strict=False)
        if other.overlaps(mine):
            yield this.problem(f"The server's network {other} overlaps VRU_EDGE_SUBNET, {mine}.")
            return
    yield this.ok(str(mine))


@fault(
    "packet size",
    "The network takes smaller packets than containers send: large answers hang.",
    'Set "mtu": {mtu} in /etc/docker/daemon.json; systemctl restart docker',
)
def _packet_size(this: Fault, seen: Evidence) -> Iterator[Check]:
    sizes = {
        match[1]: int(match[2])
        for line in seen.lines("links")
        if (match := re.match(r"\d+: ([^:@]+)\S* .*?\bmtu (\d+)", line))
    }
    small = {device: sizes[device] for device in _uplinks(seen) if sizes.get(device, 1500) < 1500}
    if small and not any('"mtu"' in line for line in seen.lines("daemon_json")):
        device, mtu = next(iter(small.items()))
        yield this.warning(f"{device} takes packets of {mtu} bytes; Docker's networks send 1500.", mtu=mtu)
    else:
        yield this.ok()


NEEDED = (_ports,)
