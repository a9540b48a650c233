"""Servers as their facts say."""

from vru.deploy.checks.machine import GIB
from vru.host.wire import Facts

GOOD = Facts(
    os_id="debian",
    os_version="13",
    os_name="Debian GNU/Linux 13 (trixie)",
    machine="x86_64",
    cpus=4,
    memory_bytes=8 * GIB,
    disk_free_bytes=50 * GIB,
    docker_disk_free_bytes=50 * GIB,
    clock_skew_s=0.4,
    init="systemd",
    has_apt=True,
    python="",
    docker="",
    release="",
    ssh_port=22,
    listening=((22, "sshd"),),
)
