"""The firewall: the server's own ports and Docker's published ones, IPv4 and IPv6, taken back unless confirmed.

A change is armed before it is made: a timer runs ``vru-platform firewall-revert`` after 90 s, and only
``vru-platform firewall-confirm``, called over a new connection, stops it. What was confirmed comes back at each boot
(``vru-firewall.service``), before Docker publishes anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..base.change import Change
from ..base.disk import write_atomic
from ..base.host import DEFAULT_ROOT, PROGRAM, Host
from ..base.journal import Step
from ..firewall import ufw
from ..firewall.confirmation import CONFIRM_S, VERSIONS, apply_policy, arm, load, pending
from ..firewall.rules import PROXY, Listener, Policy, Table, differences, script
from ..firewall.sockets import sockets, ssh_ports, sshd_settings, tcp_ports
from ..wire import FirewallEntry

UNIT = "vru-firewall.service"
UNIT_PATH = Path("/etc/systemd/system") / UNIT
_WANTED = Path("/etc/systemd/system/multi-user.target.wants") / UNIT
_UNIT_TEXT = f"""[Unit]
Description=VRU Platform: firewall rules
DefaultDependencies=no
After=local-fs.target
Before=network-pre.target docker.service
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={PROGRAM} firewall-apply
TimeoutStartSec=60
# What it gives up (see templates/system/hardening.j2). It keeps what iptables needs, also for loading the kernel's
# modules at boot, and where ufw is in charge, ufw's files. No PrivateTmp: that waits for more than is there so early.
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={DEFAULT_ROOT} /run -/etc/ufw -/var/lib/ufw
ProtectHome=read-only
PrivateDevices=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service @module
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_MODULE CAP_SYS_PTRACE CAP_DAC_READ_SEARCH
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
IPAddressDeny=any

[Install]
WantedBy=multi-user.target
"""
# What the rules let through for the lease of the server's own address.
_LEASE_PORTS = (68, 546)
# Where Linux begins to give out ports to programs that ask for any (net.ipv4.ip_local_port_range).
_EPHEMERAL = 32768


@dataclass(frozen=True)
class FirewallFacts:
    """The tables as they are, where sshd listens, what else does, and whether ufw or firewalld is in charge."""

    tables: Mapping[int, Table | None]
    ssh_ports: frozenset[int]
    sockets: tuple[Listener, ...]
    ufw_active: bool
    ufw_allowed: frozenset[int]
    firewalld_active: bool
    unit_current: bool
    confirmed: Policy | None

    @property
    def listeners(self) -> Mapping[int, str]:
        """TCP port -> process, for what can be reached from outside."""
        return tcp_ports(self.sockets)


def facts(host: Host) -> FirewallFacts:
    """Read the tables, sshd's ports and the state of other firewalls."""
    tables: dict[int, Table | None] = {}
    for version, program in VERSIONS:
        done = host.run([f"{program}-save", "-t", "filter"], check=False)
        tables[version] = Table.parse(done.out) if done.ok else None
    found = sockets(host)
    ufw_says = ufw.status(host)
    firewalld = host.run(["systemctl", "is-active", "firewalld.service"], check=False).out.strip()
    return FirewallFacts(
        tables=tables,
        ssh_ports=ssh_ports(*sshd_settings(host), tcp_ports(found)),
        sockets=found,
        ufw_active=ufw.is_active(ufw_says),
        ufw_allowed=ufw.allowed(ufw_says),
        firewalld_active=firewalld == "active",
        unit_current=UNIT_PATH.exists() and UNIT_PATH.read_text() == _UNIT_TEXT and _WANTED.is_symlink(),
        confirmed=load(host, "confirmed"),
    )


def policy(entry: FirewallEntry, actual: FirewallFacts) -> Policy:
    """What should hold: the release's ports and, whatever it says, the ports where SSH is reached now.

    What the server's own programs listen on when the first rules are made stays open, unless the operator agreed to
    closing it.
    """
    if entry.close_others:
        own: tuple[tuple[str, int], ...] = ()
    elif actual.confirmed is not None:
        own = actual.confirmed.own
    else:
        own = tuple((one.protocol, one.port) for one in _strangers(entry, actual) if _serves(one))
    known = {*entry.open, *entry.restricted, *entry.ssh_ports, *actual.ssh_ports}
    return Policy(
        own=tuple(sorted({(protocol, port) for protocol, port in own if protocol != "tcp" or port not in known})),
        open=tuple(sorted({*entry.open, *entry.ssh_ports, *actual.ssh_ports})),
        restricted=entry.restricted,
        judge_input=not actual.ufw_active,
        published=tuple(sorted({*entry.open, *entry.restricted} - {*entry.ssh_ports, *actual.ssh_ports})),
    )


def _strangers(entry: FirewallEntry, actual: FirewallFacts) -> list[Listener]:
    """What can be reached from outside and is neither the platform's, nor SSH, nor another container's."""
    known = {("tcp", port) for port in (*entry.open, *entry.restricted, *entry.ssh_ports, *actual.ssh_ports)}
    known |= {("udp", port) for port in _LEASE_PORTS}
    # Ports that other people's containers publish stay open: Docker's proxy is no stranger.
    return [one for one in actual.sockets if one.process != PROXY and (one.protocol, one.port) not in known]


def _serves(one: Listener) -> bool:
    """Whether a socket waits for others. A program's UDP socket on a high port is its way of asking (DNS, time)."""
    return one.protocol == "tcp" or one.port < _EPHEMERAL or not one.process


def changes(host: Host, entry: FirewallEntry, actual: FirewallFacts) -> Iterator[Change]:
    """One change for all rules (they are taken back together), and the unit that brings them back at boot."""
    wanted = policy(entry, actual)
    tables = {version: table for version, table in actual.tables.items() if table is not None}
    differs = [version for version, table in tables.items() if script(wanted, table, version)]
    # Before iptables is installed there are no tables to read, yet the rules are certainly needed.
    if differs or not tables or actual.confirmed != wanted:
        ports = ", ".join(str(port) for port in wanted.only_open())
        limited = ", ".join(str(port) for port, networks in sorted(wanted.restricted.items()) if networks)
        shut = ", ".join(str(port) for port, networks in sorted(wanted.restricted.items()) if not networks)
        words = [f"open: {ports}", *([f"for some networks only: {limited}"] if limited else [])]
        words += [f"for nobody: {shut}"] if shut else []
        own = ", ".join(f"{protocol} {port}" for protocol, port in wanted.own)
        words += [f"of the server's own: {own}"] if own and wanted.judge_input else []
        detail = f"{'; '.join(words)}; taken back unless confirmed in {CONFIRM_S} s"
        lines = [line for version, table in tables.items() for line in differences(wanted, table, version)]
        if actual.confirmed is not None and actual.confirmed != wanted:
            lines.append(f"~ what returns at boot: {_describe(actual.confirmed)} -> {_describe(wanted)}")
        yield Change("firewall", "rules", "update", detail, partial(_apply, host, wanted), tuple(lines))
    allow = sorted(set(wanted.only_open()) - actual.ufw_allowed) if actual.ufw_active else []
    if allow:
        ports = ", ".join(str(port) for port in allow)
        yield Change("firewall", "ufw", "update", f"allow {ports}", partial(_allow_in_ufw, host, allow))
    if not actual.unit_current:
        action = "update" if UNIT_PATH.exists() else "create"
        yield Change("unit", UNIT, action, "rules at boot", partial(_install_unit, host))


def _describe(one: Policy) -> str:
    limited = {port: ", ".join(networks) or "nobody" for port, networks in sorted(one.restricted.items())}
    shown = "".join(f", {port} for {networks}" for port, networks in limited.items())
    own = "".join(f", {protocol} {port} of the server's own" for protocol, port in one.own)
    return f"open {', '.join(str(port) for port in one.only_open())}{shown}{own}"


def notes(entry: FirewallEntry, actual: FirewallFacts) -> list[str]:
    """What an administrator should know before the rules stand."""
    said = []
    wanted = policy(entry, actual)
    before = actual.confirmed
    if wanted.judge_input and (before is None or set(before.own) - set(wanted.own)):
        listening = {(one.protocol, one.port): one.process for one in _strangers(entry, actual) if _serves(one)}
        said += [
            f"{'UDP port' if protocol == 'udp' else 'Port'} {port} ({process or 'some process'}) "
            + ("stays open, as it is." if (protocol, port) in wanted.own else "will no longer be reached from outside.")
            for (protocol, port), process in sorted(listening.items())
            if before is None or (protocol, port) in before.own
        ]
    if actual.firewalld_active:
        said.append("firewalld is active and is left alone: open the platform's ports there as well.")
    return said


def _apply(host: Host, wanted: Policy, step: Step) -> None:
    arm(host, wanted)
    apply_policy(host, wanted)
    step.confirm_within = CONFIRM_S
    step.log(f"the rules stand; they are taken back in {CONFIRM_S} s unless they are confirmed over a new connection")


def confirmed(host: Host, entry: FirewallEntry) -> bool:
    """Whether the rules that a release wants stand and were confirmed."""
    return not any(change.resource == "firewall" for change in changes(host, entry, facts(host)))


def _allow_in_ufw(host: Host, ports: Sequence[int], step: Step) -> None:
    ufw.allow(host, ports, unconfirmed=pending(host))


def _install_unit(host: Host, step: Step) -> None:
    write_atomic(UNIT_PATH, _UNIT_TEXT.encode(), 0o644)
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "enable", UNIT])
