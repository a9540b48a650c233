"""The duty of listening: one process of the service has it, with the spool; the next takes over when it ends."""

import asyncio
import threading
from dataclasses import asdict
from pathlib import Path

import structlog

from vru.camera_service.delivery import Deliverer, PostgresDestination, RedisDestination, Spool
from vru.camera_service.signal_sources import SignalSources, Watch
from vru.service.errors import UnavailableError
from vru.service.schemas import DestinationBody, SignalDelivery
from vru.service.settings import ServiceSettings

_LOOK_S = 1.0
_TRY_S = 0.2

log = structlog.get_logger("vru.camera_service")


class Listening:
    """Sources and delivery of one process."""

    def __init__(self, sources: SignalSources, folder: Path, settings: ServiceSettings) -> None:
        self._sources, self._folder, self._settings = sources, folder, settings
        self._watch = Watch(folder)
        self._deliverer: Deliverer | None = None
        self._lock, self._ended = threading.Lock(), False
        self._reason = ""

    async def run(self) -> None:
        """Take the duty as soon as nobody else has it, and do what others have asked for in the shared folder."""
        while True:
            try:
                await asyncio.to_thread(self._look)
                self._reason = ""
            except Exception as error:  # noqa: BLE001 - the next look may do better; until then it is said
                if str(error) != self._reason:
                    log.warning("signal sources cannot be run", reason=str(error))
                self._reason = str(error)
            await asyncio.sleep(_LOOK_S if self._deliverer else _TRY_S)

    def deliverer(self) -> Deliverer:
        """What delivers.

        Raises:
            UnavailableError: another process does, or it cannot be done.
        """
        if self._deliverer is None:
            raise UnavailableError(self._reason or "The service is being replaced.", "Try again in a moment.")
        return self._deliverer

    def state(self) -> SignalDelivery:
        """What the delivery does."""
        found = self._deliverer
        if found is None:
            return SignalDelivery(active=False, spool_bytes=0, destinations=[])
        states = [DestinationBody(**asdict(state)) for state in found.states()]
        return SignalDelivery(active=True, spool_bytes=found.spool.size, destinations=states)

    def close(self) -> None:
        """Stop listening, deliver what waits, and leave the duty to another process."""
        with self._lock:
            self._ended = True
            self._sources.close()
            if self._deliverer is not None:
                self._deliverer.close()
                self._deliverer = None
            self._watch.leave()

    def _look(self) -> None:
        with self._lock:
            if self._deliverer is not None:
                self._sources.refresh()
            elif not self._ended and self._watch.take():
                spool = Spool(self._folder / "spool")
                stores = (RedisDestination(self._settings), PostgresDestination(self._settings))
                self._deliverer = Deliverer(spool, stores)
                self._deliverer.start()
                self._sources.begin(self._deliverer)
