"""Remote setup: what a bare server needs before the host program can work there - Python and the program itself."""

from vru.deploy.console.reporter import Reporter, timed
from vru.deploy.server.host_program import OLDEST_PYTHON, install_program, program_sha256
from vru.deploy.ssh.connection import Server
from vru.host.build import build_pyz
from vru.host.wire import Facts

_INSTALL_PYTHON = """
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
set -e
apt-get -q -o DPkg::Lock::Timeout=600 update
apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends python3
"""


def bootstrap(server: Server, facts: Facts, report: Reporter) -> bool:
    """Install Python and this laptop's version of the program where they are missing.

    Returns:
        Whether anything was changed.

    Raises:
        RemoteError: the package manager or the installation failed.
    """
    changed = False
    if facts.python_version < OLDEST_PYTHON:
        with timed(report, "install python3"):
            server.run(["sh", "-s"], stdin=_INSTALL_PYTHON.encode(), on_line=report.log)
        changed = True
    if program_sha256() not in facts.programs:
        with timed(report, "send vru-platform", f"{len(build_pyz()) // 1024} KiB"):
            install_program(server)
        changed = True
    return changed
