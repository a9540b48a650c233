"""Rules that are taken back unless somebody confirms them over a new connection, and those that were confirmed."""

from __future__ import annotations

from dataclasses import replace

from ..base.disk import read_json, write_json
from ..base.host import Host
from ..release.program import own_command
from . import ufw
from .rules import Policy, Table, removal_script, script
from .sockets import sockets, ssh_ports, sshd_settings

CONFIRM_S = 90
TIMER = "vru-firewall-revert"
VERSIONS = ((4, "iptables"), (6, "ip6tables"))


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
    for version, program in VERSIONS:
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
    before = load(host, "confirmed")
    if before is not None:
        apply_policy(host, before)
    else:
        for _, program in VERSIONS:
            done = host.run([f"{program}-save", "-t", "filter"], check=False)
            text = removal_script(Table.parse(done.out)) if done.ok else ""
            if text:
                host.run([f"{program}-restore", "--noflush", "--wait", "10"], stdin=text)
    ufw.take_back(host)
    waiting.unlink(missing_ok=True)
    said = "the last confirmed rules are back" if before else "the platform's rules are out again"
    return f"taken back, as nobody confirmed in {CONFIRM_S} s: {said}"


def confirm(host: Host) -> str:
    """Keep the pending rules. Nothing may be pending: a watcher that attaches late confirms again."""
    waiting = load(host, "pending")
    if waiting is None:
        return "nothing is pending"
    write_json(host.state / "firewall" / "confirmed.json", waiting.as_json())
    (host.state / "firewall" / "pending.json").unlink(missing_ok=True)
    ufw.confirm(host)
    stop_timer(host)
    ports = ", ".join(str(port) for port in waiting.only_open())
    return f"confirmed: open to all are {ports}"


def pending(host: Host) -> bool:
    """Whether rules stand that nobody has confirmed yet."""
    return (host.state / "firewall" / "pending.json").exists()


def reassert(host: Host) -> bool:
    """Put the confirmed rules back if somebody flushed them; never while a change is pending.

    Where the administrator has moved sshd meanwhile, its new port is let in as well. Only settings count here: any user
    may call a program of his own sshd.
    """
    wanted = load(host, "confirmed")
    if wanted is None or pending(host):
        return False
    moved = ssh_ports(*sshd_settings(host), {}) - {*wanted.open, *wanted.restricted}
    if moved:
        wanted = replace(wanted, open=tuple(sorted({*wanted.open, *moved})))
        write_json(host.state / "firewall" / "confirmed.json", wanted.as_json())
    return apply_policy(host, wanted)


def apply_at_boot(host: Host) -> str:
    """At boot a pending change is not confirmed and will not be: what was confirmed holds."""
    (host.state / "firewall" / "pending.json").unlink(missing_ok=True)
    applied = reassert(host)
    ufw.take_back(host)
    return "rules applied" if applied else "nothing to apply"


def state(host: Host) -> dict[str, object]:
    """For ``status``: confirmed, pending, and whether the rules stand."""
    kept, waiting = load(host, "confirmed"), load(host, "pending")
    wanted = waiting or kept
    # Where ufw was in charge and is no more, nobody judges what comes to the server itself.
    standing = wanted is not None and (wanted.judge_input or ufw.is_active(ufw.status(host)))
    for version, program in VERSIONS:
        done = host.run([f"{program}-save", "-t", "filter"], check=False)
        if wanted is not None and done.ok and script(wanted, Table.parse(done.out), version):
            standing = False
    return {
        "rules": "pending" if waiting else "confirmed" if kept else "none",
        "standing": standing,
        "open": wanted.only_open() if wanted else [],
        "restricted": {str(port): list(networks) for port, networks in wanted.restricted.items()} if wanted else {},
    }


def load(host: Host, name: str) -> Policy | None:
    """The rules that were `confirmed`, or are `pending`; None if there are none."""
    raw = read_json(host.state / "firewall" / f"{name}.json")
    return None if raw is None else Policy.from_json(raw)
