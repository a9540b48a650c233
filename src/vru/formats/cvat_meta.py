"""What CVAT's ``<meta>`` says: which video, or videos, the tracks are of, and how their frames are numbered.

An export of a task has its facts in ``<task>``, one of a job in ``<job>`` with the size of the frames beside it, one of
a project a ``<task>`` each in ``<tasks>``. A project numbers the frames of the tasks of a subset through: each
task's begin where those of the one before end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vru.formats.annotations import FormatError, integer
from vru.formats.limits import MOST_FRAMES, check_pictures

EXPORT = "Export the task from CVAT as 'CVAT for video 1.1'."
_NAMES = ("id", "name", "subset", "size", "start_frame", "stop_frame", "frame_filter")
_SIZES = ("original_size/width", "original_size/height")
# Where a fact of a single video is.
FACTS = {f"annotations/meta/{kind}/{name}": name for kind in ("task", "job") for name in (*_NAMES, *_SIZES)} | {
    f"annotations/meta/{name}": name for name in _SIZES
}
_OF_PROJECT = "annotations/meta/project/tasks/task"
FACTS_OF_PROJECT = {f"{_OF_PROJECT}/{name}": name for name in (*_NAMES, *_SIZES)}
TASK_OF_PROJECT = _OF_PROJECT
LABELS = {f"annotations/meta/{kind}/labels/label/name" for kind in ("task", "job", "project")}


@dataclass(frozen=True, slots=True)
class Task:
    """One video: its ``numbers`` are the frames that were annotated, as the video counts them; the file's own are later
    by ``offset``. The size is None where the file does not say it, as for a video that was uploaded as images.
    """

    id: str
    name: str
    numbers: range
    offset: int
    whole: bool
    width: int | None
    height: int | None

    def place(self, number: int) -> int | None:
        """The place of a frame that the file calls ``number``; None if the task has no such frame."""
        own = number - self.offset
        return self.numbers.index(own) if own in self.numbers else None


def single(facts: Mapping[str, str], where: str, *, complete: bool) -> tuple[list[Task], list[str]]:
    """The only task of a file, and what there is to say of it.

    Raises:
        FormatError: a fact is missing, or cannot be.
    """
    needed = ("size",) if complete else ("size", *_SIZES)
    missing = [name for name in needed if name not in facts]
    if missing:
        raise FormatError(f"<meta> has no <{missing[0]}>: which video the file is about cannot be checked.", EXPORT)
    task = _task(facts, where, 0)
    notes = []
    if not task.whole:
        first, last, step = task.numbers[0], task.numbers[-1], task.numbers.step
        notes.append(f"The task is about frames {first} to {last} of a longer video, in steps of {step}.")
    if task.width is None:
        notes.append("The file does not say the size of the frames, as when a video is uploaded as images.")
    return [task], notes


def project(tasks: Sequence[Mapping[str, str]], where: str) -> tuple[list[Task], list[str]]:
    """The tasks of a project, in the order of the file.

    Raises:
        FormatError: a fact is missing, or cannot be; or there is no task.
    """
    found: list[Task] = []
    names: set[str] = set()
    subset, offset, frames = None, 0, 0
    for facts in tasks:
        missing = [name for name in ("id", "size") if name not in facts]
        if missing:
            raise FormatError(f"{where}: a <task> of the project has no <{missing[0]}>.", EXPORT)
        if facts.get("subset") != subset:
            subset, offset = facts.get("subset"), 0
        task = _task(facts, where, offset, taken=names)
        names.add(task.name)
        offset += task.numbers.start + task.numbers.step * len(task.numbers)
        frames += len(task.numbers)
        check_pictures(frames, where)
        found.append(task)
    if not found:
        raise FormatError(f"{where}: the project has no task.", EXPORT)
    return found, [f"The project has {len(found)} tasks, each of which is a recording."]


def _task(facts: Mapping[str, str], where: str, offset: int, taken: set[str] | None = None) -> Task:
    size = integer(facts.get("size"), f"{where}: size")
    if size <= 0:
        raise FormatError(f"<size> says {size} frames.", EXPORT)
    if size > MOST_FRAMES:
        raise FormatError(
            f"{where}: <size> says {size} frames; at most {MOST_FRAMES} are read.",
            "Cut the video into shorter ones, each with its own export.",
        )
    width, height = (integer(facts[name], f"{where}: {name}") if name in facts else None for name in _SIZES)
    numbers = _frame_numbers(facts, size, where)
    identity, name = facts.get("id", ""), facts.get("name", "")
    if taken is not None and (not name or name in taken):
        name = f"{name} ({identity})"
    return Task(identity, name, numbers, offset, numbers == range(size), width, height)


def _frame_numbers(facts: Mapping[str, str], size: int, where: str) -> range:
    """The video's frames that the task is about."""
    start = integer(facts["start_frame"], f"{where}: start_frame") if facts.get("start_frame") else 0
    said = facts.get("frame_filter") or ""
    step = integer(said.partition("step=")[2], f"{where}: frame_filter {said[:40]}") if said else 1
    last = start + (size - 1) * step
    stop = integer(facts["stop_frame"], f"{where}: stop_frame") if facts.get("stop_frame") else last
    # The stop is the video's own where the filter skips it.
    if start < 0 or step < 1 or not last <= stop < last + step:
        raise FormatError(
            f"The task has {size} frames, but is about frames {start} to {stop} (filter: {said[:40] or 'none'}).",
            EXPORT,
        )
    if stop > MOST_FRAMES:
        raise FormatError(f"<stop_frame> says {stop}; at most {MOST_FRAMES} frames are read.", EXPORT)
    return range(start, last + 1, step)
