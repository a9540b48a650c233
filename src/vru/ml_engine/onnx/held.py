"""A model that stays loaded in its own locked process. Runs in the sandbox; ``locked`` is the side that asks."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vru.domain import VruError
from vru.ml_engine.detectors import Seen, side_by_side
from vru.ml_engine.onnx import trial
from vru.ml_engine.onnx.detector import OnnxDetector
from vru.ml_engine.onnx.messages import Outcome
from vru.sandbox.lending import Lent, Place


class _Held:
    """What the process keeps from one call to the next."""

    model: OnnxDetector
    threads: ThreadPoolExecutor
    pictures: Lent


def load(path: Path, name: str, parameters: dict[str, Any], threads: int, at_once: int) -> str:
    """Try a model, and keep it: ``at_once`` pictures side by side with ``threads`` threads each. Returns its provider.

    Raises:
        VruError: it is unfit, or does not fit its card.
    """
    _Held.model = trial.passed(path, name, parameters, threads)
    _Held.threads = ThreadPoolExecutor(at_once)
    return _Held.model.provider


def lend(path: Path, size_bytes: int) -> None:
    """Take memory that pictures will lie in."""
    _Held.pictures = Lent(int(path.name), size_bytes)


def look(places: list[Place]) -> list[Any]:
    """What is in the pictures that lie at these places: an ``Outcome`` for each."""
    pictures = [_Held.pictures.picture(*place) for place in places]
    return [_outcome(one) for one in side_by_side(_Held.model, pictures, _Held.threads)]


def _outcome(one: Seen | VruError) -> Outcome:
    if isinstance(one, VruError):
        return Outcome(refused=(one.message, one.fix))
    found = [(each.road_user, each.score, *each.box.as_tuple()) for each in one.found]
    return Outcome(found, (one.stages.preparing, one.stages.inference, one.stages.reading))
