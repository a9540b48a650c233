"""What decides the outcome of an evaluation, besides its inputs."""

import math
from dataclasses import dataclass

from vru.domain import VruError

# Below ten units the bootstrap does not know its own spread: of ten, a one-sided 95 % bound rests on Student's factor
# 1.83 instead of 1.64, of five on 2.13, of two on 6.3; and exact bounds of fewer prove nothing that one would ask for.
SMALLEST_N = 10


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """Every number that an evaluation depends on.

    ``score_threshold``: detections below it do not count (they still count for the average precision).
    ``iou_threshold``: overlap from which a detection matches a truth box.
    ``confidence_level``: of the two-sided intervals in ``Evaluation.measurements``.
    ``resamples`` and ``seed``: of the bootstrap behind the intervals.
    ``clip_seconds``: length of the time segments that are resampled as independent units.
    ``alarm_link_iou``: false positives of one class in consecutive evaluated frames that overlap at least this much are
    one false alarm.
    ``reasonable_height``: pixels from which a road user is of reasonable size, for the latencies from there on.
    ``model``: name of the model under test; ground truth that it made itself is refused.
    ``slices``: the subsets to measure besides "all"; see ``vru.evaluation.core.slices``.
    ``smallest_n``: a slice's figure from fewer units is shown, and decides nothing.
    ``excluded``: first and last frame of each part of the video that could not be looked at. These frames, and the
    truth in them, count nowhere; nor does the time that they last.
    """

    score_threshold: float = 0.5
    iou_threshold: float = 0.5
    confidence_level: float = 0.95
    resamples: int = 1000
    seed: int = 0
    clip_seconds: float = 10.0
    alarm_link_iou: float = 0.3
    reasonable_height: float = 50.0
    model: str | None = None
    slices: tuple[str, ...] = ()
    smallest_n: int = SMALLEST_N
    excluded: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.score_threshold):
            raise VruError("The score threshold is not a finite number.")
        if not 0 < self.iou_threshold <= 1:
            raise VruError(f"The IoU threshold {self.iou_threshold} is outside 0 to 1.", "0.5 is usual.")
        if not 0 < self.alarm_link_iou <= 1:
            raise VruError(f"The IoU that links false alarms, {self.alarm_link_iou}, is outside 0 to 1.")
        if not 0.5 < self.confidence_level < 1:
            raise VruError(f"The confidence level {self.confidence_level} is outside 0.5 to 1.", "0.95 is usual.")
        if self.resamples < 100:
            raise VruError(f"{self.resamples} resamples are too few for an interval.", "Use at least 100.")
        if self.smallest_n < 1:
            raise VruError(f"The smallest n of a slice cannot be {self.smallest_n}.", "Use 1 or more.")
        if not self.clip_seconds > 0:
            raise VruError(f"A clip cannot last {self.clip_seconds} seconds.", "Use a length above 0.")
        if not 0 <= self.reasonable_height < math.inf:
            raise VruError(f"A reasonable height cannot be {self.reasonable_height} pixels.", "50 is usual.")
