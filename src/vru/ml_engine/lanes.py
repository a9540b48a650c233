"""The queue in front of a model, and the thread that takes batches out of it."""

import heapq
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus

import structlog

from vru.domain import VruError
from vru.ml_engine.detectors import Detector, Image, Seen
from vru.ml_engine.telemetry import Telemetry
from vru.service.errors import TooManyRequestsError, UnavailableError

log = structlog.get_logger("vru.ml_engine")


class TooLateError(VruError):
    """A request's time was over before the model looked at its picture."""

    status = HTTPStatus.GATEWAY_TIMEOUT


class Priority(IntEnum):
    """Who comes first."""

    INTERACTIVE = 0
    BULK = 1


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """Pictures that are looked at together at most, seconds that the first one waits for others that are announced,

    and how many requests of single pictures may be under way at once.
    """

    batch: int
    delay_s: float
    requests: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model saw, and how many seconds the picture had waited."""

    seen: Seen
    queued_s: float


@dataclass(order=True, slots=True)
class _Waiting:
    priority: Priority
    number: int
    image: Image = field(compare=False)
    came: float = field(compare=False)
    until: float | None = field(compare=False)
    answer: "Future[Answer]" = field(compare=False, default_factory=Future)


class Lane:
    """One model version at work. Every method may be called from any thread."""

    def __init__(self, detector: Detector, label: str, limits: LaneLimits, telemetry: Telemetry) -> None:
        self._detector, self._label, self._limits, self._telemetry = detector, label, limits, telemetry
        self._changed = threading.Condition()
        self._queue: list[_Waiting] = []
        self._number = 0
        # Requests that are let in, and those of them whose picture is not here yet.
        self._requests = self._announced = 0
        self._held = 0
        self._closing = False
        self._retry_s = 1
        self._thread = threading.Thread(target=self._work, name=f"lane {label}", daemon=True)
        self._thread.start()

    @property
    def provider(self) -> str:
        """What runs the model."""
        return self._detector.provider

    @contextmanager
    def held(self) -> Iterator["Lane"]:
        """Keep the model loaded for a request, or a whole video, that began before it was replaced."""
        with self._changed:
            self._held += 1
        try:
            yield self
        finally:
            with self._changed:
                self._held -= 1
                self._changed.notify_all()

    @contextmanager
    def let_in(self) -> Iterator[None]:
        """Announce a request of a single picture. Until its picture comes, a batch may wait for it.

        Raises:
            TooManyRequestsError: as many are under way as may be.
        """
        with self._changed:
            if self._requests >= self._limits.requests:
                self._telemetry.rejected("queue_full")
                raise TooManyRequestsError(
                    f"The model {self._label} has {self._requests} requests under way, and takes no more.",
                    f"Try again in {self._retry_s} s.",
                    retry_after_s=self._retry_s,
                )
            self._requests += 1
        try:
            yield
        finally:
            with self._changed:
                self._requests -= 1

    @contextmanager
    def announced(self) -> Iterator[None]:
        """A picture is being decoded for this model."""
        with self._changed:
            self._announced += 1
        try:
            yield
        finally:
            with self._changed:
                self._announced -= 1
                self._changed.notify_all()

    def put(self, image: Image, priority: Priority, until: float | None = None) -> "Future[Answer]":
        """Have a picture looked at, until ``until`` (monotonic seconds). A cancelled answer is not worked for.

        The answer may raise VruError: the model has none; TooLateError: the time was over.
        """
        with self._changed:
            if self._closing:
                raise UnavailableError(f"The model {self._label} is being unloaded.", "Try again.")
            self._number += 1
            waiting = _Waiting(priority, self._number, image, time.monotonic(), until)
            heapq.heappush(self._queue, waiting)
            self._changed.notify_all()
        return waiting.answer

    def close(self, *, gone: bool = True) -> None:
        """Wait until nobody holds it and all that waits is done, and unload the model. Blocks.

        ``gone`` says that no other lane of this version goes on with its figures.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._held)
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._detector.close()
        if gone:
            self._telemetry.forget()

    def stop(self) -> None:
        """Answer nobody any more, and end the model: for the end of the process."""
        with self._changed:
            self._closing = True
            for waiting in self._queue:
                waiting.answer.cancel()
            self._queue.clear()
            self._changed.notify_all()
        self._thread.join()
        self._detector.close()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            if not batch:
                continue
            began = time.monotonic()
            self._telemetry.batch(len(batch))
            try:
                outcomes = self._detector.look([one.image for one in batch])
            except Exception as error:  # whatever it is, each of these requests is told, and the lane goes on
                if not isinstance(error, VruError):
                    log.exception("a model failed", model=self._label)
                    error = UnavailableError(f"The model {self._label} failed: {type(error).__name__}.", "See the log.")
                outcomes = [error] * len(batch)
            for one, outcome in zip(batch, outcomes, strict=True):
                self._tell(one, outcome, began - one.came)
            self._estimate((time.monotonic() - began) / len(batch))

    def _tell(self, one: _Waiting, outcome: Seen | VruError, queued_s: float) -> None:
        if isinstance(outcome, VruError):
            one.answer.set_exception(outcome)
            return
        self._telemetry.seen(outcome, queued_s)
        one.answer.set_result(Answer(outcome, queued_s))

    def _estimate(self, seconds: float) -> None:
        """When a client that is turned away may come again: once what is under way is done."""
        with self._changed:
            self._retry_s = max(1, min(60, round(seconds * self._limits.requests)))

    def _next(self) -> list[_Waiting] | None:
        """The next batch, which may turn out empty; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._queue) or self._closing)
            if not self._queue:
                return None
            self._wait_for_more()
            batch: list[_Waiting] = []
            while self._queue and len(batch) < self._limits.batch:
                one = heapq.heappop(self._queue)
                # From here on it cannot be cancelled; one that was is not looked at.
                if one.answer.set_running_or_notify_cancel() and not self._too_late(one):
                    batch.append(one)
            now = time.monotonic()
            self._telemetry.waiting(len(self._queue), now - min((one.came for one in self._queue), default=now))
            return batch

    def _wait_for_more(self) -> None:
        """A little, while a picture is announced that would fit in: a single client never waits."""
        end = time.monotonic() + self._limits.delay_s
        while self._announced and len(self._queue) < self._limits.batch and not self._closing:
            left = end - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                return

    def _too_late(self, one: _Waiting) -> bool:
        now = time.monotonic()
        if one.until is None or now <= one.until:
            return False
        self._telemetry.rejected("too_late")
        one.answer.set_exception(
            TooLateError(
                f"The picture waited {now - one.came:.3f} s for the model {self._label}; its time is over.",
                "Allow more time, or send fewer pictures at once.",
            )
        )
        return True
