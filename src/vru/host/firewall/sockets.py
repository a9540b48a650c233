"""What listens on this server, and where SSH is reached."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..base.host import Host
from .rules import Listener


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


def sshd_settings(host: Host) -> tuple[str, str]:
    """What sshd says of its settings, and systemd of its socket unit: for `ssh_ports`."""
    sshd = host.run(["sshd", "-T"], check=False).out
    return sshd, host.run(["systemctl", "show", "--property=ActiveState,Listen", "ssh.socket"], check=False).out


def ssh_ports(sshd: str, socket: str, listeners: Mapping[int, str]) -> frozenset[int]:
    """Where SSH is reached: by its socket unit if that is active, else by sshd's settings; and by open sockets."""
    if "ActiveState=active" in socket.split():
        ports = {int(port) for port in re.findall(r":(\d+) \(Stream\)", socket)}
    else:
        ports = {int(port) for port in re.findall(r"^port (\d+)$", sshd, re.M)}
    return frozenset(ports | {port for port, process in listeners.items() if process == "sshd"})
