"""What every kind of model does."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vru.domain import Box, VruClass, VruError

Image = NDArray[np.uint8]
"""BGR, HxWx3."""


@dataclass(frozen=True, slots=True)
class Found:
    """One road user in one picture. ``box`` lies inside the picture; ``score`` is from 0 to 1."""

    road_user: VruClass
    score: float
    box: Box


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds that a model took for one picture: until its tensor is ready, for the network, and until the boxes.

    A model that does not tell them apart has all of it in ``inference``.
    """

    preparing: float
    inference: float
    reading: float

    @property
    def whole(self) -> float:
        """All of them."""
        return self.preparing + self.inference + self.reading


@dataclass(frozen=True, slots=True)
class Seen:
    """Everyone in a picture, the surest first, and how long it took."""

    found: list[Found]
    stages: Stages


class Looking(Protocol):
    """Looks at one picture. Allows calls from several threads at once."""

    @property
    def provider(self) -> str:
        """What runs the model: the name of onnxruntime's execution provider, or of the library."""
        ...

    def see(self, image: Image) -> Seen:
        """Everyone in ``image``. Equal images give equal answers."""
        ...


class Detector(Protocol):
    """Finds road users. Allows calls from several threads at once, which may wait for each other."""

    @property
    def provider(self) -> str:
        """What runs the model: the name of onnxruntime's execution provider, or of the library."""
        ...

    def look(self, images: Sequence[Image]) -> list[Seen | VruError]:
        """What is in each picture, or why the model has no answer for it. Equal pictures give equal answers.

        Raises:
            VruError: the model cannot run.
        """
        ...

    def close(self) -> None:
        """Give back what it holds, once nothing is looked at."""
        ...


def side_by_side(model: Looking, images: Sequence[Image], threads: ThreadPoolExecutor | None) -> list[Seen | VruError]:
    """As ``Detector.look``, each picture on one of ``threads``."""

    def look(image: Image) -> Seen | VruError:
        try:
            return model.see(image)
        except VruError as error:
            return error

    if threads is None or len(images) == 1:
        return [look(image) for image in images]
    return list(threads.map(look, images))


class InThisProcess:
    """A model whose code and weights are the platform's own."""

    def __init__(self, model: Looking, at_once: int) -> None:
        self._model = model
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="inference")

    @property
    def provider(self) -> str:
        """What runs it."""
        return self._model.provider

    def look(self, images: Sequence[Image]) -> list[Seen | VruError]:
        """What is in each picture."""
        return side_by_side(self._model, images, self._threads)

    def close(self) -> None:
        """End its threads."""
        self._threads.shutdown(wait=True)
