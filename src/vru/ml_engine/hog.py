"""The built-in baseline: OpenCV's own people detector, histograms of oriented gradients with a linear SVM.

N. Dalal and B. Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005. OpenCV brings the weights,
trained on the INRIA person data set, for a window of 64x128 pixels around an upright person about 96 pixels tall.
"""

import threading
import time
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vru.domain import Box, VruClass
from vru.ml_engine.detectors import Found, Seen, Stages

_WINDOW_HEIGHT = 128
Share = Annotated[float, Field(ge=0, lt=0.5)]
Boxes = NDArray[np.float64]
"""N x 4: left, top, right, bottom in pixels; right and bottom exclusive."""


class Shrink(BaseModel):
    """How much of a window's width (left, right) and height (top, bottom) is margin around the person."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    left: Share
    top: Share
    right: Share
    bottom: Share


class Calibration(BaseModel):
    """``score = 1 / (1 + exp(-(slope * margin + intercept)))`` of the SVM's margin, which is no probability."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    slope: float = Field(gt=0)
    intercept: float


class HogParameters(BaseModel):
    """The ``parameters`` of a card whose runtime is ``opencv-hog``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    working_height: int = Field(ge=_WINDOW_HEIGHT, description="taller frames are scaled down to so many rows")
    border_rows: float = Field(ge=0, le=1, description="edge pixels repeated above and below, share of the height")
    border_columns: float = Field(ge=0, le=1, description="the same left and right, share of the height")
    win_stride: int = Field(ge=1, le=64, description="step of the window in pixels, a multiple of 8 pixels")
    padding: int = Field(ge=0, le=128, description="padding at each scale of the pyramid, in pixels")
    scale: float = Field(gt=1, le=2, description="ratio between two scales of the pyramid")
    hit_threshold: float = Field(description="smallest margin of the SVM that counts")
    merge_iou: float = Field(gt=0, le=1, description="windows that overlap this much with the best are one person")
    nms_iou: float = Field(gt=0, le=1, description="of two persons that overlap more, the weaker is dropped")
    shrink: Shrink
    calibration: Calibration


class HogDetector:
    """OpenCV's people detector, its windows merged, shrunk to the person, and its margins mapped to scores."""

    def __init__(self, parameters: HogParameters) -> None:
        self._parameters = parameters
        self._per_thread = threading.local()

    @property
    def provider(self) -> str:
        """What runs it."""
        return "OpenCV"

    def _descriptor(self) -> Any:
        """This thread's own descriptor: OpenCV does not promise that one may be shared."""
        if not hasattr(self._per_thread, "hog"):
            hog = cv2.HOGDescriptor()
            hog.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32))
            self._per_thread.hog = hog
        return self._per_thread.hog

    def detect(self, image: NDArray[np.uint8]) -> list[Found]:
        """All pedestrians in ``image`` (BGR, uint8, HxWx3), the surest first."""
        windows, margins = self.windows(image)
        boxes = shrink_boxes(windows, self._parameters.shrink, image.shape[1], image.shape[0])
        solid = (boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)
        merged, best = merge(boxes[solid], margins[solid], self._parameters)
        calibration = self._parameters.calibration
        scores = 1 / (1 + np.exp(-(calibration.slope * best + calibration.intercept)))
        return [
            Found(VruClass.PEDESTRIAN, float(score), Box(float(x0), float(y0), float(x1 - x0), float(y1 - y0)))
            for (x0, y0, x1, y1), score in zip(merged, scores, strict=True)
        ]

    def see(self, image: NDArray[np.uint8]) -> Seen:
        """As ``detect``, with its time."""
        began = time.perf_counter()
        found = self.detect(image)
        return Seen(found, Stages(0.0, time.perf_counter() - began, 0.0))

    def windows(self, image: NDArray[np.uint8]) -> tuple[Boxes, NDArray[np.float64]]:
        """Every window that the SVM accepts, and its margin, before anything is merged; the largest margin first."""
        parameters = self._parameters
        height, width = image.shape[:2]
        ratio = min(1.0, parameters.working_height / height)
        if ratio < 1:
            size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        else:
            small = image
        # A person as tall as the frame needs a window that is taller than the frame.
        rows = round(parameters.border_rows * small.shape[0])
        columns = round(parameters.border_columns * small.shape[0])
        framed = cv2.copyMakeBorder(small, rows, rows, columns, columns, cv2.BORDER_REPLICATE)
        if framed.shape[0] < _WINDOW_HEIGHT or framed.shape[1] < _WINDOW_HEIGHT // 2:
            return np.empty((0, 4)), np.empty(0)
        found, margins = self._descriptor().detectMultiScale(
            framed,
            hitThreshold=parameters.hit_threshold,
            winStride=(parameters.win_stride, parameters.win_stride),
            padding=(parameters.padding, parameters.padding),
            scale=parameters.scale,
            groupThreshold=0,
        )
        windows = np.array(found, np.float64).reshape(-1, 4)
        weights = np.array(margins, np.float64).reshape(-1)
        windows[:, 2:] += windows[:, :2]
        # OpenCV's threads finish in any order: an order of our own makes equal images give equal answers.
        order = np.lexsort((*windows.T, -weights))
        windows, weights = windows[order], weights[order]
        return (windows - (columns, rows, columns, rows)) * (width / small.shape[1]), weights


def shrink_boxes(windows: Boxes, shrink: Shrink, width: int, height: int) -> Boxes:
    """Windows without their margin around the person, cut to a frame of ``width`` x ``height`` pixels."""
    wide, tall = windows[:, 2] - windows[:, 0], windows[:, 3] - windows[:, 1]
    boxes = np.stack(
        (
            windows[:, 0] + shrink.left * wide,
            windows[:, 1] + shrink.top * tall,
            windows[:, 2] - shrink.right * wide,
            windows[:, 3] - shrink.bottom * tall,
        ),
        axis=1,
    )
    return np.asarray(boxes.clip(0, (width, height, width, height)), np.float64)


def overlaps(box: NDArray[np.float64], boxes: Boxes) -> NDArray[np.float64]:
    """Intersection over union of ``box`` with each of ``boxes``."""
    size = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    overlap = size.clip(0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return np.asarray(overlap / ((box[2:] - box[:2]).prod() + areas - overlap), np.float64)


def merge(boxes: Boxes, margins: NDArray[np.float64], parameters: HogParameters) -> tuple[Boxes, NDArray[np.float64]]:
    """One box a person from many that overlap, and its largest margin; ``margins`` must fall.

    Each group is the best box left and all that overlap it; its box is their mean, weighted with the margin above
    the threshold, which lies closer to the person than the best one's. Then non-maximum suppression between groups.
    """
    means: list[NDArray[np.float64]] = []
    best: list[float] = []
    left = np.ones(len(boxes), np.bool_)
    for index in range(len(boxes)):
        if not left[index]:
            continue
        group = left & (overlaps(boxes[index], boxes) >= parameters.merge_iou)
        group[index] = True
        left &= ~group
        weights = margins[group] - parameters.hit_threshold + 1e-3
        mean = np.average(boxes[group], axis=0, weights=weights)
        if means and (overlaps(mean, np.array(means)) > parameters.nms_iou).any():
            continue
        means.append(mean)
        best.append(float(margins[index]))
    return np.array(means, np.float64).reshape(-1, 4), np.array(best, np.float64)
