"""Remote setup: what a bare server needs before the host program can work there - Python and the program itself."""

import hashlib

from vru.deploy.connection import Server
from vru.deploy.console import Reporter, timed
from vru.deploy.facts import PROGRAM, ServerFacts
from vru.host.build import build_pyz

PROGRAM_COMMAND = ("python3", PROGRAM)
OLDEST_PYTHON = (3, 10)

_INSTALL_PYTHON = """
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
set -e
apt-get -q -o DPkg::Lock::Timeout=600 update
apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends python3
"""

# Written beside its place, checked and renamed: a cut connection leaves the old program, never half a new one.
_INSTALL_PROGRAM = """
set -e
umask 022
mkdir -p "$(dirname "$1")"
cat > "$1.new"
echo "$2  $1.new" | sha256sum -c --quiet -
sync "$1.new"
mv "$1.new" "$1"
printf '#!/bin/sh\\nexec python3 %s "$@"\\n' "$1" > /usr/local/bin/vru-platform.new
chmod 755 /usr/local/bin/vru-platform.new
mv /usr/local/bin/vru-platform.new /usr/local/bin/vru-platform
"""


def bootstrap(server: Server, facts: ServerFacts, report: Reporter) -> bool:
    """Install Python and the host program where they are missing or old.

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
    program = build_pyz()
    sha256 = hashlib.sha256(program).hexdigest()
    if facts.program_sha256 != sha256:
        with timed(report, "install vru-platform", f"{len(program) // 1024} KiB"):
            server.run(["sh", "-c", _INSTALL_PROGRAM, "sh", PROGRAM, sha256], stdin=program)
        changed = True
    return changed
