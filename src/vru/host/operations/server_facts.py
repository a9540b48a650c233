"""What the server is: for the laptop's checks and for a bug report."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any

from ..base.host import Host, read_env
from ..lock.lock import holder
from ..release import store
from ..resources import firewall
from ..wire import PROTOCOL


def facts(host: Host) -> dict[str, Any]:
    """Sizes in bytes. Reads only."""
    system = read_env(Path("/etc/os-release"))
    memory = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line)
    existing = next(path for path in (host.root, *host.root.parents) if path.exists())
    docker = host.run(["docker", "version", "--format", "{{.Server.Version}}"], check=False)
    compose = host.run(["docker", "compose", "version", "--short"], check=False)
    found = firewall.facts(host)
    return {
        "protocol": PROTOCOL,
        "os": {
            "id": system.get("ID", ""),
            "version": system.get("VERSION_ID", ""),
            "name": system.get("PRETTY_NAME", ""),
        },
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "memory": int(memory["MemTotal"].split()[0]) * 1024,
        "memory_available": int(memory["MemAvailable"].split()[0]) * 1024,
        "disk_free": shutil.disk_usage(existing).free,
        "docker": docker.out.strip() if docker.ok else None,
        "compose": compose.out.strip() if compose.ok else None,
        "ssh_ports": sorted(found.ssh_ports),
        "listening": {str(port): process for port, process in sorted(found.listeners.items())},
        "ufw": found.ufw_active,
        "firewalld": found.firewalld_active,
        "release": store.current(host),
        "running": holder(host),
    }
