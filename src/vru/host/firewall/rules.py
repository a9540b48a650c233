"""Firewall rules as text: what iptables should hold, in the very form in which ``iptables-save`` prints it.

Three chains are ours. ``VRU-INPUT`` judges what comes to the server itself; ``VRU-DOCKER`` what comes to published
ports of containers, which Docker leads past INPUT (and past ufw). ``VRU-NEIGHBOURS``, which VRU-INPUT asks last, lets
through what the published ports of other people's containers need: where Docker serves a port by its proxy (IPv6, as a
rule) the packets do come through INPUT. Everything else in the tables belongs to others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

INPUT_CHAIN = "VRU-INPUT"
DOCKER_CHAIN = "VRU-DOCKER"
NEIGHBOUR_CHAIN = "VRU-NEIGHBOURS"
# Interfaces behind which this server's own containers are; what comes from there is not "from outside".
BRIDGES = ("docker0", "br-+")
# The program with which Docker serves a published port that no rule leads to the container.
PROXY = "docker-proxy"
_DROPS = ("DROP", "REJECT")


@dataclass(frozen=True)
class Policy:
    """Open to all, open to some networks, and whether everything else is refused.

    With ``judge_input`` false the server's own firewall (ufw) judges INPUT and only Docker's ports are ours.

    ``published`` are those of them that containers serve. Docker leads IPv4 to them past INPUT, which lets nothing
    through to them: when Docker starts again its rules are missing for a moment, and while a packet that was dropped
    is sent again a second later, one that INPUT lets through finds nobody and the connection is refused.

    ``own`` are ports of the server's own programs, ``("tcp", 25)``, which stood open before the first rules.
    """

    open: tuple[int, ...]
    restricted: Mapping[int, tuple[str, ...]]
    judge_input: bool = True
    published: tuple[int, ...] = ()
    own: tuple[tuple[str, int], ...] = ()

    def as_json(self) -> dict[str, object]:
        """For the state file."""
        return {
            "open": list(self.open),
            "restricted": {str(port): list(networks) for port, networks in self.restricted.items()},
            "judge_input": self.judge_input,
            "published": list(self.published),
            "own": [f"{protocol}/{port}" for protocol, port in self.own],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, object]) -> Policy:
        """From the state file."""
        ports, restricted = raw["open"], raw["restricted"]
        published, own = raw.get("published", []), raw.get("own", [])
        if (
            not isinstance(ports, list)
            or not isinstance(restricted, dict)
            or not isinstance(published, list)
            or not isinstance(own, list)
        ):
            raise ValueError("the firewall's state file is damaged")  # noqa: TRY004 - a value, not a programming error
        return cls(
            tuple(int(port) for port in ports),
            {int(port): tuple(networks) for port, networks in restricted.items()},
            bool(raw["judge_input"]),
            tuple(int(port) for port in published),
            tuple((protocol, int(port)) for protocol, _, port in (text.partition("/") for text in own)),
        )

    def only_open(self) -> list[int]:
        """Open ports that are not restricted as well (a restriction wins)."""
        return sorted(set(self.open) - set(self.restricted))


@dataclass(frozen=True, order=True)
class Listener:
    """An open socket: ``tcp`` or ``udp``, its address (empty: all), its port, and the program behind it if known."""

    protocol: str
    address: str
    port: int
    process: str = ""

    @property
    def version(self) -> int:
        """4 or 6. A socket on all addresses without a family (``*``) is one of IPv6 that takes both."""
        return 6 if ":" in self.address or self.address in ("", "*") else 4

    @property
    def outside(self) -> bool:
        """Whether it can be reached from outside at all."""
        return not (self.address.startswith("127.") or self.address in ("::1", "localhost"))


@dataclass(frozen=True)
class Table:
    """What ``iptables-save -t filter`` says: the rules of each chain, in order, without ``-A CHAIN``."""

    chains: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, text: str) -> Table:
        """Parse the output of ``iptables-save``."""
        chains: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line.startswith(":"):
                chains.setdefault(line[1:].split()[0], [])
            elif line.startswith("-A "):
                _, chain, rule = line.split(" ", 2)
                chains.setdefault(chain, []).append(rule)
        return cls({name: tuple(rules) for name, rules in chains.items()})

    def rules(self, chain: str) -> tuple[str, ...] | None:
        """The rules of a chain; None if there is no such chain."""
        return self.chains.get(chain)

    def jumps(self, source: str, target: str) -> bool:
        """Whether every packet of one chain is led into another."""
        return f"-j {target}" in self.chains.get(source, ())


def _networks(networks: Iterable[str], version: int) -> list[str]:
    parsed = [ipaddress.ip_network(network, strict=False) for network in networks]
    return [str(network) for network in parsed if network.version == version]


def input_rules(policy: Policy, version: int) -> list[str]:
    """The rules of VRU-INPUT for IPv4 or IPv6."""
    icmp = "icmp" if version == 4 else "ipv6-icmp"
    rules = ["-i lo -j ACCEPT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]
    rules += [f"-i {bridge} -j ACCEPT" for bridge in BRIDGES]
    rules.append(f"-p {icmp} -j ACCEPT")
    # Addresses of cloud servers are leases; they must be renewed.
    if version == 4:
        rules.append("-p udp -m udp --sport 67 --dport 68 -j ACCEPT")
    else:
        rules.append("-s fe80::/10 -p udp -m udp --dport 546 -j ACCEPT")
    elsewhere = policy.published if version == 4 else ()
    rules += [f"-p tcp -m tcp --dport {port} -j ACCEPT" for port in policy.only_open() if port not in elsewhere]
    rules += [
        f"-s {network} -p tcp -m tcp --dport {port} -j ACCEPT"
        for port, networks in sorted(policy.restricted.items())
        for network in _networks(networks, version)
        if port not in elsewhere
    ]
    rules += [f"-p {protocol} -m {protocol} --dport {port} -j ACCEPT" for protocol, port in policy.own]
    return [*rules, f"-j {NEIGHBOUR_CHAIN}", "-j DROP"]


def neighbour_rules(policy: Policy, listeners: Iterable[Listener], version: int) -> list[str]:
    """The rules of VRU-NEIGHBOURS: the ports that Docker's proxy serves for containers that are not ours."""
    ours = {*policy.open, *policy.restricted}
    rules = set()
    for listener in listeners:
        if listener.process != PROXY or listener.version != version or not listener.outside or listener.port in ours:
            continue
        everywhere = listener.address in ("", "*", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
        where = "" if everywhere else f"-d {ipaddress.ip_network(listener.address)} "
        protocol = listener.protocol
        rules.add(f"{where}-p {protocol} -m {protocol} --dport {listener.port} -j ACCEPT")
    return sorted(rules)


def docker_rules(policy: Policy, version: int) -> list[str]:
    """The rules of VRU-DOCKER: only new connections from outside to restricted published ports are refused.

    ``ctorigdstport`` is the port before Docker rewrote it to the container's. Containers' own traffic, and ports that
    other people's containers publish, return to Docker's rules.
    """
    rules = ["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"]
    rules += [f"-i {bridge} -j RETURN" for bridge in BRIDGES]
    for port, networks in sorted(policy.restricted.items()):
        rules += [
            f"-s {network} -p tcp -m conntrack --ctorigdstport {port} -j RETURN"
            for network in _networks(networks, version)
        ]
        rules.append(f"-p tcp -m conntrack --ctstate DNAT --ctorigdstport {port} -j DROP")
    return rules


def place_of_jump(table: Table) -> int | None:
    """Where the jump into VRU-INPUT goes: before the first rule that refuses everything; None is the end.

    Others' rules come first: what they allow stays allowed, whom they ban stays banned.
    """
    for number, rule in enumerate(table.rules("INPUT") or (), start=1):
        words = rule.split()
        if len(words) >= 2 and words[0] == "-j" and words[1] in _DROPS:
            return number
    return None


def script(policy: Policy, table: Table, version: int, listeners: Iterable[Listener] | None = None) -> str:
    """Input for ``iptables-restore --noflush`` that makes the table as the policy says, in one step; empty if it is.

    ``listeners`` are those of now, for the neighbours' chain; without them that chain stays as it is, as other people's
    containers come and go without any change of the policy.
    """
    wanted_input = input_rules(policy, version) if policy.judge_input else None
    wanted_docker = docker_rules(policy, version)
    chains: list[str] = []
    rules: list[str] = []
    if wanted_input is not None:
        there = table.rules(NEIGHBOUR_CHAIN)
        neighbours = None if listeners is None else neighbour_rules(policy, listeners, version)
        if there is None or (neighbours is not None and sorted(there) != neighbours):
            chains.append(f":{NEIGHBOUR_CHAIN} - [0:0]")
            rules += [f"-A {NEIGHBOUR_CHAIN} {rule}" for rule in neighbours or ()]
        if table.rules(INPUT_CHAIN) != tuple(wanted_input):
            chains.append(f":{INPUT_CHAIN} - [0:0]")
            rules += [f"-A {INPUT_CHAIN} {rule}" for rule in wanted_input]
        if not table.jumps("INPUT", INPUT_CHAIN):
            place = place_of_jump(table)
            rules.append(f"-A INPUT -j {INPUT_CHAIN}" if place is None else f"-I INPUT {place} -j {INPUT_CHAIN}")
    else:
        for source, target in _INPUT_LINKS:
            removed, lines = _removal(table, source, target)
            chains += removed
            rules += lines
    if table.rules(DOCKER_CHAIN) != tuple(wanted_docker):
        chains.append(f":{DOCKER_CHAIN} - [0:0]")
        rules += [f"-A {DOCKER_CHAIN} {rule}" for rule in wanted_docker]
    if table.rules("DOCKER-USER") is None:
        # Docker finds this chain when it starts and keeps what is in it.
        chains.append(":DOCKER-USER - [0:0]")
    if not table.jumps("FORWARD", "DOCKER-USER"):
        rules.append("-I FORWARD 1 -j DOCKER-USER")
    if not table.jumps("DOCKER-USER", DOCKER_CHAIN):
        rules.append(f"-I DOCKER-USER 1 -j {DOCKER_CHAIN}")
    return _restore(chains, rules)


def differences(policy: Policy, table: Table, version: int) -> list[str]:
    """What `script` would change in our chains, a line each: ``+`` what lacks, ``-`` what is too much."""
    family = f"IPv{version}"
    wanted = {DOCKER_CHAIN: docker_rules(policy, version)}
    jumps = [("FORWARD", "DOCKER-USER"), ("DOCKER-USER", DOCKER_CHAIN)]
    if policy.judge_input:
        wanted[INPUT_CHAIN] = input_rules(policy, version)
        jumps.append(("INPUT", INPUT_CHAIN))
    said = []
    for chain, rules in sorted(wanted.items()):
        there = table.rules(chain) or ()
        said += [f"+ {family} {chain} {rule}" for rule in rules if rule not in there]
        said += [f"- {family} {chain} {rule}" for rule in there if rule not in rules]
        if not said and tuple(rules) != tuple(there):
            said.append(f"~ {family} {chain} the order of its rules")
    return said + [f"+ {family} {source} -j {target}" for source, target in jumps if not table.jumps(source, target)]


def removal_script(table: Table) -> str:
    """Input for ``iptables-restore --noflush`` that takes everything of ours out; empty if nothing is there."""
    chains: list[str] = []
    rules: list[str] = []
    for source, target in (*_INPUT_LINKS, ("DOCKER-USER", DOCKER_CHAIN)):
        removed, lines = _removal(table, source, target)
        chains += removed
        rules += lines
    return _restore(chains, rules)


# A chain that is removed is emptied first, and with it its jumps into the next one.
_INPUT_LINKS = (("INPUT", INPUT_CHAIN), (INPUT_CHAIN, NEIGHBOUR_CHAIN))


def _removal(table: Table, source: str, target: str) -> tuple[list[str], list[str]]:
    if table.rules(target) is None:
        return [], []
    rules = [f"-D {source} -j {target}"] if source != INPUT_CHAIN and table.jumps(source, target) else []
    return [f":{target} - [0:0]"], [*rules, f"-X {target}"]


def _restore(chains: list[str], rules: list[str]) -> str:
    if not chains and not rules:
        return ""
    return "\n".join(["*filter", *chains, *rules, "COMMIT", ""])
