"""Two versions of a model on the same data: what changed, by how much, and whether the new one is not worse.

Both versions are resampled by the same weights of the same units, so the differences of their replicates are those of
the difference: what is hard about a clip is hard for both, and cancels. In a unit that was not seen it need not.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from vru.domain import Verdict, VruError
from vru.domain.slices import ALL
from vru.evaluation.core.tables import DataSet, Ints
from vru.evaluation.dataset.evaluate import DatasetEvaluation
from vru.evaluation.statistics.estimates import FEWEST, Estimate, Replicates, Resampled, search
from vru.evaluation.verdict.judge import count_of, more_of

# Metrics of which less is better.
_LESS_IS_BETTER = ("fppi", "lamr", "false_alarms_per_minute")
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Margin:
    """By how much a figure of the new version may be worse, in the figure's own unit, to be called not inferior."""

    metric: str
    margin: float
    slice: str = ALL
    confidence_level: float = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """The new version's figure less the old one's, on the same ``n`` units, with their paired replicates: in the unit
    that was not seen, one version is at its worst and the other at its best.
    """

    metric: str
    slice: str
    before: float
    after: float
    n: int
    units: str
    replicates: Replicates

    @property
    def value(self) -> float:
        """After less before."""
        return self.after - self.before

    @property
    def error(self) -> float:
        """Standard error of the difference: the replicates' standard deviation, too small by a share of 1 / (2 n)."""
        return float(np.std(self.replicates.seen, ddof=1)) * math.sqrt((self.n + 1) / max(self.n - 1, 1))

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Bounds of the difference, each one-sided at ``confidence``: Gaffke's; none from a single unit."""
        return Resampled(self.value, self.n, self.replicates, self.units).bounds(confidence)

    def gain_bounds(self, confidence: float) -> tuple[float, float]:
        """The bounds of the gain: of the difference, positive where the new version is better."""
        low, high = self.bounds(confidence)
        return (-high, -low) if self.metric in _LESS_IS_BETTER else (low, high)

    def more_needed(self, margin: float, confidence: float) -> int | None:
        """How many more units would decide the margin if they were like those seen."""
        less = self.metric in _LESS_IS_BETTER
        estimate = Resampled(self.value, self.n, self.replicates, self.units)
        return estimate.more_needed(margin if less else -margin, not less, confidence)

    def power(self, loss: float, confidence: float = 0.95, n: int | None = None) -> float | None:
        """The chance that a true loss of ``loss`` is found significant by ``n`` units like these (default: as many).

        Phi((loss - reach) / error), the reach being that of the bound above the gain. None where it is not known.
        """
        if self.n < FEWEST or not self.error > 0 or loss <= 0:
            return None
        n = n or self.n
        low, high = self.replicates.projected(self.value, self.n, n, confidence)
        reach = self.value - low if self.metric in _LESS_IS_BETTER else high - self.value
        return float(_NORMAL.cdf((loss - reach) / (self.error * math.sqrt(self.n / n))))

    def units_needed(self, loss: float, power: float = 0.8, confidence: float = 0.95) -> int | None:
        """How many units in all find a true loss of ``loss`` with the ``power``; None if none would."""
        if self.power(loss, confidence) is None:
            return None
        more = search(1, lambda n: (self.power(loss, confidence, n) or 0.0) >= power)
        return None if more is None else max(1 + more, FEWEST)


@dataclass(frozen=True, slots=True)
class Judged:
    """A difference held against a margin. ``mark`` is "better" or "worse" where it is proven, else ""."""

    difference: Difference
    margin: Margin
    verdict: Verdict
    mark: str
    reason: str
    more_needed: int | None


@dataclass(frozen=True, slots=True)
class Misses:
    """Road users, named (sequence, track id, class), that only one of the versions missed altogether."""

    newly_missed: tuple[tuple[str, int, str], ...]
    newly_found: tuple[tuple[str, int, str], ...]


def differences(before: DatasetEvaluation, after: DatasetEvaluation) -> dict[tuple[str, str], Difference]:
    """The differences of all figures that both have with replicates, by slice and metric.

    Both must come from ``evaluate_dataset`` on the same truth, with the same number of resamples and the same seed.

    Raises:
        VruError: the units differ, so that the figures are no pairs.
    """
    if before.units.name != after.units.name or before.units.count != after.units.count:
        raise VruError("The versions were measured on different data.", "Compare them on the same truth.")
    result = {}
    for slice_, estimates in before.slices.items():
        for metric, old in estimates.items():
            new = after.slices.get(slice_, {}).get(metric)
            if new is not None and (found := difference_of(metric, slice_, old, new)) is not None:
                result[slice_, metric] = found
    return result


def difference_of(metric: str, slice_: str, old: Estimate, new: Estimate) -> Difference | None:
    """The difference of two estimates from the same draws; None where one was not resampled."""
    if not isinstance(old, Resampled) or not isinstance(new, Resampled) or old.value is None or new.value is None:
        return None
    # Draws come in one order, so those that both have are pairs.
    before, after = old.replicates, new.replicates
    common = min(len(before.low), len(after.low))
    seen = min(len(before), len(after))
    if common < 2:
        return None
    replicates = Replicates(
        after.seen[:seen] - before.seen[:seen],
        after.low[:common] - before.high[:common],
        after.high[:common] - before.low[:common],
        (after.limits[0] - before.limits[1], after.limits[1] - before.limits[0]),
    )
    return Difference(metric, slice_, old.value, new.value, min(old.n, new.n), new.units, replicates)


def judge_margin(difference: Difference, margin: Margin) -> Judged:
    """PASS if the new version is proven to be worse by less than the margin, FAIL if proven worse by more.

    Non-inferiority: the worse one-sided bound of the gain lies above minus the margin.
    """
    low, high = difference.gain_bounds(margin.confidence_level)
    mark = "better" if low > 0 else "worse" if high < 0 else ""
    name = margin.metric if margin.slice == ALL else f"{margin.metric} ({margin.slice})"
    figure = f"{name} went from {difference.before:.4f} to {difference.after:.4f}"
    sure = f"with {margin.confidence_level:.0%} confidence"
    if low >= -margin.margin:
        reason = f"{figure}; {sure} it is worse by no more than {max(0.0, -low):.4f}, within {margin.margin:g}."
        return Judged(difference, margin, Verdict.PASS, mark, reason, None)
    if high < -margin.margin:
        reason = f"{figure}; {sure} it is worse by at least {-high:.4f}, beyond {margin.margin:g}."
        return Judged(difference, margin, Verdict.FAIL, mark, reason, None)
    more = difference.more_needed(margin.margin, margin.confidence_level)
    against = f"against a margin of {margin.margin:g}"
    if math.isfinite(low):
        enough = f" About {more_of(more, difference.units)} like these would decide it." if more else ""
        reason = f"{figure}; {sure} its gain lies between {low:+.4f} and {high:+.4f}, {against}.{enough}"
    else:
        least = f": at least {more_of(more, difference.units)} needed" if more else ""
        reason = f"{figure}; {count_of(difference.n, difference.units)} set no bounds on the change, {against}{least}."
    return Judged(difference, margin, Verdict.INCONCLUSIVE, mark, reason, more)


def judge_comparison(
    found: Mapping[tuple[str, str], Difference], margins: Sequence[Margin]
) -> tuple[Verdict, tuple[Judged, ...]]:
    """Hold the differences against all margins: FAIL if one fails, else INCONCLUSIVE if one is, else PASS.

    All must pass, so a false PASS needs no correction (Berger 1982); for a FAIL the error is divided by the number of
    margins (Bonferroni), so that many of them do not find a loss by chance.

    Raises:
        VruError: a margin names a figure that cannot be compared.
    """
    judged = []
    for margin in margins:
        if (margin.slice, margin.metric) not in found:
            names = ", ".join(sorted({metric for slice_, metric in found if slice_ == margin.slice}))
            raise VruError(
                f"{margin.metric!r} in slice {margin.slice!r} cannot be compared.",
                f"Use one of: {names}." if names else "There must be two units or more, such as sequences or images.",
            )
        difference = found[margin.slice, margin.metric]
        result = judge_margin(difference, margin)
        strict = 1 - (1 - margin.confidence_level) / len(margins)
        if result.verdict == Verdict.FAIL and difference.gain_bounds(strict)[1] >= -margin.margin:
            reason = f"{result.reason} Among {len(margins)} margins that may be chance."
            result = Judged(difference, margin, Verdict.INCONCLUSIVE, result.mark, reason, None)
        judged.append(result)
    verdicts = {result.verdict for result in judged}
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    return next((verdict for verdict in order if verdict in verdicts), Verdict.INCONCLUSIVE), tuple(judged)


def compare_misses(before: DatasetEvaluation, after: DatasetEvaluation) -> Misses:
    """Which road users only one of the versions missed in all their boxes that count. Empty without track ids."""
    old, new = _missed_tracks(before), _missed_tracks(after)
    return Misses(tuple(sorted(new - old)), tuple(sorted(old - new)))


def _missed_tracks(metrics: DatasetEvaluation) -> set[tuple[str, int, str]]:
    if metrics.data is None or metrics.missed is None or metrics.counted is None:
        return set()
    seen, lost = (_boxes_of_tracks(metrics.data, which) for which in (metrics.counted, metrics.missed))
    return {name for name, boxes in lost.items() if boxes == seen[name]}


def _boxes_of_tracks(data: DataSet, which: Ints) -> Counter[tuple[str, int, str]]:
    truth = data.truth.take(which[data.truth.track[which] >= 0])
    return Counter(
        (data.sequences[sequence], track, data.labels[label])
        for sequence, track, label in zip(
            data.sequence[truth.picture].tolist(), truth.track.tolist(), truth.label.tolist(), strict=True
        )
    )
