"""What a report says, whatever it is written as."""

from collections import Counter
from dataclasses import dataclass

from vru.domain import Comparator, Severity, Verdict
from vru.reports.findings import Findings
from vru.reports.pictures import Pictures

ALL = "all"
# Slices are ordered by the first of these figures that most of them have, and the sign that makes the worst come first.
_HEADLINES = (("f1", 1), ("recall", 1), ("ap", 1), ("ap_moderate", 1), ("hota", 1), ("mota", 1), ("lamr", -1))

_MEANINGS = {
    Verdict.PASS: "The data prove that every required criterion is met.",
    Verdict.FAIL: "The data prove that a required criterion is not met.",
    Verdict.INCONCLUSIVE: "It is proven neither that every required criterion is met nor that one is not: the data are "
    "too few, or no criterion is required.",
}
# What the small plot of a criterion shows.
PLOT_WORDS = (
    "In each plot the dot is what was measured, the bar its interval, the upright line what is required; the side that "
    "meets it is tinted."
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One line about an input or a setting."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Section:
    """What is known about one input: a video, a file, a model."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its two-sided interval; None where the data do not determine it. ``units`` says what n counts,
    ``too_few`` that a slice's figure rests on fewer units than one that decides anything,
    ``decides`` that a criterion is held against this interval.
    """

    metric: str
    slice: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    units: str = ""
    unit: str = ""
    confidence_level: float = 0.95
    too_few: bool = False
    decides: bool = False

    @property
    def level(self) -> str:
        """The interval's level in words. One that decides is two bounds, each of which holds by itself."""
        percent = f"{self.confidence_level * 100:g} %"
        return f"{percent} (each bound {50 + self.confidence_level * 50:g} %), decides" if self.decides else percent

    @property
    def counted(self) -> str:
        """``n`` in words, such as "12 clips"."""
        units = self.units.removesuffix("s") if self.n == 1 else self.units
        return f"{self.n} {units}".strip() + (" (too few)" if self.too_few else "")


@dataclass(frozen=True, slots=True)
class Judged:
    """A criterion, what was measured for it, and how it came out."""

    comparator: Comparator
    threshold: float
    confidence_level: float
    severity: Severity
    measured: Measured
    verdict: Verdict
    reason: str
    more_needed: int | None = None

    @property
    def requirement(self) -> str:
        """Such as ``recall >= 0.95``; with the slice where it is not "all"."""
        of = "" if self.measured.slice == ALL else f" ({self.measured.slice})"
        unit = f" {self.measured.unit}" if self.measured.unit else ""
        return f"{self.measured.metric}{of} {self.comparator.value} {self.threshold:g}{unit}"


@dataclass(frozen=True, slots=True)
class TrackRow:
    """One road user. Times are media seconds; a miss has no detection and no latency. ``recording`` is "" where
    there is only one.
    """

    track_id: int
    road_user: str
    first_visible_s: float
    last_visible_s: float
    first_detected_s: float | None
    latency_ms: float | None
    recording: str = ""

    @property
    def outcome(self) -> str:
        """``detected`` or ``not detected``."""
        return "not detected" if self.first_detected_s is None else "detected"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: see ``vru.evaluation.video.curves.Curve``."""

    chart: str
    series: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One of TIDE's kinds of error: how many, and how much average precision mending them would gain."""

    kind: str
    count: int
    ap_gained: float


@dataclass(frozen=True, slots=True)
class Report:
    """A validation's outcome.

    ``approved`` is whether a person vouches for the ground truth, None where that is not recorded. ``failure`` says
    why a run has no figures. ``times`` say who made it and when. ``method`` says how the bounds were made,
    ``seconds`` how long each step took.
    """

    title: str
    kind: str
    verdict: Verdict | None
    approved: bool | None
    inputs: tuple[Section, ...]
    settings: tuple[Fact, ...]
    measurements: tuple[Measured, ...]
    criteria: tuple[Judged, ...]
    notes: tuple[str, ...]
    tracks: tuple[TrackRow, ...]
    curves: tuple[Line, ...]
    errors: tuple[ErrorKind, ...]
    platform: str
    times: tuple[Fact, ...] = ()
    failure: str | None = None
    findings: Findings | None = None
    method: str = ""
    under_test: tuple[Fact, ...] = ()
    seconds: tuple[tuple[str, float], ...] = ()
    pictures: Pictures | None = None

    @property
    def meaning(self) -> str:
        """What the verdict says, in words; "" without one."""
        return "" if self.verdict is None else _MEANINGS[self.verdict]

    @property
    def passed(self) -> str:
        """How many criteria passed; "" without any."""
        met = sum(result.verdict == Verdict.PASS for result in self.criteria)
        return f"{met} of {len(self.criteria)} criteria passed." if self.criteria else ""

    @property
    def slices(self) -> tuple[str, ...]:
        """The slices besides "all", worst first: by the first figure of those that most of them have."""
        parts = {row.slice for row in self.measurements} - {ALL}
        known = Counter(row.metric for row in self.measurements if row.slice in parts and row.value is not None)
        headline, sign = max(_HEADLINES, key=lambda item: known[item[0]])
        values = {row.slice: row.value for row in self.measurements if row.metric == headline}

        def badness(name: str) -> tuple[bool, float, str]:
            value = values.get(name)
            return (value is None, sign * (value or 0.0), name)

        return tuple(sorted(parts, key=badness))

    def of_slice(self, name: str) -> tuple[Measured, ...]:
        """The figures of one slice."""
        return tuple(row for row in self.measurements if row.slice == name)
