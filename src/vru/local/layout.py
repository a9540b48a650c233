"""Where the platform of one data directory keeps its files."""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from vru.domain import VruError
from vru.project.files import source


@dataclass(frozen=True, slots=True)
class Layout:
    """The files below one data directory (``.vru/`` of the project, unless ``--data`` says otherwise)."""

    root: Path

    @property
    def logs(self) -> Path:
        """One ``NAME.log`` a process."""
        return self.root / "logs"

    @property
    def media(self) -> Path:
        """The media store, shared by the services."""
        return self.root / "media"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data directory."""
        return self.root / "postgres"

    @property
    def redis(self) -> Path:
        """Redis's configuration and append-only file."""
        return self.root / "redis"

    @property
    def secrets_file(self) -> Path:
        """Generated passwords, 0600."""
        return self.root / "secrets.json"

    @property
    def state_file(self) -> Path:
        """What runs now: written while the platform is up, removed when it stops."""
        return self.root / "platform.json"

    def create(self) -> None:
        """Make the directories that every process expects."""
        self.root.mkdir(parents=True, exist_ok=True)
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        for directory in (self.logs, self.media):
            directory.mkdir(exist_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this data directory for one platform; the kernel lets go of it however the holder ends.

        Raises:
            VruError: another platform runs on this data directory.
        """
        handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _try_lock(handle, patience_s=0.5):
                holder = os.pread(handle, 20, 0).decode().strip() or "unknown"
                raise VruError(
                    f"The platform already runs on {self.root} (process {holder}).",
                    "See it with `vru local status`, stop it with `vru local down`, or give another --data directory.",
                )
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)

    def is_locked(self) -> bool:
        """Whether a platform holds this data directory now."""
        try:
            handle = os.open(self.root / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(handle)
        finally:
            os.close(handle)


def _try_lock(handle: int, patience_s: float = 0.0) -> bool:
    """Take the lock if nobody has it. With patience, because ``is_locked`` elsewhere has it for an instant."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords of one data directory, generated at its first start and kept."""

    database_password: str
    redis_password: str
    secret_key: str
    admin_password: str


def load_secrets(layout: Layout) -> Secrets:
    """The data directory's secrets; made at the first call, readable by their owner only.

    Raises:
        VruError: the file is damaged.
    """
    path = layout.secrets_file
    if not path.exists():
        fresh = Secrets(
            database_password=secrets.token_urlsafe(24),
            redis_password=secrets.token_urlsafe(24),
            secret_key=secrets.token_urlsafe(48),
            admin_password=secrets.token_urlsafe(12),
        )
        write_private(path, json.dumps(asdict(fresh), indent=2) + "\n")
        return fresh
    try:
        return Secrets(**json.loads(path.read_text()))
    except (ValueError, TypeError):
        raise VruError(
            f"{path} is damaged.",
            f"Restore it, or remove {layout.root} to begin anew (this deletes the local data).",
        ) from None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step: a reader sees the old content or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def find_project(start: Path) -> Path:
    """The directory whose ``.vru/`` is meant: ``start`` or the nearest parent with ``models/`` or ``.vru/``."""
    for directory in (start, *start.parents):
        if (directory / ".vru").is_dir() or (directory / "models").is_dir():
            return directory
    return start


def find_models(project: Path) -> Path:
    """The model repository: ``VRU_MODELS_DIR``, else the project's, else the one that came with this program.

    Raises:
        VruError: there is none.
    """
    named = os.environ.get("VRU_MODELS_DIR")
    candidates = [Path(named)] if named else [project / "models", source() / "models"]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate.resolve()
    raise VruError(
        f"No model repository at {' or '.join(map(str, candidates))}.",
        "Run from the project's directory, or set VRU_MODELS_DIR to a models directory.",
    )
