"""What the server is like, read in one round trip by a POSIX shell script: a bare server has no Python."""

import time
from collections.abc import Mapping
from dataclasses import replace

from vru.deploy.console import log_file
from vru.deploy.ssh.connection import Server
from vru.host.wire import Facts

ROOT = "/opt/vru-platform"

# Reads only. One `key<TAB>value` a line; keys may repeat. LC_ALL=C: a locale's warnings and words must not get in.
_SCRIPT = r"""
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
root=__ROOT__
put() { printf '%s\t%s\n' "$1" "$2"; }
existing() { d=$1; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; echo "$d"; }
free_kib() { df -Pk "$(existing "$1")" | awk 'NR==2 {print $4}'; }
if [ -r /etc/os-release ]; then . /etc/os-release; fi
put os_id "${ID:-unknown}"
put os_version "${VERSION_ID:-}"
put os_name "${PRETTY_NAME:-unknown}"
put machine "$(uname -m)"
put cpus "$(nproc)"
put memory_kib "$(awk '/^MemTotal:/ {print $2}' /proc/meminfo)"
put disk_free_kib "$(free_kib "$root")"
put docker_disk_free_kib "$(free_kib /var/lib/docker)"
put clock "$(date +%s)"
put init "$(ps -o comm= -p 1 2>/dev/null || cat /proc/1/comm)"
put apt "$(command -v apt-get || true)"
put python "$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)"
put docker "$(docker version --format '{{.Server.Version}}' 2>/dev/null || true)"
for p in "$root"/state/program/*; do if [ -f "$p/__main__.py" ]; then put program "${p##*/}"; fi; done
if [ -f "$root/data/postgres/PG_VERSION" ]; then
  env_value() { sed -n "s/^$1=[\"']\{0,1\}\([^\"']*\).*/\1/p" "$root/.env" 2>/dev/null | tail -n 1; }
  put database_name "$(env_value VRU_DATABASE_NAME)"
  put database_user "$(env_value VRU_DATABASE_USER)"
fi
put release "$(cat "$root/releases/current" 2>/dev/null || true)"
put ssh_port "$(echo "${VRU_SSH_CONNECTION:-${SSH_CONNECTION:-}}" | cut -d' ' -f4)"
ss -Hltnp 2>/dev/null | while read -r _ _ _ address _ owner; do
  put listening "${address##*:} ${owner:-}"
  case "$address" in 127.*|\[::1\]*) ;; *) put outside "${address##*:} ${owner:-}" ;; esac
done
if [ -f "$root/state/firewall/confirmed.json" ]; then put firewall stands; fi
"""


SCRIPT = _SCRIPT.replace("__ROOT__", ROOT).strip()


def gather(server: Server) -> Facts:
    """Read the server's facts, and nothing else.

    Raises:
        RemoteError: the script did not run to its end.
        ConnectionFailedError: the connection broke, or sudo is refused.
    """
    before = time.time()
    completed = server.run(["sh", "-c", SCRIPT])
    return parse(completed.stdout, (before + time.time()) / 2)


def parse(text: str, now: float) -> Facts:
    """Read what the script printed; ``now`` is the laptop's time (seconds since the epoch) when it did.

    Raises:
        RemoteError: something is missing.
    """
    single: dict[str, str] = {}
    listening: list[tuple[int, str]] = []
    outside: list[tuple[int, str]] = []
    programs: set[str] = set()
    for line in text.splitlines():
        key, _, value = line.partition("\t")
        if key == "listening":
            port, _, owner = value.partition(" ")
            listening.append((int(port), _process_name(owner)))
        elif key == "outside":
            port, _, owner = value.partition(" ")
            outside.append((int(port), _process_name(owner)))
        elif key == "program":
            programs.add(value)
        else:
            single[key] = value.strip()
    found = _facts(single, tuple(listening), frozenset(programs), now)
    return replace(found, outside=tuple(sorted(set(outside))), has_firewall=single.get("firewall") == "stands")


def _process_name(owner: str) -> str:
    """``users:(("nginx",pid=1,fd=6))`` -> ``nginx``."""
    return owner.split('"')[1] if '"' in owner else ""


def _facts(
    single: Mapping[str, str], listening: tuple[tuple[int, str], ...], programs: frozenset[str], now: float
) -> Facts:
    # sudo hides the connection's own port; sshd's first one is as good.
    sshd = sorted(port for port, owner in listening if owner.startswith("sshd"))
    ssh_port = int(single["ssh_port"]) if single.get("ssh_port") else sshd[0] if sshd else None
    try:
        return Facts(
            os_id=single["os_id"],
            os_version=single["os_version"],
            os_name=single["os_name"],
            machine=single["machine"],
            cpus=int(single["cpus"]),
            memory_bytes=int(single["memory_kib"]) * 1024,
            disk_free_bytes=int(single["disk_free_kib"]) * 1024,
            docker_disk_free_bytes=int(single["docker_disk_free_kib"]) * 1024,
            clock_skew_s=int(single["clock"]) - now,
            init=single["init"],
            has_apt=bool(single["apt"]),
            python=single["python"],
            docker=single["docker"],
            release=single["release"],
            ssh_port=ssh_port,
            listening=listening,
            programs=programs,
            database_name=single.get("database_name", ""),
            database_user=single.get("database_user", ""),
        )
    except (KeyError, ValueError) as error:
        raise log_file.unreadable(
            "The server's facts", "\n".join(f"{k}\t{v}" for k, v in single.items()), error
        ) from error
