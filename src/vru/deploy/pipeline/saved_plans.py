"""Plans on the laptop: shown to people, and kept so that a deployment can be held to what was agreed to."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from vru.deploy.release.difference import Difference
from vru.domain import VruError
from vru.host.wire import Change, Variable

_FOLDER = Path(".vru") / "plans"
_ID = re.compile(r"[0-9a-f]{12}")
_KEEP = 20
# Replaced where they stand: nothing can run beside them.
_IN_PLACE = {"postgres": "the database is away meanwhile", "redis": "sessions and limits are away meanwhile",
             "nginx": "nothing answers meanwhile"}  # fmt: skip
_HEADINGS: Mapping[str, tuple[str, ...]] = {
    "Packages and Docker": ("package", "docker"),
    "Directories": ("directory",),
    "Files": ("file",),
    "Kernel settings": ("kernel",),
    "Firewall": ("firewall",),
    "Images": ("image",),
    "Database": ("database", "migration"),
    "Containers": ("container",),
    "nginx": ("nginx",),
    "Units": ("unit", "systemd"),
    "Release": ("release",),
}
_SIGNS = {
    "create": "+",
    "build": "+",
    "pull": "+",
    "install": "+",
    "enable": "+",
    "run": "+",
    "start": "+",
    "remove": "-",
}
_COLOURS = {"+": "green", "-": "red", "~": "yellow"}
# Sources are counted, not listed one by one.
_SOURCES = ("src/", "models/", "uv.lock", "pyproject.toml")
_NAMED_SOURCES = 5


def save(root: Path, difference: Difference) -> Path:
    """Keep a plan below the project's root, the newest twenty of them; the file is its owner's only."""
    folder = root / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"{difference.id}.json"
    write(file, difference)
    kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in kept[_KEEP:]:
        old.unlink()
    return file


def write(file: Path, difference: Difference) -> None:
    """Write a plan's JSON to a file that only its owner reads."""
    file.touch(mode=0o600)
    file.write_text(json.dumps(difference.as_json(), indent=2) + "\n")


def load(root: Path, given: str) -> dict[str, Any]:
    """A kept plan by its id, or one in a file that `vru plan --out` wrote.

    Raises:
        VruError: there is none, or it is none.
    """
    file = root / _FOLDER / f"{given}.json" if _ID.fullmatch(given) else Path(given)
    try:
        plan = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise VruError(f"There is no plan {given} on this laptop.", "Make one: vru plan") from error
    except (OSError, ValueError) as error:
        raise VruError(f"The plan {given} cannot be read: {error}.", "Make a new one: vru plan") from error
    wanted = ("id", "release", "state", "live", "changes")
    if not isinstance(plan, dict) or any(name not in plan for name in wanted):
        raise VruError(f"{file} is no plan.", "Make one: vru plan")
    return plan


def show(difference: Difference, *, colour: bool) -> str:
    """The plan for people."""
    style = click.style if colour else _plain
    lines: list[str] = []
    if difference.running:
        lines += [style(f"Another change is under way: {difference.running}", fg="yellow"), ""]
    if not difference.changes:
        lines.append(f"Nothing to change: release {difference.release} is live, and the server is as it should be.")
    for heading, resources in _HEADINGS.items():
        mine = [change for change in difference.changes if change.resource in resources]
        if mine:
            lines += [style(heading, bold=True), *_changes(mine, difference, style), ""]
    known = {resource for resources in _HEADINGS.values() for resource in resources}
    rest = [change for change in difference.changes if change.resource not in known]
    if rest:
        lines += [style("Other", bold=True), *_changes(rest, difference, style), ""]
    lines += [style(f"note: {note}", fg="yellow") for note in difference.notes]
    if difference.changes:
        if not difference.certain:
            lines.append("The server could not be asked for all of it.")
        lines += [
            f"{len(difference.changes)} changes, {len(difference.missing)} files to send. Nothing was changed.",
            f"To make exactly these: vru deploy --plan {difference.id}",
        ]
    return "\n".join(lines)


def _plain(text: str, **_: Any) -> str:
    return text


def _changes(changes: list[Change], difference: Difference, style: Any) -> Iterator[str]:
    diffs = {one.path: one.lines for one in difference.files}
    sources = [change for change in changes if change.resource == "file" and change.name.startswith(_SOURCES)]
    for change in changes:
        if change in sources:
            continue
        sign = _SIGNS.get(change.action, "~")
        detail = "; ".join(filter(None, (change.detail, _in_place(change))))
        yield style(f"  {sign} {change.action} {change.name}", fg=_COLOURS[sign]) + (f"  {detail}" if detail else "")
        yield from (f"      {_coloured(line, style)}" for line in change.lines)
        if change.resource == "file":
            yield from (f"      {_coloured(line, style)}" for line in diffs.get(change.name, ()))
            if change.name == ".env":
                yield from (f"      {_variable(one)}" for one in difference.variables)
            elif change.name in diffs and not diffs[change.name]:
                yield "      only secrets in it change, or it is no text"
    if sources:
        names = ", ".join(change.name for change in sources[:_NAMED_SOURCES])
        more = f" and {len(sources) - _NAMED_SOURCES} more" if len(sources) > _NAMED_SOURCES else ""
        yield style(f"  ~ {len(sources)} source files", fg=_COLOURS["~"]) + f"  {names}{more}"


def _in_place(change: Change) -> str:
    if change.resource != "container" or change.action != "update" or change.name not in _IN_PLACE:
        return ""
    return f"replaced in place: {_IN_PLACE[change.name]}"


def _variable(one: Variable) -> str:
    before, after = one.before, one.after
    if before is None:
        return f"+ {one.name}={after}"
    if after is None:
        return f"- {one.name}"
    return f"~ {one.name}: {'changed' if before == after else f'{before} -> {after}'}"


def _coloured(line: str, style: Any) -> str:
    if line.startswith("+"):
        return str(style(line, fg="green"))
    return str(style(line, fg="red")) if line.startswith("-") else line
