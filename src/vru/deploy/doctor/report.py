"""What the doctor says: what is wrong first, then how much is well."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vru.deploy.checks.fault import Fault
from vru.host.strict_json import write
from vru.host.wire import Check

_ORDER = ("problem", "warning", "unknown")


def lines(checks: Sequence[Check], *, everything: bool = False) -> Iterator[tuple[str, str]]:
    """``(state, line)`` for people: each finding, its fix below it, and the count at the end."""
    for state in (*_ORDER, *(("ok",) if everything else ())):
        for check in checks:
            if check.state == state:
                yield state, f"{state:8} {check.name}: {check.detail}".rstrip(": ")
                if check.fix:
                    yield "fix", f"{'':8} fix: {check.fix}"
    yield "count", summary(checks)


def summary(checks: Iterable[Check]) -> str:
    """One sentence with the numbers."""
    count: Counter[str] = Counter(check.state for check in checks)
    total = sum(count.values())
    if count["ok"] == total:
        return f"All {total} things that were looked at are well."
    words = {"problem": ("problem", "problems"), "warning": ("warning", "warnings"), "unknown": ("unknown", "unknown")}
    shown = [f"{count[state]} {words[state][count[state] != 1]}" for state in _ORDER if count[state]]
    return f"{', '.join(shown)}; {count['ok']} of {total} things that were looked at are well."


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    """For programs: the findings, what is wrong first, and the counts."""
    rank = {state: number for number, state in enumerate((*_ORDER, "ok"))}
    count: Counter[str] = Counter(check.state for check in checks)
    return {
        "ok": not count["problem"],
        "counts": {state: count[state] for state in rank},
        "checks": [write(check) for check in sorted(checks, key=lambda check: rank[check.state])],
    }


def table(faults: Iterable[Fault]) -> str:
    """What some faults are and how each is mended, as the guide has it (Markdown)."""
    rows = ["| looked at | what is wrong | what to do |", "|---|---|---|"]
    for fault in faults:
        # What the finding fills in stands in capitals: {unit} -> UNIT.
        remedy = "the finding says it" if fault.remedy == "{fix}" else fault.remedy
        remedy = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), remedy).replace("|", "\\|")
        rows.append(f"| {fault.name} | {fault.about} | {remedy} |")
    return "\n".join(rows)
