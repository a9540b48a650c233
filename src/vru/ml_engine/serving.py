"""The models of a repository at work, and how they change while requests go on."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from vru.domain import VruError
from vru.ml_engine.lanes import Lane, LaneLimits
from vru.ml_engine.repository import ModelRepository, ModelVersion
from vru.ml_engine.runtimes import load
from vru.ml_engine.telemetry import Telemetry
from vru.service.errors import TooBusyError
from vru.service.schemas import ModelBody

log = structlog.get_logger("vru.ml_engine")
_LOADING_S = 5


@dataclass(frozen=True, slots=True)
class Served:
    """A model version and what runs it."""

    version: ModelVersion
    lane: Lane

    def body(self) -> ModelBody:
        """The version as clients see it, with what runs it here."""
        return self.version.body().model_copy(update={"provider": self.lane.provider})


Signature = tuple[tuple[str, int, int], ...]


class Models:
    """Every usable version of a repository, loaded and warm. Methods may be called from any thread."""

    def __init__(self, root: Path, limits: LaneLimits, *, threads: int, at_once: int) -> None:
        """Nothing is loaded before ``refresh``. A version looks at ``at_once`` pictures, with ``threads`` each.

        Raises:
            VruError: the repository's folder is missing.
        """
        self._root, self._limits, self._threads, self._at_once = root, limits, threads, at_once
        self.repository = ModelRepository(root)
        self._signature: Signature | None = None
        self._served: dict[str, Served] = {}
        # The one is held while models are loaded, the other only to look who is there.
        self._refreshing, self._lock = threading.Lock(), threading.Lock()
        self._unloading = ThreadPoolExecutor(4, thread_name_prefix="unload")
        self.warm = False

    def refresh(self) -> None:
        """Load what is new or was changed, then unload what is gone once nobody uses it. Blocks.

        A version that cannot be loaded is set aside, with its reason. Versions that stay go on meanwhile.
        """
        with self._refreshing:
            # Looked at first: what changes while it is loaded is seen the next time.
            self._signature = _signature(self._root)
            repository = ModelRepository(self._root)
            served = {version.label: one for version in repository.list() if (one := self._loaded(version, repository))}
            with self._lock:
                before, self._served, self.repository = self._served, served, repository
                self.warm = True
            for label, old in before.items():
                if label not in served or served[label].lane is not old.lane:
                    log.info("model unloads", model=label, sha256=old.version.sha256)
                    self._unloading.submit(old.lane.close, gone=label not in served)

    def refresh_if_changed(self) -> bool:
        """``refresh``, if files of the repository were. Blocks."""
        if self._signature == _signature(self._root):
            return False
        self.refresh()
        return True

    def _loaded(self, version: ModelVersion, repository: ModelRepository) -> Served | None:
        before = self._served.get(version.label)
        if before is not None and before.version.sha256 == version.sha256:
            return before
        try:
            detector = load(version, self._threads, self._at_once)
        except VruError as error:
            repository.set_aside(version, error)
            log.error("model is unusable", model=version.label, reason=str(error))  # noqa: TRY400 - it is no fault of ours
            return None
        telemetry = Telemetry(version.card.name, version.card.version, detector.provider)
        log.info("model is loaded", model=version.label, sha256=version.sha256, provider=detector.provider)
        return Served(version, Lane(detector, version.label, self._limits, telemetry))

    def list(self) -> list[Served]:
        """Those that run, by name, the oldest version first."""
        with self._lock:
            return [self._served[version.label] for version in self.repository.list()] if self.warm else []

    @contextmanager
    def use(self, name: str, version: str | None = None) -> Iterator[Served]:
        """A version, which stays loaded meanwhile; the newest usable one, if none is asked for.

        Raises:
            NotFoundError: there is none; says which there are.
            UnprocessableError: it cannot run; says why.
            TooBusyError: models are still being loaded.
        """
        with self._lock:
            if not self.warm:
                raise TooBusyError("The models are being loaded.", "Try again soon.", retry_after_s=_LOADING_S)
            served = self._served[self.repository.get(name, version).label]
            holding = served.lane.held()
            holding.__enter__()
        try:
            yield served
        finally:
            holding.__exit__(None, None, None)

    def close(self) -> None:
        """End every model. Requests should have ended before."""
        with self._refreshing, self._lock:
            served, self._served, self.warm = self._served, {}, False
        for one in served.values():
            one.lane.stop()
        self._unloading.shutdown(wait=False, cancel_futures=True)


def _signature(root: Path) -> Signature:
    """What tells a change: each file of each version, with its time and size."""
    found = []
    for path in sorted(root.glob("[!.]*/[!.]*/**/*")):
        try:
            facts = path.stat()
        except FileNotFoundError:  # it was removed just now
            continue
        found.append((str(path), facts.st_mtime_ns, facts.st_size))
    return tuple(found)
