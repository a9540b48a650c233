"""Runs ONNX models with onnxruntime, on the CPU."""

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vru.domain import Box, VruError
from vru.ml_engine.adapters import Decoded, adapter
from vru.ml_engine.boxes import Array, suppress
from vru.ml_engine.detectors import Found
from vru.ml_engine.onnx_card import InputParameters, OnnxParameters

_PROVIDER = "CPUExecutionProvider"


class OnnxDetector:
    """A detector in an ONNX file, whose card says what goes in and what comes out."""

    def __init__(self, parameters: OnnxParameters, folder: Path) -> None:
        """Load the file and look at one grey picture with it.

        Raises:
            VruError: the file is missing, is not the one of the card, cannot be loaded, or does not fit the card.
        """
        self._parameters = parameters
        self._file = folder / parameters.file
        self._session = _session(self._file, parameters.sha256)
        self._decode = adapter(parameters)
        names = {output.name for output in self._session.get_outputs()}
        said = parameters.output.model_dump(exclude={"adapter", "unit", "feature_maps", "ratios", "coder", "strides"})
        wanted = [name for value in said.values() for name in (value if isinstance(value, list) else [value])]
        self._outputs = [name for name in wanted if isinstance(name, str)]
        if missing := [name for name in self._outputs if name not in names]:
            raise VruError(f"{self._file} has no output {missing[0]!r}.", f"It has: {', '.join(sorted(names))}.")
        self.detect(np.full((parameters.input.height, parameters.input.width, 3), 114, np.uint8))

    def detect(self, image: NDArray[np.uint8]) -> list[Found]:
        """Every road user of the class map in ``image`` (BGR, uint8, HxWx3), the surest first."""
        height, width = image.shape[:2]
        tensor, scale, offset = prepare(image, self._parameters.input)
        decoded = self._decode(self._run(tensor))
        self._refuse_nan(decoded)
        boxes, scores, labels = self._select(decoded)
        limits = np.array([width, height, width, height], np.float32)
        boxes = np.clip((boxes - offset) / scale, 0, limits)
        return [
            Found(self._parameters.class_map[int(label)], min(float(score), 1.0), Box(x0, y0, x1 - x0, y1 - y0))
            for (x0, y0, x1, y1), score, label in zip(boxes.tolist(), scores, labels, strict=True)
            if x1 > x0 and y1 > y0
        ]

    def _run(self, tensor: NDArray[Any]) -> dict[str, Array]:
        try:
            values = self._session.run(self._outputs, {self._session.get_inputs()[0].name: tensor})
        except Exception as error:  # onnxruntime's errors share no base class
            raise VruError(f"{self._file} does not run: {_line(error)}.", "Correct input in the card.") from error
        return dict(zip(self._outputs, values, strict=True))

    def _refuse_nan(self, decoded: Decoded) -> None:
        if not (np.isfinite(decoded.boxes).all() and np.isfinite(decoded.scores).all()):
            raise VruError(f"{self._file} gives numbers that are not finite.", "Export the model again.")

    def _select(self, decoded: Decoded) -> tuple[Array, Array, NDArray[np.int64]]:
        """Boxes, scores and class numbers that stay, the surest first."""
        columns = np.array(sorted(self._parameters.class_map), np.int64)
        if columns[-1] >= decoded.scores.shape[1]:
            raise VruError(
                f"{self._file} has {decoded.scores.shape[1]} classes; class_map names {columns[-1]}.",
                "Correct class_map in the card.",
            )
        rows, chosen = np.nonzero(decoded.scores[:, columns] >= max(self._parameters.score_threshold, 1e-6))
        labels = columns[chosen]
        boxes, scores = decoded.boxes[rows], decoded.scores[rows, labels]
        kept = np.argsort(-scores, kind="stable")
        if not decoded.finished:
            kept = suppress(boxes, scores, labels, self._parameters.nms_iou)
        return boxes[kept], scores[kept], labels[kept]


def prepare(image: NDArray[np.uint8], card: InputParameters) -> tuple[NDArray[Any], Array, Array]:
    """The input tensor, scale and offset (x, y, x, y): input pixel = picture pixel * scale + offset."""
    height, width = image.shape[:2]
    scale_x, scale_y = card.width / width, card.height / height
    left = top = 0
    if card.resize == "letterbox":
        factor = min(scale_x, scale_y)
        inner = max(1, round(width * factor)), max(1, round(height * factor))
        left, top = (card.width - inner[0]) // 2, (card.height - inner[1]) // 2
        scale_x, scale_y = inner[0] / width, inner[1] / height
        canvas = np.full((card.height, card.width, 3), card.pad, np.uint8)
        canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner)
    else:
        canvas = np.asarray(cv2.resize(image, (card.width, card.height)), np.uint8)
    pixels: NDArray[Any] = canvas[:, :, ::-1] if card.channels == "rgb" else canvas
    if card.dtype != "uint8":
        mean, deviation = np.array(card.mean, np.float32), np.array(card.deviation, np.float32)
        pixels = ((pixels.astype(np.float32) - mean) / deviation).astype(card.dtype)
    if card.layout == "nchw":
        pixels = pixels.transpose(2, 0, 1)
    scale = np.array([scale_x, scale_y] * 2, np.float32)
    return np.ascontiguousarray(pixels[None]), scale, np.array([left, top] * 2, np.float32)


def _session(file: Path, sha256: str) -> Any:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise VruError(f"{file} cannot be read: {error.strerror}.", "Put the weights beside the card.") from error
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise VruError(f"{file} has the SHA-256 {found}, its card says {sha256}.", "Correct one of them.")
    options = onnxruntime.SessionOptions()
    # Frames run side by side on the engine's own threads; more threads each would only compete.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        # From memory, not from the path: so the file that was hashed runs, and no external data are read.
        session = onnxruntime.InferenceSession(content, options, providers=[_PROVIDER])
    except Exception as error:  # onnxruntime's errors share no base class
        raise VruError(f"{file} cannot be loaded: {_line(error)}.", "Export the model again.") from error
    if len(session.get_inputs()) != 1:
        raise VruError(f"{file} has {len(session.get_inputs())} inputs.", "Export it with the picture as its only one.")
    return session


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
