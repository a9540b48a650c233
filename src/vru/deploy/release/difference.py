"""What separates a server from a release: the changes, in order, and what stands in the files that would change."""

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from vru.deploy.release.manifest import Release
from vru.host.release.masking import Mask, is_shown
from vru.host.strict_json import write
from vru.host.wire import Change, Plan, Variable

_CONTEXT_LINES = 3


@dataclass(frozen=True, slots=True)
class FileDifference:
    """What changes inside a file, as a unified diff with secrets masked; ``lines`` is empty where it is no text."""

    path: str
    lines: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For ``--json`` and hooks."""
        return {"path": self.path, "diff": "\n".join(self.lines)}


@dataclass(frozen=True, slots=True)
class Difference:
    """What separates the server from a release.

    ``state`` names what the server is now, ``live`` its release. ``kept`` says whether the server has the manifest.
    ``missing`` names the content that it lacks, by sha256; ``partial`` says how many bytes of it came before a cut.
    ``certain`` is false where the server could not be asked for all of it.
    """

    release: str
    changes: tuple[Change, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    running: str | None
    partial: Mapping[str, int] = field(default_factory=dict)
    state: str = ""
    live: str | None = None
    kept: bool = False
    files: tuple[FileDifference, ...] = ()
    variables: tuple[Variable, ...] = ()
    certain: bool = True

    @property
    def id(self) -> str:
        """A name for this plan: the release, and the server as it is now."""
        return hashlib.sha256(f"{self.release}\0{self.state}".encode()).hexdigest()[:12]

    @classmethod
    def of_plan(cls, plan: Plan, release: Release) -> Self:
        """The server's plan, with the release that it is about."""
        return cls(
            release=release.name,
            changes=plan.changes,
            missing=plan.missing,
            notes=(*plan.notes, *release.notes),
            running=plan.running,
            partial=plan.partial,
            state=plan.state,
            live=plan.release,
            kept=plan.kept,
            files=() if plan.contents is None else tuple(_compare_files(plan.contents, release)),
            variables=plan.env,
        )

    @property
    def prepares(self) -> bool:
        """Whether some of the changes prepare the server, as opposed to those that put the release on it."""
        return any(change.setup for change in self.changes)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``, ``--out`` and hooks; docs/operating.md describes it."""
        return {
            "id": self.id,
            "release": self.release,
            "live": self.live,
            "state": self.state,
            "certain": self.certain,
            "changes": [write(change) for change in self.changes],
            "files": [one.as_json() for one in self.files],
            "variables": [{"name": one.name, "before": one.before, "after": one.after} for one in self.variables],
            "notes": list(self.notes),
            "running": self.running,
            "send": len(self.missing),
        }


def _compare_files(before: Mapping[str, str | None], release: Release) -> Iterator[FileDifference]:
    """Unified diffs of the files whose text the server showed, both sides masked."""
    env = release.environment
    mask = Mask(env)
    for path, old in before.items():
        new = release.text(path)
        if not is_shown(path) or (old is None and new is None):
            continue
        yield FileDifference(path, tuple(unified(path, old, None if new is None else mask(new))))


def unified(path: str, old: str | None, new: str | None) -> Iterator[str]:
    """A unified diff without line ends; None stands for no file. Empty if what differs is masked."""
    yield from difflib.unified_diff(
        [] if old is None else old.splitlines(),
        [] if new is None else new.splitlines(),
        "/dev/null" if old is None else f"server/{path.lstrip('/')}",
        "/dev/null" if new is None else f"release/{path.lstrip('/')}",
        n=_CONTEXT_LINES,
        lineterm="",
    )


def stale(planned: Mapping[str, Any], now: Difference) -> Sequence[str]:
    """What is another since a plan was made (its JSON), a line each; empty if nothing is."""
    said = []
    if planned["release"] != now.release:
        said.append(f"The project has moved on: it makes release {now.release}, the plan was of {planned['release']}.")
    if planned["state"] != now.state:
        if planned["live"] != now.live:
            said.append(f"Release {now.live or 'none'} is live on the server; it was {planned['live'] or 'none'}.")
        before = {_key(one): one for one in planned["changes"]}
        after = {_key(write(change)): change for change in now.changes}
        said += [f"Now it would also {change}." for key, change in after.items() if key not in before]
        said += [
            f"Nothing is left to {one['action']} at {one['resource']} {one['name']} ({one['detail']})."
            for key, one in before.items()
            if key not in after
        ]
    return said


def _key(change: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(change[name]) for name in ("resource", "name", "action", "detail"))
