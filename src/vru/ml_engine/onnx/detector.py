"""Runs ONNX models with onnxruntime."""

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vru.domain import Box, VruClass, VruError
from vru.ml_engine.detectors import Found, Seen, Stages
from vru.ml_engine.onnx.adapters import Decoded, Tensors, adapter
from vru.ml_engine.onnx.boxes import Array, Labels, suppress
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.onnx.inputs import Prepared, prepare
from vru.ml_engine.onnx.riders import mount

_PROVIDER = "CPUExecutionProvider"
# A class that the card does not name costs nothing: a score of 0 is no detection, whatever the threshold.
_LEAST_SCORE = 1e-6


class OnnxDetector:
    """A detector in an ONNX file, whose card says what goes in and what comes out."""

    def __init__(self, parameters: OnnxParameters, file: Path, threads: int = 1) -> None:
        """Load the file and look at one grey picture with it. ``threads`` work on one frame.

        Raises:
            VruError: the file is missing, is not the one of the card, cannot be loaded, or does not fit the card.
        """
        self._parameters = parameters
        self._file = file
        self._session = _session(self._file, parameters.sha256, threads)
        self._decode = adapter(parameters)
        self._outputs = parameters.output.tensors()
        self._picture, self._size = self._inputs()
        names = {output.name for output in self._session.get_outputs()}
        if missing := [name for name in self._outputs if name not in names]:
            raise VruError(f"{self._file} has no output {missing[0]!r}.", f"It has: {', '.join(sorted(names))}.")
        self.detect(np.full((parameters.input.height, parameters.input.width, 3), 114, np.uint8))

    @property
    def provider(self) -> str:
        """What runs the model: onnxruntime's name of it."""
        return str(self._session.get_providers()[0])

    def detect(self, image: NDArray[np.uint8]) -> list[Found]:
        """Every road user of the class map in ``image`` (BGR, uint8, HxWx3), the surest first."""
        return self.see(image).found

    def see(self, image: NDArray[np.uint8]) -> Seen:
        """As ``detect``, with the time of each stage."""
        began = time.perf_counter()
        prepared = prepare(image, self._parameters.input)
        ready = time.perf_counter()
        tensors = self._run(prepared.tensor)
        answered = time.perf_counter()
        found = self._found(image, prepared, tensors)
        stages = Stages(ready - began, answered - ready, time.perf_counter() - answered)
        return Seen(found, stages)

    def _found(self, image: NDArray[np.uint8], prepared: Prepared, tensors: Tensors) -> list[Found]:
        height, width = image.shape[:2]
        decoded = self._decode(tensors)
        self._refuse_nan(decoded)
        boxes, scores, labels = self._select(decoded)
        boxes = np.clip(prepared.in_picture(boxes), 0, np.array([width, height, width, height], np.float32))
        boxes, road_users = self._road_users(boxes, scores, labels)
        return [
            Found(road_user, min(float(score), 1.0), Box(x0, y0, x1 - x0, y1 - y0))
            for (x0, y0, x1, y1), score, road_user in zip(boxes.tolist(), scores, road_users, strict=True)
            if road_user is not None and x1 > x0 and y1 > y0
        ]

    def _inputs(self) -> tuple[str, dict[str, NDArray[np.int64]]]:
        """The name of the input that takes the picture, and what the other one takes."""
        names = [one.name for one in self._session.get_inputs()]
        card = self._parameters.input
        size = {}
        if card.size_input is not None:
            if card.size_input.name not in names:
                raise VruError(f"{self._file} has no input {card.size_input.name!r}.", f"It has: {', '.join(names)}.")
            numbers = [card.width, card.height]
            turned = card.size_input.order == "height-width"
            size = {card.size_input.name: np.array([numbers[::-1] if turned else numbers], np.int64)}
        pictures = [name for name in names if name not in size]
        if len(pictures) != 1:
            raise VruError(
                f"{self._file} has the inputs {', '.join(names)}.",
                "Export it with the picture as its only one, or name the other as input.size_input in the card.",
            )
        return pictures[0], size

    def _run(self, tensor: NDArray[Any]) -> dict[str, Array]:
        try:
            values = self._session.run(self._outputs, {self._picture: tensor, **self._size})
        except Exception as error:
            raise VruError(f"{self._file} does not run: {_line(error)}.", "Correct input in the card.") from error
        pairs = zip(self._outputs, values, strict=True)
        return {name: np.asarray(value, np.float32) for name, value in pairs}

    def _refuse_nan(self, decoded: Decoded) -> None:
        if not (np.isfinite(decoded.boxes).all() and np.isfinite(decoded.scores).all()):
            raise VruError(f"{self._file} gives numbers that are not finite.", "Export the model again.")

    def _select(self, decoded: Decoded) -> tuple[Array, Array, Labels]:
        """Boxes, scores and class numbers that stay, the surest first."""
        columns = np.array(self._parameters.columns(), np.int64)
        if columns[-1] >= decoded.scores.shape[1]:
            raise VruError(
                f"{self._file} has {decoded.scores.shape[1]} classes; the card names class {columns[-1]}.",
                "Correct class_map and riders in the card.",
            )
        least = max(self._parameters.score_threshold, _LEAST_SCORE)
        rows, chosen = np.nonzero(decoded.scores[:, columns] >= least)
        scores = decoded.scores[rows, columns[chosen]]
        surest = np.argsort(-scores, kind="stable")[: self._parameters.max_candidates]
        boxes, scores, labels = decoded.boxes[rows[surest]], scores[surest], columns[chosen[surest]]
        if decoded.finished:
            return boxes, scores, labels
        kept = suppress(boxes, scores, labels, self._parameters.nms_iou)
        return boxes[kept], scores[kept], labels[kept]

    def _road_users(self, boxes: Array, scores: Array, labels: Labels) -> tuple[Array, list[VruClass | None]]:
        """Each box and whom it shows; None is nobody, such as a bicycle."""
        road_users = [self._parameters.class_map.get(int(label)) for label in labels]
        riders = mount(boxes, scores, labels, self._parameters.riders)
        boxes = boxes.copy()
        for place, (road_user, box) in riders.items():
            road_users[place], boxes[place] = road_user, box
        return boxes, road_users


def _session(file: Path, sha256: str, threads: int) -> Any:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise VruError(f"{file} cannot be read: {error.strerror}.", "Put the weights beside the card.") from error
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise VruError(f"{file} has the SHA-256 {found}, its card says {sha256}.", "Correct one of them.")
    options = onnxruntime.SessionOptions()
    # Frames run side by side on the engine's own threads; more threads each would only compete.
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    try:
        # From memory, not from the path: so the file that was hashed runs, and no external data are read.
        return onnxruntime.InferenceSession(content, options, providers=[_PROVIDER])
    except Exception as error:
        raise VruError(f"{file} cannot be loaded: {_line(error)}.", "Export the model again.") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
