"""Batches, the bounded queue, priorities, deadlines and cancelled requests of one model."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack

import numpy as np
import pytest
from prometheus_client import REGISTRY

from vru.domain import VruError
from vru.ml_engine.detectors import Image, Seen, Stages
from vru.ml_engine.lanes import Answer, Lane, LaneLimits, Priority, TooLateError
from vru.ml_engine.telemetry import Telemetry
from vru.service.errors import TooManyRequestsError, UnavailableError

BATCH, REQUESTS = 3, 4


class Slow:
    """A detector that waits until it may answer, and remembers which pictures came together."""

    provider = "test"

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.batches: list[list[int]] = []
        self.closed = False

    def look(self, images: Sequence[Image]) -> list[Seen | VruError]:
        self.batches.append([int(image[0, 0, 0]) for image in images])
        assert self.may_answer.wait(20)
        if any(image[0, 0, 0] == 255 for image in images):
            raise RuntimeError("broken")
        return [VruError("no answer") if image[0, 0, 0] == 99 else Seen([], Stages(0, 0.001, 0)) for image in images]

    def close(self) -> None:
        self.closed = True


def picture(number: int) -> Image:
    return np.full((2, 2, 3), number, np.uint8)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def lane(slow: Slow) -> Iterator[Lane]:
    made = Lane(slow, "m/1", LaneLimits(BATCH, 1.0, REQUESTS), Telemetry("m", "1", "test"))
    yield made
    slow.may_answer.set()
    made.close()


def _busy(lane: Lane, slow: Slow) -> Future[Answer]:
    """The model looks at picture 0 and has not answered yet."""
    first = lane.put(picture(0), Priority.BULK)
    while not slow.batches:
        time.sleep(0.005)
    return first


def _figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"model": "m", "version": "1", **labels}) or 0.0


def test_interactive_comes_first_and_batches_are_bounded(lane: Lane, slow: Slow) -> None:
    first = _busy(lane, slow)
    answers = [lane.put(picture(number), Priority.BULK) for number in (1, 2, 3)]
    answers += [lane.put(picture(number), Priority.INTERACTIVE) for number in (11, 12)]
    slow.may_answer.set()
    for answer in (first, *answers):
        assert answer.result(20).seen.found == []
    assert slow.batches == [[0], [11, 12, 1], [2, 3]]
    assert answers[0].result().queued_s > 0


def test_a_batch_waits_for_a_picture_that_is_announced_and_only_then(lane: Lane, slow: Slow) -> None:
    slow.may_answer.set()
    began = time.monotonic()
    lane.put(picture(1), Priority.INTERACTIVE).result(20)
    alone = time.monotonic() - began
    with lane.announced():
        one = lane.put(picture(2), Priority.INTERACTIVE)
        time.sleep(0.02)
        other = lane.put(picture(3), Priority.INTERACTIVE)
    one.result(20), other.result(20)
    assert slow.batches == [[1], [2, 3]]
    assert alone < 0.9  # no delay for who is alone
    began = time.monotonic()
    with lane.announced():  # of one that does not come, it waits for the delay and no longer
        lane.put(picture(4), Priority.INTERACTIVE).result(20)
    assert time.monotonic() - began > 0.9


def test_too_many_requests_are_turned_away_with_a_time(lane: Lane) -> None:
    before = _figure("vru_ml_rejected_total", reason="queue_full")
    with ExitStack() as requests:
        for _ in range(REQUESTS):
            requests.enter_context(lane.let_in())
        with pytest.raises(TooManyRequestsError, match="m/1 has 4 requests") as caught, lane.let_in():
            pass
        assert 1 <= caught.value.retry_after_s <= 60
    with lane.let_in():
        pass
    assert _figure("vru_ml_rejected_total", reason="queue_full") == before + 1


def test_who_is_too_late_or_has_left_is_not_worked_for(lane: Lane, slow: Slow) -> None:
    first = _busy(lane, slow)
    late = lane.put(picture(1), Priority.INTERACTIVE, until=time.monotonic() + 0.01)
    left = lane.put(picture(2), Priority.INTERACTIVE)
    last = lane.put(picture(3), Priority.INTERACTIVE, until=time.monotonic() + 60)
    assert left.cancel()
    time.sleep(0.05)
    slow.may_answer.set()
    first.result(20), last.result(20)
    assert slow.batches == [[0], [3]]
    with pytest.raises(TooLateError, match="its time is over"):
        late.result(20)
    with pytest.raises(CancelledError):
        left.result(20)


def test_a_failure_is_told_to_its_requests_and_the_lane_goes_on(lane: Lane, slow: Slow) -> None:
    slow.may_answer.set()
    with pytest.raises(UnavailableError, match="RuntimeError"):
        lane.put(picture(255), Priority.BULK).result(20)
    with lane.announced():
        refused, fine = (lane.put(picture(number), Priority.BULK) for number in (99, 1))
    with pytest.raises(VruError, match="no answer"):
        refused.result(20)
    assert fine.result(20).seen.found == []


def test_a_lane_that_closes_finishes_what_waits_and_who_holds_it(slow: Slow) -> None:
    lane = Lane(slow, "m/1", LaneLimits(BATCH, 0.0, REQUESTS), Telemetry("m", "1", "test"))
    first = _busy(lane, slow)
    with lane.held():
        closing = threading.Thread(target=lane.close)
        closing.start()
        time.sleep(0.05)
        second = lane.put(picture(1), Priority.BULK)  # who holds it may still ask
        slow.may_answer.set()
        first.result(20), second.result(20)
        assert not slow.closed
    closing.join(20)
    assert slow.closed
    with pytest.raises(UnavailableError, match="unloaded"):
        lane.put(picture(2), Priority.BULK)
    # What is gone leaves no figures behind.
    assert REGISTRY.get_sample_value("vru_ml_queue_frames", {"model": "m", "version": "1"}) is None


def test_figures_of_each_stage(lane: Lane, slow: Slow) -> None:
    slow.may_answer.set()
    lane.put(picture(1), Priority.BULK).result(20)
    for stage in ("queue", "preparing", "inference", "reading"):
        assert _figure("vru_ml_stage_seconds_count", stage=stage) >= 1
    assert _figure("vru_ml_batch_frames_count") >= 1
    assert _figure("vru_ml_model_info", provider="test") == 1
