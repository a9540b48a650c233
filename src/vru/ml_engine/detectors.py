"""What every kind of model does."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vru.domain import Box, VruClass


@dataclass(frozen=True, slots=True)
class Found:
    """One road user in one picture. ``box`` lies inside the picture; ``score`` is from 0 to 1."""

    road_user: VruClass
    score: float
    box: Box


class Detector(Protocol):
    """Finds road users. Allows calls from several threads at once."""

    @property
    def provider(self) -> str:
        """What runs the model: the name of onnxruntime's execution provider, or of the library."""
        ...

    def detect(self, image: NDArray[np.uint8]) -> list[Found]:
        """Everyone in ``image`` (BGR, uint8, HxWx3), the surest first. Equal images give equal answers."""
        ...
