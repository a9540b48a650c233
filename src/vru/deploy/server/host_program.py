"""This laptop's version of the host program, run on the server: sent there, found there, started there.

The laptop drives a server with its own version of the program, whatever version is installed there: the program lies
in the server's content store under its hash, and unpacked and compiled beside it. A plan, which must not change the
server, is made by a program that is held in memory where the server does not have it yet.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vru.deploy.console import log_file
from vru.deploy.server.facts import ROOT
from vru.deploy.ssh.connection import Completed, RemoteError, Server
from vru.host.build import build_pyz

OLDEST_PYTHON = (3, 10)
# Isolated, without the site's packages, and leaving no compiled files behind.
PYTHON = ("python3", "-I", "-S", "-B")
_ABSENT = 97

# $1 is the program's hash; the rest is for the program. The unpacked copy starts three times as fast as the packed one.
FIND = f"""p={ROOT}/state/program/$1; [ -f "$p/__main__.py" ] || p={ROOT}/releases/objects/$1"""
_START = f"""{FIND}; [ -e "$p" ] || exit {_ABSENT}; shift; exec {" ".join(PYTHON)} "$p" "$@" """.strip()

# Written beside its place, checked and renamed: a cut connection leaves no half of a program.
_INSTALL_PROGRAM = f"""
set -e
umask 022
cd /
mkdir -p {ROOT}/releases/objects
chmod 700 {ROOT}/releases {ROOT}/releases/objects
new={ROOT}/releases/objects/.program-$1
umask 077
cat > "$new"
echo "$1  $new" | sha256sum -c --quiet -
sync "$new"
mv "$new" "{ROOT}/releases/objects/$1"
exec {" ".join(PYTHON)} "{ROOT}/releases/objects/$1" unpack "$1"
"""

# Takes the program from stdin into memory, and becomes it: what else is on stdin is the program's.
_IN_MEMORY = """
import os, sys
left, program = int(sys.argv[1]), os.memfd_create("vru-platform")
while left:
    piece = os.read(0, min(left, 65536))
    if not piece:
        sys.exit("the program was cut on its way")
    os.write(program, piece)
    left -= len(piece)
os.set_inheritable(program, True)
os.execv(sys.executable, [sys.executable, "-I", "-S", "-B", f"/proc/self/fd/{program}", *sys.argv[2:]])
"""


def program_sha256() -> str:
    """The hash of this laptop's version of the host program."""
    return hashlib.sha256(build_pyz()).hexdigest()


def command(*arguments: str) -> list[str]:
    """The command that runs this laptop's version of the host program on a server that has it."""
    return ["sh", "-c", _START, "vru-platform", program_sha256(), *arguments]


def run(
    server: Server,
    *arguments: str,
    stdin: bytes | Iterable[bytes] = b"",
    check: bool = True,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run this laptop's version of the host program to its end; see :meth:`Server.run`.

    Raises:
        RemoteError: ``check`` is set and the program failed, or there is no deployment on the server.
    """
    lines: list[str] = []

    def keep(line: str) -> None:
        lines.append(line)
        if on_line is not None:
            on_line(line)

    exit_code, stderr = stream(server, arguments, keep, stdin=stdin)
    completed = Completed(exit_code, "".join(lines), stderr)
    if check and exit_code != 0:
        text = stderr.strip() or completed.stdout.strip()
        reason = log_file.said(text)
        more = text.splitlines()[1:3] if text.splitlines()[:1] and text.splitlines()[0].strip().endswith(reason) else []
        raise RemoteError(
            f"On {server.address.host}, `vru-platform {arguments[0]}` failed ({exit_code}): {reason}",
            " ".join(line.strip() for line in more),
        )
    return completed


def stream(
    server: Server, arguments: Sequence[str], on_line: Callable[[str], None], *, stdin: bytes | Iterable[bytes] = b""
) -> tuple[int, str]:
    """Run this laptop's version of the host program, line by line; see :meth:`Server.stream`.

    Where the platform was deployed by another version, this one is sent there first.

    Raises:
        RemoteError: there is no deployment on the server.
    """
    exit_code, stderr = server.stream(command(*arguments), on_line, stdin=stdin)
    if exit_code == _ABSENT:
        if not server.run(["sh", "-c", f"cat {ROOT}/releases/current 2>/dev/null || true"]).stdout.strip():
            raise RemoteError("There is no deployment on this server.", "Run: vru deploy")
        install_program(server)
        exit_code, stderr = server.stream(command(*arguments), on_line, stdin=stdin)
    return exit_code, stderr


def ask(server: Server, *arguments: str, stdin: bytes = b"") -> dict[str, Any]:
    """The host program's answer to one question, as JSON.

    Raises:
        RemoteError: it says, in its own words, what is wrong.
    """
    completed = run(server, *arguments, stdin=stdin, check=False)
    if completed.exit_code != 0:
        said = [line.strip().removeprefix("vru-platform: ") for line in completed.stderr.splitlines() if line.strip()]
        raise RemoteError(*(said[:2] or ["The server gives no answer."]))
    try:
        answer: dict[str, Any] = json.loads(completed.stdout)
    except ValueError as error:
        raise log_file.unreadable("The server's answer", completed.stdout, error) from error
    if "error" in answer:
        raise RemoteError(str(answer["error"]), str(answer.get("fix", "")))
    return answer


def run_in_memory(server: Server, *arguments: str, stdin: bytes = b"") -> Completed:
    """Run this laptop's version of the host program without leaving it on the server.

    Raises:
        RemoteError: it failed; or the server has no Python that could run it.
    """
    program = build_pyz()
    argv = [*PYTHON, "-c", _IN_MEMORY, str(len(program)), *arguments]
    completed = server.run(argv, stdin=program + stdin, check=False)
    if completed.exit_code != 0:
        reason = log_file.said(completed.stderr, last=True)
        raise RemoteError(f"On {server.address.host}, `vru-platform {arguments[0]}` failed: {reason}")
    return completed


def install_program(server: Server) -> None:
    """Put this laptop's version of the program into the server's content store, and unpack it there."""
    sha256 = program_sha256()
    server.run(["sh", "-c", _INSTALL_PROGRAM, "install", sha256], stdin=build_pyz())
