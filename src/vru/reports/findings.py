"""What went wrong, one by one, as a report shows it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """A truth box that was missed, or a false alarm (which has a ``score``). ``box`` is x, y, width, height in pixels.

    ``nearest`` says in words which box of the other side it overlaps most.
    """

    recording: str
    image: str
    frame: int | None
    time_s: float | None
    road_user: str
    track_id: int | None
    score: float | None
    box: tuple[float, float, float, float]
    nearest: str
    picture: int

    @property
    def place(self) -> str:
        """Where to look: the time if it is known, and the image."""
        return place_of(self.image, self.time_s)

    @property
    def box_words(self) -> str:
        """``12, 30, 40 x 80``."""
        x, y, width, height = self.box
        return f"{x:.0f}, {y:.0f}, {width:.0f} x {height:.0f}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """How long a road user was missed without a break: so many evaluated frames."""

    recording: str
    track_id: int
    road_user: str
    begins: str
    ends: str
    frames: int


@dataclass(frozen=True, slots=True)
class RecordingRow:
    """What was found in one recording, or in one image."""

    recording: str
    images: int
    truth: int
    missed: int
    false_alarms: int

    @property
    def recall(self) -> float | None:
        """Share of the truth boxes found; None where there are none."""
        return (self.truth - self.missed) / self.truth if self.truth else None

    @property
    def precision(self) -> float | None:
        """Share of the detections that are right; None where there are none."""
        hits = self.truth - self.missed
        return hits / (hits + self.false_alarms) if hits + self.false_alarms else None


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rows are the truth's ``classes``, columns the detections'; the last of both is the background."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def with_most_errors(self, most: int) -> "Confusion":
        """Of the classes that occur, so many with the most errors, in their order; and the background."""
        last = len(self.classes) - 1
        sums = [sum(row) + sum(other[place] for other in self.counts) for place, row in enumerate(self.counts)]
        errors = [total - 2 * self.counts[place][place] for place, total in enumerate(sums)]
        occurring = [place for place in range(last) if sums[place]]
        kept = [*sorted(sorted(occurring, key=lambda place: -errors[place])[:most]), last]
        rows = tuple(tuple(self.counts[row][column] for column in kept) for row in kept)
        return Confusion(tuple(self.classes[place] for place in kept), rows)

    @property
    def occurring(self) -> int:
        """How many classes have a truth box or a detection."""
        return sum(bool(sum(row) + sum(other[at] for other in self.counts)) for at, row in enumerate(self.counts[:-1]))


@dataclass(frozen=True, slots=True)
class ScenarioRow:
    """Pictures with the same attributes. ``truth`` and ``missed`` have a number for each band of distance."""

    values: tuple[str, ...]
    images: int
    false_alarms: int
    truth: tuple[int, ...]
    missed: tuple[int, ...]

    @property
    def false_alarms_per_image(self) -> float:
        """Of all classes."""
        return self.false_alarms / self.images

    @property
    def cells(self) -> tuple[str, ...]:
        """Recall with its counts for each band; a dash where there is nobody."""
        pairs = zip(self.truth, self.missed, strict=True)
        return tuple(f"{(all_ - lost) / all_:.3f} ({all_ - lost} of {all_})" if all_ else "–" for all_, lost in pairs)


@dataclass(frozen=True, slots=True)
class Scenarios:
    """Recall by attributes and distance. ``distances`` is empty where none is known: then there is one column."""

    attributes: tuple[str, ...]
    distances: tuple[str, ...]
    rows: tuple[ScenarioRow, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the cells."""
        return self.distances or ("recall",)


@dataclass(frozen=True, slots=True)
class Findings:
    """``misses`` and ``false_alarms`` are the worst of ``missed`` and ``false`` altogether, the worst first, and
    ``stretches`` the longest of ``stretched``. ``sealed`` is whether they are those of a run, whose evidence has every
    box.
    """

    overlap: float
    missed: int
    misses: tuple[Finding, ...]
    false: int
    false_alarms: tuple[Finding, ...]
    stretches: tuple[Stretch, ...]
    confusion: Confusion
    recordings: tuple[RecordingRow, ...]
    scenarios: Scenarios | None
    stretched: int
    sealed: bool

    def all_in(self, table: str) -> str:
        """Where all of a list are, to follow what is said of the worst: of files in a ``table`` of ``--csv``."""
        return "the evidence has every box" if self.sealed else f"NAME.{table}.csv of --csv has all"


def read_findings(document: Mapping[str, Any]) -> Findings:
    """From the document of ``vru.evaluation.dataset.findings``."""
    misses, alarms, confusion = document["misses"], document["false_alarms"], document["confusion"]
    return Findings(
        document["overlap"],
        misses["count"],
        tuple(_finding(row) for row in misses["worst"]),
        alarms["count"],
        tuple(_finding(row) for row in alarms["worst"]),
        tuple(_stretch(row) for row in document["missed_stretches"]),
        Confusion(tuple(confusion["classes"]), tuple(map(tuple, confusion["counts"]))),
        tuple(RecordingRow(**row) for row in document["recordings"]),
        _scenarios(document["scenarios"]) if document["scenarios"] else None,
        document.get("stretch_count", len(document["missed_stretches"])),
        "stretch_count" in document,
    )


def place_of(image: str, time_s: float | None) -> str:
    """``12.300 s, frame 123``."""
    return image if time_s is None else f"{time_s:.3f} s, {image}"


def _finding(row: Mapping[str, Any]) -> Finding:
    x, y, width, height = row["box"]
    return Finding(
        row["recording"],
        row["image"],
        row["frame"],
        row["time_s"],
        row["class"],
        row.get("track_id"),
        row.get("score"),
        (x, y, width, height),
        _nearest(row["nearest"]),
        row["picture"],
    )


def _nearest(near: Mapping[str, Any] | None) -> str:
    if near is None:
        return "none"
    of = f" {near['track_id']}" if near.get("track_id") is not None else ""
    sure = f", confidence {near['score']:.3f}" if "score" in near else ""
    return f"{near['class']}{of}, overlap {near['overlap']:.2f}{sure}"


def _stretch(row: Mapping[str, Any]) -> Stretch:
    begins, ends = (place_of(row[side]["image"], row[side]["time_s"]) for side in ("from", "to"))
    return Stretch(row["recording"], row["track_id"], row["class"], begins, ends, row["frames"])


def _scenarios(document: Mapping[str, Any]) -> Scenarios:
    return Scenarios(tuple(document["attributes"]), tuple(document["distances"]), tuple(_rows(document["rows"])))


def _rows(rows: Iterable[Mapping[str, Any]]) -> Iterable[ScenarioRow]:
    for row in rows:
        yield ScenarioRow(
            tuple(row["values"]), row["images"], row["false_alarms"], tuple(row["truth"]), tuple(row["missed"])
        )
