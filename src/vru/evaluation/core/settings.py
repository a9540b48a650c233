"""What decides the outcome of an evaluation, besides its inputs."""

import math
from dataclasses import dataclass, field

from vru.domain import VruError
from vru.evaluation.core.tables import Floats

# Fewer units prove nothing that one would ask of a slice: ten without a miss prove a recall of 0.74.
SMALLEST_N = 10
# Rain, reflections and posters make a few false boxes at a time: see the simulations in docs/measuring.md.
FALSE_BOXES = 3.0
# Fewer make no interval.
FEWEST_RESAMPLES = 100
# Figures that false boxes do not change, and those that truth does not.
_OF_TRUTH = {"recall", "track_recall", *(f"{name}_{part}_ms" for name in (
    "latency", "latency_reasonable", "longest_gap", "reacquisition") for part in ("median", "p95"))}  # fmt: skip
_OF_FALSE_BOXES = {"fppi", "false_alarms_per_minute"}


@dataclass(frozen=True, slots=True)
class UnseenUnit:
    """How large, and how bad, a unit may be that nobody saw: what PASS and FAIL assume, and the only thing they do.

    ``truth``: how many times as much truth (boxes, or tracks) as the unit with the most has. ``false_boxes``: how many
    false boxes in each frame, each of them a false alarm of its own; or ``truth`` times as many as the unit with the
    most false ones, if that is more. Where nobody says ``false_boxes``, they are 3 in each frame, or as many as the
    detector gave boxes, right and wrong, in the unit with the most, if that is more: all of these may be wrong at once.
    Hard units are often crowded: in simulated campaigns whose hard clips hold up to five times the road users of the
    others, bounds with 1 fail up to 13 % of the time, with 2 less than 5 %.
    """

    truth: float = 2.0
    false_boxes: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.truth < math.inf:
            raise VruError(f"The largest unseen unit cannot have {self.truth} times the truth seen.", "2 is usual.")
        if self.false_boxes is not None and not 0 <= self.false_boxes < math.inf:
            raise VruError(f"A unit cannot have {self.false_boxes} false boxes in each frame.", "3 is usual.")

    def sentence(self, units: str) -> str:
        """What is assumed, for the report."""
        return (
            f"The bounds assume that {units} which were not seen hold at most {self._most_truth}, "
            f"and at most {self._most_false}."
        )

    def condition(self, metric: str, units: str) -> str:
        """What a decision on the ``metric`` rests on, to follow its reason."""
        parts = [*((self._most_truth,) if metric not in _OF_FALSE_BOXES else ())]
        parts += [*((self._most_false,) if metric not in _OF_TRUTH and not metric.startswith("ar_") else ())]
        return f"Assumed of {units} not seen: at most {', and '.join(parts)}."

    @property
    def _most_truth(self) -> str:
        return f"{self.truth:g} times the truth of the fullest one seen"

    @property
    def _most_false(self) -> str:
        seen = f"{self.truth:g} times the most seen"
        if self.false_boxes is None:
            return f"{FALSE_BOXES:g} false boxes a frame (or as many as there were boxes in the fullest one, or {seen})"
        return f"{self.false_boxes:g} false boxes a frame (or {seen})"

    def truths(self, seen: Floats) -> float:
        """Truth of the largest unit not seen, from that of the units ``seen``."""
        return self.truth * float(seen.max(initial=0.0))

    def false_positives(self, seen: Floats, frames: Floats, hits: Floats | None = None) -> float:
        """False boxes of the worst unit not seen, from those of the units ``seen``, their ``frames``, and their boxes
        that are right (None where false alarms are counted, which are no boxes).
        """
        most = float(frames.max(initial=0.0)) * (FALSE_BOXES if self.false_boxes is None else self.false_boxes)
        if self.false_boxes is None and hits is not None:
            most = max(most, float((seen + hits).max(initial=0.0)))
        return max(most, self.truth * float(seen.max(initial=0.0)))


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """Every number that an evaluation depends on.

    ``score_threshold``: detections below it do not count (they still count for the average precision).
    ``iou_threshold``: overlap from which a detection matches a truth box.
    ``confidence_level``: of the two-sided intervals in ``Evaluation.measurements``.
    ``resamples`` and ``seed``: of the weighted bootstrap behind the bounds.
    ``clip_seconds``: length of the clips, the independent units, each with the tracks that begin in it.
    ``alarm_link_iou``: false positives of one class in consecutive evaluated frames that overlap at least this much are
    one false alarm.
    ``reasonable_height``: pixels from which a road user is of reasonable size, for the latencies from there on.
    ``model``: name of the model under test; ground truth that it made itself is refused.
    ``slices``: the subsets to measure besides "all"; see ``vru.evaluation.core.slices``.
    ``unseen``: what the bounds assume of units that were not seen.
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
    unseen: UnseenUnit = field(default_factory=UnseenUnit)
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
        if self.resamples < FEWEST_RESAMPLES:
            raise VruError(
                f"{self.resamples} resamples are too few for an interval.", f"Use at least {FEWEST_RESAMPLES}."
            )
        if self.smallest_n < 1:
            raise VruError(f"The smallest n of a slice cannot be {self.smallest_n}.", "Use 1 or more.")
        if not self.clip_seconds > 0:
            raise VruError(f"A clip cannot last {self.clip_seconds} seconds.", "Use a length above 0.")
        if not 0 <= self.reasonable_height < math.inf:
            raise VruError(f"A reasonable height cannot be {self.reasonable_height} pixels.", "50 is usual.")
