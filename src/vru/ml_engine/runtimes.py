"""From a model's card to the detector that runs it."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from vru.domain import VruClass, VruError
from vru.ml_engine.detectors import Detector
from vru.ml_engine.hog import HogDetector, HogParameters
from vru.ml_engine.onnx.cage import trial
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.onnx.detector import OnnxDetector
from vru.ml_engine.repository import CARD, ModelVersion, card_error


def _opencv_hog(version: ModelVersion, threads: int) -> Detector:
    if version.card.classes != [VruClass.PEDESTRIAN]:
        raise VruError(
            f"{version.folder / CARD} is not valid: classes: opencv-hog finds pedestrians only.",
            "Write classes: [pedestrian].",
        )
    return HogDetector(HogParameters.model_validate(version.card.parameters))


def _onnx(version: ModelVersion, threads: int) -> Detector:
    parameters = OnnxParameters.model_validate(version.card.parameters)
    if set(version.card.classes) != parameters.road_users():
        raise VruError(
            f"{version.folder / CARD} is not valid: classes and parameters name different road users.",
            f"By class_map and riders they are: {', '.join(sorted(parameters.road_users()))}.",
        )
    trial(parameters, version.folder)
    return OnnxDetector(parameters, version.folder / parameters.file, threads)


_RUNTIMES: dict[str, Callable[[ModelVersion, int], Detector]] = {"opencv-hog": _opencv_hog, "onnx": _onnx}


def load(version: ModelVersion, threads: int = 1) -> Detector:
    """The detector that a card describes; ``threads`` work on one frame.

    Weights of others are tried in a child process first: only what passed is loaded.

    Raises:
        VruError: the card names a runtime that does not exist, or its parameters are wrong for it.
    """
    path = version.folder / CARD
    build: Any = _RUNTIMES.get(version.card.runtime)
    if build is None:
        raise VruError(
            f"{path} is not valid: runtime: there is no {version.card.runtime!r}.",
            f"Use one of: {', '.join(_RUNTIMES)}.",
        )
    try:
        detector: Detector = build(version, threads)
    except ValidationError as error:
        raise card_error(path, error, "parameters.") from error
    return detector
