"""Backups of the database and the configuration: whole or not there at all, and checked before they are called one.

A backup is a directory ``backups/NAME`` with the dump, the configuration, a manifest and checksums. It is made under
another name and renamed when everything in it was read back. The rows are counted in the dump's own snapshot, so that
a restore can prove that it brought back every one.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from ..base import terminal
from ..base.disk import CHUNK, human_size, read_json, sha256_of, sync_directory, write_atomic, write_json
from ..base.errors import OK, HostError
from ..base.host import Host
from ..docker.compose import Compose
from ..release import store
from ..wire import COMPOSE_FILE, ENV_FILE
from .postgres import COUNT_ROWS, Database, parse_counts, show_counts

DUMP = "database.dump"
CONFIGURATION = "configuration.tar.gz"
MEDIA = "media.tar"
# The signing key with its ledger, and the sealed evidence: what nobody can make again.
EVIDENCE = "evidence.tar"
_EVIDENCE_FOLDERS = ("evidence", "sealed")
KEEP = 14
_NAME = re.compile(r"\d{8}T\d{6}Z(-before-restore)?")
_MARK = "-- counted --"


@dataclass(frozen=True)
class Backup:
    """One whole backup."""

    path: Path
    about: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name: the time, UTC."""
        return self.path.name

    @property
    def automatic(self) -> bool:
        """Whether a restore made it, of what it was about to replace."""
        return self.name.endswith("-before-restore")

    @property
    def rows(self) -> dict[str, int]:
        """Every table's number of rows in the dump's snapshot."""
        return dict(self.about["rows"])

    def as_json(self) -> dict[str, Any]:
        """For ``status`` and ``backups``."""
        return {"name": self.name, "size": sum(self.about["sizes"].values()), **self.about}


def existing(host: Host) -> list[Backup]:
    """All whole backups, the oldest first."""
    return [
        Backup(path, read_json(path / "manifest.json"))
        for path in (sorted(host.backups.iterdir()) if host.backups.exists() else ())
        if _NAME.fullmatch(path.name) and (path / "manifest.json").exists()
    ]


def find(host: Host, name: str) -> Backup:
    """A backup by its name; ``latest`` is the newest that was not made by a restore.

    Raises:
        HostError: there is none of that name; the message lists what there is.
    """
    known = existing(host)
    chosen = [b for b in known if not b.automatic][-1:] if name == "latest" else [b for b in known if b.name == name]
    if not chosen:
        names = ", ".join(backup.name for backup in known[-5:]) or "none"
        raise HostError(f"There is no backup {name!r}.", f"There are: {names}. See: vru-platform backups")
    return chosen[0]


def check(backup: Backup) -> None:
    """Compare the files with their checksums.

    Raises:
        HostError: a file is missing or damaged.
    """
    for file, wanted in backup.about["sha256"].items():
        path = backup.path / file
        if not path.exists():
            raise HostError(f"The backup {backup.name} has no {file}.", "Take another one: vru-platform backups")
        if sha256_of(path) != wanted:
            raise HostError(
                f"The backup {backup.name} is damaged: {file} is not what was written.",
                "Take another one: vru-platform backups",
            )


def create(host: Host, *, media: bool = False, suffix: str = "", say: bool = True) -> Backup:
    """Make a backup.

    Raises:
        HostError: the database does not run, is empty, the disk is too full, or the dump cannot be read back. Then no
            backup of this name exists.
    """
    compose = Compose(host)
    database = Database.find(compose)
    if not database.exists():
        raise HostError(
            f"There is no database {database.name!r} to back up.", "Bring it back: vru-platform restore latest"
        )
    host.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    folders = (*_EVIDENCE_FOLDERS, *(("media",) if media else ()))
    _check_space(host, database.size() + sum(_tree_size(host.root / "data" / folder) for folder in folders))
    name = _free_name(host, suffix)
    for left in host.backups.glob(".partial-*"):
        shutil.rmtree(left)
    partial = host.backups / f".partial-{name}"
    partial.mkdir(mode=0o700)
    try:
        rows = _dump(database, partial / DUMP)
        if not rows:
            raise HostError(
                "The database holds no table: that is no backup worth keeping.", "Run on your laptop: vru deploy"
            )
        _read_back(database, partial / DUMP)
        _configuration(host, partial / CONFIGURATION)
        # After the database: the ledger then holds every seal that the database knows, and perhaps newer ones.
        _archive(host, partial / EVIDENCE, _EVIDENCE_FOLDERS)
        if media:
            _archive(host, partial / MEDIA, ("media",))
        files = sorted(path.name for path in partial.iterdir())
        sizes = {file: (partial / file).stat().st_size for file in files}
        digests = {file: sha256_of(partial / file) for file in files}
        about: dict[str, Any] = {
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "release": store.current(host),
            "migration": database.migration(),
            "database": database.name,
            "rows": rows,
            "sizes": sizes,
            "sha256": digests,
            "media": media,
        }
        sums = "".join(f"{digest}  {file}\n" for file, digest in digests.items())
        write_atomic(partial / "SHA256SUMS", sums.encode(), 0o600)
        write_json(partial / "manifest.json", about)
        partial.rename(host.backups / name)
        sync_directory(host.backups)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    made = find(host, name)
    if say:
        terminal.say(f"backup {made.name}: {human_size(sum(sizes.values()))}, {show_counts(rows)}")
        if not media:
            terminal.say("Videos and other media are not in it; add them with --media.")
    return made


def run(host: Host, *, media: bool, as_json: bool) -> int:
    """The command ``backup``: make one, then forget the oldest beyond VRU_BACKUP_KEEP."""
    made = create(host, media=media, say=not as_json)
    removed, damaged = forget(host)
    if as_json:
        terminal.say_json({**made.as_json(), "removed": removed, "damaged": damaged})
        return OK
    if removed:
        terminal.say(f"removed {', '.join(removed)}")
    for name in damaged:
        terminal.say(f"backup {name} is damaged: its files do not match their checksums")
    return OK


def forget(host: Host) -> tuple[list[str], list[str]]:
    """Remove the oldest backups beyond VRU_BACKUP_KEEP (those that restores made are counted by themselves).

    A backup whose files do not match their checksums does not count: it never takes the place of one that is good.
    The newest always stays.

    Returns:
        The names of those that were removed, the oldest first, and of those that are damaged.
    """
    text = host.environment().get("VRU_BACKUP_KEEP", "")
    keep = max(1, int(text)) if text.isdigit() else KEEP
    removed, damaged = [], []
    for automatic in (False, True):
        group = [backup for backup in existing(host) if backup.automatic is automatic]
        good = 0
        older: list[Backup] = []
        for backup in reversed(group):
            if good == keep:
                older.insert(0, backup)
            elif verified(backup):
                good += 1
            else:
                damaged.append(backup.name)
        for backup in older:
            shutil.rmtree(backup.path)
            removed.append(backup.name)
    return removed, sorted(damaged)


def verified(backup: Backup) -> bool:
    """Whether all its files are there and match their checksums."""
    try:
        check(backup)
    except (HostError, OSError):
        return False
    return True


def show(host: Host, *, as_json: bool) -> int:
    """The command ``backups``."""
    known = existing(host)
    if as_json:
        terminal.say_json([backup.as_json() for backup in known])
    elif not known:
        terminal.say("There is no backup yet: run vru-platform backup")
    else:
        rows = [
            (b.name, human_size(sum(b.about["sizes"].values())), b.about["release"] or "-", show_counts(b.rows))
            for b in known
        ]
        terminal.table(rows, ("NAME", "SIZE", "RELEASE", "ROWS"))
    return OK


# -- internal ------------------------------------------------------------------------------------------------------


def _free_name(host: Host, suffix: str) -> str:
    """The time, UTC; a second later where there is one of this second."""
    moment = datetime.now(timezone.utc)
    while (host.backups / (name := moment.strftime("%Y%m%dT%H%M%SZ") + suffix)).exists():
        moment += timedelta(seconds=1)
    return name


def _check_space(host: Host, needed: int) -> None:
    free = shutil.disk_usage(host.backups).free
    if free < needed + 64 * 1024 * 1024:
        raise HostError(
            f"The disk has {human_size(free)} free; the backup may need {human_size(needed)}.",
            "Delete old backups (vru-platform backups) or lower VRU_BACKUP_KEEP.",
        )


def _tree_size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.exists() else 0


@contextmanager
def _snapshot(database: Database) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A transaction that stays open, and the name under which pg_dump may share its view of the data."""
    with database.stream(*database.psql(), stdin=subprocess.PIPE) as session:
        _ask(
            session, "SET idle_in_transaction_session_timeout = 0;\nBEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;\n"
        )
        name = _answer(session, "SELECT pg_export_snapshot();\n")
        if len(name) != 1:
            raise HostError("The database gave no snapshot to back up.", "Read its log: vru-platform logs postgres")
        yield name[0], session


def _ask(session: subprocess.Popen[bytes], text: str) -> None:
    if session.stdin is not None:
        session.stdin.write(text.encode())
        session.stdin.flush()


def _answer(session: subprocess.Popen[bytes], text: str) -> list[str]:
    """Send SQL and read the rows up to a mark; fewer if the session ended."""
    _ask(session, f"{text}\\echo '{_MARK}'\n")
    rows = []
    for raw in session.stdout or ():
        line = raw.decode().rstrip("\n")
        if line == _MARK:
            break
        rows.append(line)
    return rows


def _dump(database: Database, path: Path) -> dict[str, int]:
    """Dump the database; return the rows of each table as they are in the dump."""
    with _snapshot(database) as (snapshot, session):
        rows = parse_counts("\n".join(_answer(session, COUNT_ROWS)))
        command = ("pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--dbname={database.name}")
        with database.stream(*command) as process, _write(path) as file:
            errors = collect(process.stderr)
            for chunk in iter(lambda: (process.stdout or io.BytesIO()).read(CHUNK), b""):
                file.write(chunk)
            code = process.wait()
        if code != 0:
            raise HostError(
                f"pg_dump ended with {code}: {' / '.join(errors()[-2:])}", "Read its log: vru-platform logs postgres"
            )
    return rows


def _read_back(database: Database, path: Path) -> None:
    """Let pg_restore read the whole dump: it finds what is cut off or damaged (a list of contents would not)."""
    with database.stream("pg_restore", "--file=/dev/null", stdin=subprocess.PIPE) as process:
        errors = collect(process.stderr)
        feed(process, path)
        code = process.wait()
    if code != 0:
        raise HostError(f"The dump cannot be read back: {' / '.join(errors()[-2:])}", "Try again; check the disk.")


def feed(process: subprocess.Popen[bytes], path: Path) -> None:
    """Send a file to a program's input. A program that ends early says by its exit code why."""
    if process.stdin is None:
        return
    try:
        with path.open("rb") as file:
            shutil.copyfileobj(file, process.stdin, CHUNK)
        process.stdin.close()
    except BrokenPipeError:
        return


def collect(stream: IO[bytes] | None) -> Callable[[], list[str]]:
    """Read a program's errors beside its output, so that neither blocks; call the result for the lines."""
    lines: list[str] = []

    def read() -> None:
        lines.extend(raw.decode(errors="replace").rstrip() for raw in stream or ())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def finished() -> list[str]:
        reader.join(5)
        return lines or ["it said nothing"]

    return finished


@contextmanager
def _write(path: Path) -> Iterator[IO[bytes]]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _configuration(host: Host, path: Path) -> None:
    """What, besides the data, makes this platform this one: variables with secrets, Compose file, configs, manifest."""
    release = store.current(host)
    names = [ENV_FILE, COMPOSE_FILE, "config"]
    if release:
        names.append(f"releases/{release}/manifest.json")
    with _write(path) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name in names:
            if (host.root / name).exists():
                archive.add(host.root / name, arcname=name)


def _archive(host: Host, path: Path, folders: Sequence[str]) -> None:
    with _write(path) as file, tarfile.open(fileobj=file, mode="w") as archive:
        for folder in folders:
            if (host.root / "data" / folder).exists():
                archive.add(host.root / "data" / folder, arcname=folder, filter=_finished)


def _finished(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """What is being written has a name that begins with a dot, or waits in a folder for its seal."""
    name = member.name.rpartition("/")[2]
    return None if name.startswith(".") or name == "unsealed" else member


def restore_evidence(host: Host, chosen: Backup) -> list[str]:
    """Put back what of key, ledger and sealed evidence is missing; their names. What is there stays as it is: a ledger
    only grows, and a key that is there is the one that signs.
    """
    path = chosen.path / EVIDENCE
    if not path.exists():
        return []
    made = []
    with tarfile.open(path) as archive:
        for member in archive:
            folder, _, name = member.name.partition("/")
            if not (member.isfile() and folder in _EVIDENCE_FOLDERS and name and "/" not in name):
                continue
            place, content = host.root / "data" / folder / name, archive.extractfile(member)
            if os.path.lexists(place) or content is None:
                continue
            write_atomic(place, cast(BinaryIO, content), member.mode & 0o777, member.uid, member.gid)
            made.append(member.name)
    return made
