"""One fault: its name, what it means, its fix, and the function that finds it in the evidence."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from vru.deploy.checks.check import ok, problem, unknown, warning
from vru.deploy.checks.evidence import Evidence, UnknownError
from vru.deploy.console import log_file
from vru.host.wire import Check

_PATHS = frozenset({"file", "path", "place", "project"})

Judge = Callable[["Fault", Evidence], Iterator[Check]]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that the doctor knows.

    Attributes:
        name: what was looked at; the finding's name.
        about: what is wrong where it is found, as the guide says it.
        remedy: what to do; ``{names}`` in braces are filled in by the finding.
        judge: yields the findings, one or more: well or not.
    """

    name: str
    about: str
    remedy: str
    judge: Judge

    def ok(self, detail: str = "", *, name: str = "") -> Check:
        """It is not there."""
        return ok(name or self.name, detail)

    def warning(self, detail: str, *, name: str = "", **values: object) -> Check:
        """It is there, and a deployment works all the same."""
        return warning(name or self.name, detail, self._remedy_with(values))

    def problem(self, detail: str, *, name: str = "", **values: object) -> Check:
        """It is there, and it stops a deployment or the platform."""
        return problem(name or self.name, detail, self._remedy_with(values))

    def _remedy_with(self, values: Mapping[str, object]) -> str:
        # Remedies are commands: a path with a space in it has to stay one word.
        return self.remedy.format(
            **{name: shlex.quote(str(value)) if name in _PATHS else value for name, value in values.items()}
        )

    def examine(self, evidence: Evidence) -> list[Check]:
        """Judge; what cannot be judged is said to be unknown."""
        try:
            return list(self.judge(self, evidence))
        except UnknownError as error:
            return [unknown(self.name, f"Cannot be told: {error}.")]
        except (KeyError, ValueError, IndexError) as error:
            # A probe answered in a form that nobody foresaw.
            file = log_file.append(f"{self.name}: {error!r} in\n" + "\n".join(map(str, evidence.seen.items())))
            where = f" (it is in {file})" if file is not None else ""
            return [unknown(self.name, f"Cannot be told: the server's answer has another form{where}.")]


class Faults:
    """The faults of one module, in the order in which they are written."""

    def __init__(self) -> None:
        self.all: list[Fault] = []

    def __call__(self, name: str, about: str, remedy: str) -> Callable[[Judge], Fault]:
        """Make a function a fault. It is given the fault, to make findings with, and the evidence."""

        def make(judge: Judge) -> Fault:
            made = Fault(name, about, remedy, judge)
            self.all.append(made)
            return made

        return make


def examine(faults: Iterable[Fault], evidence: Evidence) -> list[Check]:
    """All findings of some faults, in their order."""
    return [check for one in faults for check in one.examine(evidence)]
