"""The firewall: the server's own ports and Docker's published ones, IPv4 and IPv6, taken back unless confirmed.

A change is armed before it is made: a timer runs ``vru-platform firewall-revert`` after 90 s, and only
``vru-platform firewall-confirm``, called over a new connection, stops it. What was confirmed comes back at each boot
(``vru-firewall.service``), before Docker publishes anything.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..change import Change
from ..disk import read_json, write_atomic, write_json
from ..host import PROGRAM, Host
from ..journal import Step
from ..manifest import FirewallEntry
from ..program import own_command
from ..rules import PROXY, Listener, Policy, Table, differences, removal_script, script

CONFIRM_S = 90
UNIT = "vru-firewall.service"
TIMER = "vru-firewall-revert"
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

[Install]
WantedBy=multi-user.target
"""
_UFW_ACTIVE = "Status: active"
_VERSIONS = ((4, "iptables"), (6, "ip6tables"))
# What the rules let through for the lease of the server's own address.
_LEASE_PORTS = (68, 546)


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
    for version, program in _VERSIONS:
        done = host.run([f"{program}-save", "-t", "filter"], check=False)
        tables[version] = Table.parse(done.out) if done.ok else None
    found = sockets(host)
    ufw = _ufw_status(host)
    firewalld = host.run(["systemctl", "is-active", "firewalld.service"], check=False).out.strip()
    return FirewallFacts(
        tables=tables,
        ssh_ports=ssh_ports(*_sshd_settings(host), tcp_ports(found)),
        sockets=found,
        ufw_active=_UFW_ACTIVE in ufw,
        ufw_allowed=frozenset(int(port) for port in re.findall(r"^(\d+)/tcp\s+ALLOW\s+Anywhere\s*$", ufw, re.M)),
        firewalld_active=firewalld == "active",
        unit_current=UNIT_PATH.exists() and UNIT_PATH.read_text() == _UNIT_TEXT and _WANTED.is_symlink(),
        confirmed=_load(host, "confirmed"),
    )


def _ufw_status(host: Host) -> str:
    return host.run(["ufw", "status"], check=False).out if shutil.which("ufw") else ""


def _ufw_active(host: Host) -> bool:
    return _UFW_ACTIVE in _ufw_status(host)


def sockets(host: Host) -> tuple[Listener, ...]:
    """The sockets that are open now."""
    return parse_sockets(host.run(["ss", "-Htulnp"], check=False).out)


def parse_sockets(text: str) -> tuple[Listener, ...]:
    """Parse ``ss -Htulnp``; what only this server itself can reach is left out."""
    found = []
    for line in text.splitlines():
        words = line.split(None, 6)
        if len(words) < 5:
            continue
        address, _, port = words[4].rpartition(":")
        process = re.search(r'\("([^"]+)"', words[6]) if len(words) > 6 else None
        listener = Listener(
            words[0], address.strip("[]").partition("%")[0].strip("[]"), int(port), process[1] if process else ""
        )
        if listener.outside:
            found.append(listener)
    return tuple(found)


def tcp_ports(found: Sequence[Listener]) -> dict[int, str]:
    """TCP port -> process."""
    ports: dict[int, str] = {}
    for listener in found:
        if listener.protocol == "tcp":
            ports.setdefault(listener.port, listener.process)
    return ports


def _sshd_settings(host: Host) -> tuple[str, str]:
    sshd = host.run(["sshd", "-T"], check=False).out
    return sshd, host.run(["systemctl", "show", "--property=ActiveState,Listen", "ssh.socket"], check=False).out


def ssh_ports(sshd: str, socket: str, listeners: Mapping[int, str]) -> frozenset[int]:
    """Where SSH is reached: by its socket unit if that is active, else by sshd's settings; and by open sockets."""
    if "ActiveState=active" in socket.split():
        ports = {int(port) for port in re.findall(r":(\d+) \(Stream\)", socket)}
    else:
        ports = {int(port) for port in re.findall(r"^port (\d+)$", sshd, re.M)}
    return frozenset(ports | {port for port, process in listeners.items() if process == "sshd"})


def policy(entry: FirewallEntry, actual: FirewallFacts) -> Policy:
    """What should hold: the release's ports and, whatever it says, the ports where SSH is reached now."""
    return Policy(
        open=tuple(sorted({*entry.open, *entry.ssh_ports, *actual.ssh_ports})),
        restricted=entry.restricted,
        judge_input=not actual.ufw_active,
        published=tuple(sorted({*entry.open, *entry.restricted} - {*entry.ssh_ports, *actual.ssh_ports})),
    )


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
    return f"open {', '.join(str(port) for port in one.only_open())}{shown}"


def notes(entry: FirewallEntry, actual: FirewallFacts) -> list[str]:
    """What an administrator should know before the rules stand."""
    said = []
    wanted = policy(entry, actual)
    if wanted.judge_input and actual.confirmed is None:
        known = {("tcp", port) for port in (*wanted.open, *wanted.restricted)}
        known |= {("udp", port) for port in _LEASE_PORTS}
        # Ports that other people's containers publish stay open: Docker's proxy is no stranger.
        closed = {
            (found.protocol, found.port): found.process
            for found in actual.sockets
            if found.process != PROXY and (found.protocol, found.port) not in known
        }
        said += [
            f"{'UDP port' if protocol == 'udp' else 'Port'} {port} ({process or 'some process'}) "
            "will no longer be reached from outside."
            for (protocol, port), process in sorted(closed.items())
        ]
    if actual.firewalld_active:
        said.append("firewalld is active and is left alone: open the platform's ports there as well.")
    return said


def _apply(host: Host, wanted: Policy, step: Step) -> None:
    arm(host, wanted)
    apply_policy(host, wanted)
    step.extra["confirm_within"] = CONFIRM_S
    step.log(f"the rules stand; they are taken back in {CONFIRM_S} s unless they are confirmed over a new connection")


def arm(host: Host, wanted: Policy) -> None:
    """Start the timer that takes the change back, then say what is pending."""
    stop_timer(host)
    # Nobody could mend a take-back that failed, say because another program held iptables' lock: it tries again.
    host.run([
        "systemd-run", "--quiet", f"--unit={TIMER}", f"--on-active={CONFIRM_S}", "--timer-property=AccuracySec=1s",
        "--property=Restart=on-failure", "--property=RestartSec=5", "--property=StartLimitIntervalSec=0",
        f"--description=Take back the unconfirmed firewall of {host.root}", *own_command(), "firewall-revert",
    ])  # fmt: skip
    write_json(host.state / "firewall" / "pending.json", wanted.as_json())


def stop_timer(host: Host) -> None:
    """Stop the timer if it runs."""
    host.run(["systemctl", "stop", f"{TIMER}.timer"], check=False)
    host.run(["systemctl", "reset-failed", f"{TIMER}.service", f"{TIMER}.timer"], check=False)


def apply_policy(host: Host, wanted: Policy) -> bool:
    """Make the tables as the policy says, each in one step; say whether anything changed.

    Raises:
        HostError: iptables refused the rules; then the table is as it was.
    """
    changed = False
    listeners = sockets(host)
    for version, program in _VERSIONS:
        done = host.run([f"{program}-save", "-t", "filter"], check=version == 4)
        text = script(wanted, Table.parse(done.out), version, listeners) if done.ok else ""
        if text:
            host.run([f"{program}-restore", "--noflush", "--wait", "10"], stdin=text)
            changed = True
    return changed


def revert(host: Host) -> str:
    """Take an unconfirmed change back: the last confirmed rules return, or none of ours if there never were any."""
    waiting = host.state / "firewall" / "pending.json"
    if not waiting.exists():
        return "nothing to take back"
    before = _load(host, "confirmed")
    if before is not None:
        apply_policy(host, before)
    else:
        for _, program in _VERSIONS:
            done = host.run([f"{program}-save", "-t", "filter"], check=False)
            text = removal_script(Table.parse(done.out)) if done.ok else ""
            if text:
                host.run([f"{program}-restore", "--noflush", "--wait", "10"], stdin=text)
    _forbid_in_ufw(host)
    waiting.unlink(missing_ok=True)
    said = "the last confirmed rules are back" if before else "the platform's rules are out again"
    return f"taken back, as nobody confirmed in {CONFIRM_S} s: {said}"


def confirm(host: Host) -> str:
    """Keep the pending rules. Nothing may be pending: a watcher that attaches late confirms again."""
    waiting = _load(host, "pending")
    if waiting is None:
        return "nothing is pending"
    write_json(host.state / "firewall" / "confirmed.json", waiting.as_json())
    (host.state / "firewall" / "pending.json").unlink(missing_ok=True)
    _allowed_in_ufw(host).unlink(missing_ok=True)
    stop_timer(host)
    ports = ", ".join(str(port) for port in waiting.only_open())
    return f"confirmed: open to all are {ports}"


def pending(host: Host) -> bool:
    """Whether rules stand that nobody has confirmed yet."""
    return (host.state / "firewall" / "pending.json").exists()


def confirmed(host: Host, entry: FirewallEntry) -> bool:
    """Whether the rules that a release wants stand and were confirmed."""
    return not any(change.resource == "firewall" for change in changes(host, entry, facts(host)))


def reassert(host: Host) -> bool:
    """Put the confirmed rules back if somebody flushed them; never while a change is pending.

    Where the administrator has moved sshd meanwhile, its new port is let in as well. Only settings count here: any user
    may call a program of his own sshd.
    """
    wanted = _load(host, "confirmed")
    if wanted is None or pending(host):
        return False
    moved = ssh_ports(*_sshd_settings(host), {}) - {*wanted.open, *wanted.restricted}
    if moved:
        wanted = replace(wanted, open=tuple(sorted({*wanted.open, *moved})))
        write_json(host.state / "firewall" / "confirmed.json", wanted.as_json())
    return apply_policy(host, wanted)


def apply_at_boot(host: Host) -> str:
    """At boot a pending change is not confirmed and will not be: what was confirmed holds."""
    (host.state / "firewall" / "pending.json").unlink(missing_ok=True)
    applied = reassert(host)
    _forbid_in_ufw(host)
    return "rules applied" if applied else "nothing to apply"


def state(host: Host) -> dict[str, object]:
    """For ``status``: confirmed, pending, and whether the rules stand."""
    kept, waiting = _load(host, "confirmed"), _load(host, "pending")
    wanted = waiting or kept
    # Where ufw was in charge and is no more, nobody judges what comes to the server itself.
    standing = wanted is not None and (wanted.judge_input or _ufw_active(host))
    for version, program in _VERSIONS:
        done = host.run([f"{program}-save", "-t", "filter"], check=False)
        if wanted is not None and done.ok and script(wanted, Table.parse(done.out), version):
            standing = False
    return {
        "rules": "pending" if waiting else "confirmed" if kept else "none",
        "standing": standing,
        "open": wanted.only_open() if wanted else [],
        "restricted": {str(port): list(networks) for port, networks in wanted.restricted.items()} if wanted else {},
    }


def _allowed_in_ufw(host: Host) -> Path:
    """The ports that ufw was told to let through and that nobody has confirmed yet."""
    return host.state / "firewall" / "ufw.json"


def _allow_in_ufw(host: Host, ports: Sequence[int], step: Step) -> None:
    if pending(host):
        write_json(_allowed_in_ufw(host), sorted({*read_json(_allowed_in_ufw(host), []), *ports}))
    for port in ports:
        host.run(["ufw", "allow", f"{port}/tcp"])


def _forbid_in_ufw(host: Host) -> None:
    """Take back what ufw was told by a change that nobody confirmed; what its administrator allowed stays."""
    path = _allowed_in_ufw(host)
    for port in read_json(path, []):
        # One that is not there any more is no error.
        host.run(["ufw", "delete", "allow", f"{port}/tcp"])
    path.unlink(missing_ok=True)


def _install_unit(host: Host, step: Step) -> None:
    write_atomic(UNIT_PATH, _UNIT_TEXT.encode(), 0o644)
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "enable", UNIT])


def _load(host: Host, name: str) -> Policy | None:
    raw = read_json(host.state / "firewall" / f"{name}.json")
    return None if raw is None else Policy.from_json(raw)
