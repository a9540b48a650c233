"""From a model's card to the detector that runs it."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from vru.domain import VruClass, VruError
from vru.ml_engine.detectors import Detector, InThisProcess
from vru.ml_engine.hog import HogDetector, HogParameters
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.onnx.locked import LockedModel
from vru.ml_engine.repository import CARD, ModelVersion, card_error


def _opencv_hog(version: ModelVersion, threads: int, at_once: int) -> Detector:
    if version.card.classes != [VruClass.PEDESTRIAN]:
        raise VruError(
            f"{version.folder / CARD} is not valid: classes: opencv-hog finds pedestrians only.",
            "Write classes: [pedestrian].",
        )
    return InThisProcess(HogDetector(HogParameters.model_validate(version.card.parameters)), at_once)


def _onnx(version: ModelVersion, threads: int, at_once: int) -> Detector:
    parameters = OnnxParameters.model_validate(version.card.parameters)
    if set(version.card.classes) != parameters.road_users():
        raise VruError(
            f"{version.folder / CARD} is not valid: classes and parameters name different road users.",
            f"By class_map and riders they are: {', '.join(sorted(parameters.road_users()))}.",
        )
    return LockedModel(parameters, version.folder, version.label, threads=threads, at_once=at_once)


_RUNTIMES: dict[str, Callable[[ModelVersion, int, int], Detector]] = {"opencv-hog": _opencv_hog, "onnx": _onnx}


def load(version: ModelVersion, threads: int = 1, at_once: int = 1) -> Detector:
    """The detector that a card describes: ``at_once`` pictures side by side, ``threads`` threads for each.

    Weights of others run in a locked process of their own, once they have passed their trial there.

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
        detector: Detector = build(version, threads, at_once)
    except ValidationError as error:
        raise card_error(path, error, "parameters.") from error
    return detector
