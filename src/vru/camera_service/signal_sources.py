"""All signal sources of the service: what they are, and what each is doing."""

import fcntl
import os
import threading
import uuid
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog
from pydantic import ValidationError

from vru.camera_service.secrets import Vault
from vru.camera_service.store import SourceStore, StoredSource
from vru.domain import VruError
from vru.service.errors import ConflictError, NotFoundError, UnprocessableError
from vru.service.schemas import SignalCounts, SignalSourceBody, SignalSourceCreate
from vru.signals import Receiver, Record, SourceSettings, SourceState, State

MOST_SOURCES = 100
_ELSEWHERE = "The service is being replaced: its old process still listens."

log = structlog.get_logger("vru.camera_service")


class Delivery(Protocol):
    """Where the records of all sources go."""

    def take(self, source_id: uuid.UUID, records: Sequence[Record]) -> None:
        """Keep the records of one read. Raises VruError if there is no room for them."""
        ...


@dataclass(frozen=True, slots=True)
class _Broken:
    """A source that cannot even be made: its driver is not installed any more, or its secrets cannot be read."""

    reason: str


class SignalSources:
    """Sources and their receivers. All methods block (call them from a thread) and may run at the same time.

    Of the processes that use one folder, one listens: the others take over when it ends.
    """

    def __init__(self, store: SourceStore, vault: Vault) -> None:
        """Remember what the store holds; nothing runs before ``begin``.

        Raises:
            VruError: the store is damaged.
        """
        self._store, self._vault = store, vault
        self._lock = threading.RLock()
        self._version = store.version()
        self._sources = {source.id: source for source in store.load()}
        self._running: dict[uuid.UUID, Receiver | _Broken] = {}
        self._delivery: Delivery | None = None

    @property
    def listens(self) -> bool:
        """Whether this process is the one that listens."""
        return self._delivery is not None

    def begin(self, delivery: Delivery) -> None:
        """Listen to every source that is meant to run, from now on."""
        with self._lock:
            self._delivery = delivery
            self.refresh()
            self._match()

    def close(self) -> None:
        """Stop listening; what was running stays marked as running, for the next start."""
        with self._lock:
            receivers = [one for one in self._running.values() if isinstance(one, Receiver)]
            self._running.clear()
            self._delivery = None
        _stop(receivers)

    def refresh(self) -> None:
        """Take over what another process has saved."""
        with self._lock:
            version = self._store.version()
            if version != self._version:
                self._sources = {source.id: source for source in self._store.load()}
                self._version = version
            self._match()

    def list(self) -> list[SignalSourceBody]:
        """All sources, in order of name."""
        with self._lock:
            self.refresh()
            return [self._body(source) for source in sorted(self._sources.values(), key=lambda one: one.name)]

    def get(self, source_id: uuid.UUID) -> SignalSourceBody:
        """One source. Raises NotFoundError if there is none with this id."""
        with self._lock:
            return self._body(self._find(source_id))

    def settings(self, source_id: uuid.UUID) -> SourceSettings:
        """How a source receives, with its secrets.

        Raises:
            NotFoundError: there is none with this id.
            VruError: its secrets cannot be read any more.
        """
        with self._lock:
            return self._settings(self._find(source_id))

    def create(self, wanted: SignalSourceCreate) -> SignalSourceBody:
        """Add a source, stopped.

        Raises:
            ConflictError: there is a source of this name, or there are as many as may be.
            UnprocessableError: there is no such driver, or a setting is wrong.
        """
        source = StoredSource(
            **wanted.model_dump(exclude={"secrets"}),
            id=uuid.uuid4(),
            sealed=self._vault.close(wanted.secrets),
            secret_names=sorted(wanted.secrets),
        )
        self._check(source)
        with self._lock, self._changing():
            if any(other.name == source.name for other in self._sources.values()):
                raise ConflictError(f"There is already a signal source called {source.name!r}.", "Choose another name.")
            if len(self._sources) >= MOST_SOURCES:
                raise ConflictError(f"There are {MOST_SOURCES} signal sources, as many as may be.", "Delete one.")
            self._save(self._sources | {source.id: source})
            return self._body(source)

    def delete(self, source_id: uuid.UUID) -> None:
        """Stop a source and forget it. Raises NotFoundError if there is none with this id."""
        with self._lock, self._changing():
            self._find(source_id)
            self._save({number: source for number, source in self._sources.items() if number != source_id})
            stopped = self._running.pop(source_id, None)
        _stop([stopped])

    def start(self, source_id: uuid.UUID) -> SignalSourceBody:
        """Listen to a source; does nothing if it runs. Raises NotFoundError if there is none with this id."""
        with self._lock:
            self._mark(source_id, running=True)
            # One that could not be made is tried again.
            if isinstance(self._running.get(source_id), _Broken):
                del self._running[source_id]
            self._match()
            return self._body(self._find(source_id))

    def stop(self, source_id: uuid.UUID) -> SignalSourceBody:
        """Stop listening to a source; does nothing if it is stopped.

        Raises:
            NotFoundError: there is none with this id.
            VruError: its driver does not return.
        """
        with self._lock:
            self._mark(source_id, running=False)
            stopped = self._running.pop(source_id, None)
        # Without the lock: a driver may take its time.
        if isinstance(stopped, Receiver):
            stopped.stop()
        return self.get(source_id)

    def of_camera(self, camera_id: uuid.UUID) -> Sequence[str]:
        """The names of the sources that belong to a camera."""
        with self._lock:
            self.refresh()
            return sorted(source.name for source in self._sources.values() if source.camera_id == camera_id)

    def _match(self) -> None:
        """Let run what is meant to, if this is the process that listens. The lock is held."""
        if self._delivery is None:
            return
        meant = {source.id for source in self._sources.values() if source.running}
        stopped = tuple(self._running.pop(source_id) for source_id in self._running.keys() - meant)
        if stopped:
            threading.Thread(target=_stop, args=(stopped,), daemon=True).start()
        for source_id in meant - self._running.keys():
            source = self._sources[source_id]
            try:
                receiver = Receiver(self._settings(source), partial(self._delivery.take, source_id))
            except Exception as error:  # noqa: BLE001 - a user's own driver may raise anything when it is made
                log.warning("a signal source cannot be made", source=source.name, reason=str(error))
                self._running[source_id] = _Broken(str(error))
                continue
            self._running[source_id] = receiver
            receiver.start()

    def _check(self, source: StoredSource) -> None:
        try:
            Receiver(self._settings(source), lambda records: None)
        except VruError as error:
            raise UnprocessableError(error.message, error.fix) from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise UnprocessableError(f"{where}: {first['msg']}.", "docs/cameras.md lists settings.") from error
        except Exception as error:  # as above
            raise UnprocessableError(
                f"The signal driver {source.driver!r} cannot be made: {type(error).__name__}: {error}.",
                "Correct its settings, or the driver.",
            ) from error

    def _settings(self, source: StoredSource) -> SourceSettings:
        return SourceSettings.model_validate(
            {
                "settings": source.settings | self._vault.open(source.sealed),
                "payload": source.payload.model_dump(),
                **source.model_dump(include={"name", "driver", "road_user", "debounce_ms", "most_per_second"}),
            }
        )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Nobody else changes the store meanwhile, and what others have changed is known."""
        with self._store.exclusive():
            self.refresh()
            yield

    def _find(self, source_id: uuid.UUID) -> StoredSource:
        self.refresh()
        source = self._sources.get(source_id)
        if source is None:
            raise NotFoundError(f"There is no signal source {source_id}.", "GET /signal-sources lists them.")
        return source

    def _mark(self, source_id: uuid.UUID, *, running: bool) -> None:
        with self._changing():
            source = self._find(source_id)
            if source.running != running:
                self._save(self._sources | {source_id: source.model_copy(update={"running": running})})

    def _save(self, sources: dict[uuid.UUID, StoredSource]) -> None:
        self._store.save(sources.values())
        self._version = self._store.version()
        self._sources = sources

    def _body(self, source: StoredSource) -> SignalSourceBody:
        state = self._state(source)
        counts = {name: getattr(state, name) for name in SignalCounts.model_fields}
        return SignalSourceBody(
            **source.model_dump(exclude={"running", "sealed", "secrets"}),
            state=state.state.value,
            reason=state.reason,
            counts=SignalCounts(**counts),
            last_fault=state.last_fault,
        )

    def _state(self, source: StoredSource) -> SourceState:
        running = self._running.get(source.id)
        if isinstance(running, Receiver):
            return running.state()
        if isinstance(running, _Broken):
            return SourceState(State.FAILED, running.reason, 0)
        if source.running:
            return SourceState(State.OPENING, "" if self.listens else _ELSEWHERE, 0)
        return SourceState(State.STOPPED, "", 0)


def _stop(receivers: Collection[Receiver | _Broken | None]) -> None:
    """End them at the same time. One whose driver does not return is left behind, and said."""

    def end(receiver: Receiver) -> None:
        try:
            receiver.stop()
        except VruError as error:
            log.warning("a signal source does not stop", reason=str(error))

    found = [one for one in receivers if isinstance(one, Receiver)]
    if found:
        with ThreadPoolExecutor(len(found)) as pool:
            list(pool.map(end, found))


class Watch:
    """One process of those that use a folder holds it; the system takes it back when that process ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".signals.lock"
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Whether this process holds it now. Raises OSError if the folder cannot be used."""
        if self._descriptor is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def leave(self) -> None:
        """Let another process have it; does nothing if this one does not hold it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
