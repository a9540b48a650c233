"""``make test``, ``make e2e``, ``make soak``, ``make lint``, ``make format`` and ``make client``: run the stages of
one, then say how each ended.

Knows the standard library only, so that it can say what is missing. Exit code 1 if a stage failed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "src/vru/frontend/web"
BIN = Path(sys.executable).parent

_CLOSING_LINE = re.compile(r"^=+ .*\b(?:passed|failed|error|errors|skipped|no tests ran|deselected)\b.* in .*=+$")
_SKIPPED = re.compile(r"^SKIPPED \[\d+\] ")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Stage:
    """A command. ``skip`` says why it is not run here."""

    name: str
    argv: Sequence[str | Path]
    folder: Path = ROOT
    environment: Mapping[str, str] = field(default_factory=dict)
    skip: str | None = None


@dataclass
class Outcome:
    """How a stage ended; pytest's closing line, and what it skipped."""

    stage: Stage
    code: int
    seconds: float
    closing: str = ""
    skipped: list[str] = field(default_factory=list)


def run(stage: Stage) -> Outcome:
    """Run one stage and show its output as it comes."""
    print(f"\n--- {stage.name}: {shlex.join(map(str, stage.argv))}", flush=True)
    started = time.monotonic()
    process = subprocess.Popen(
        stage.argv,
        cwd=stage.folder,
        env={**os.environ, **stage.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    outcome = Outcome(stage, 0, 0.0)
    for raw in process.stdout:
        line = raw.decode(errors="replace")
        sys.stdout.write(line)
        sys.stdout.flush()
        plain = _COLOUR.sub("", line).strip()
        if _CLOSING_LINE.match(plain):
            outcome.closing = plain.strip("= ")
        elif _SKIPPED.match(plain):
            outcome.skipped.append(plain)
    outcome.code, outcome.seconds = process.wait(), time.monotonic() - started
    return outcome


def run_all(stages: Sequence[Stage]) -> int:
    """Run the stages and print the summary. Every stage runs, also after one that failed."""
    outcomes = [run(stage) for stage in stages if stage.skip is None]
    print("\n=== Summary")
    for stage in stages:
        if stage.skip is not None:
            print(f"skipped  {stage.name}: {stage.skip}")
    for outcome in outcomes:
        mark = "ok      " if outcome.code == 0 else "FAILED  "
        print(
            f"{mark} {outcome.stage.name} ({outcome.seconds:.0f} s){': ' if outcome.closing else ''}{outcome.closing}"
        )
        for line in outcome.skipped:
            print(f"           {line}")
    failed = [outcome.stage.name for outcome in outcomes if outcome.code != 0]
    print(f"\n{len(failed)} of {len(outcomes)} stages failed: {', '.join(failed)}" if failed else "\nAll stages passed")
    return 1 if failed else 0


def pytest(*arguments: str) -> list[str | Path]:
    """A pytest command."""
    return [sys.executable, "-m", "pytest", *(["--color=yes"] if sys.stdout.isatty() else []), *arguments]


def npm(name: str, script: str) -> Stage:
    """A stage that runs one of the page's scripts, with the Node that builds the page."""
    from vru.frontend.build import find_node

    node, command = find_node()
    # npm starts "node" by name: the one that was chosen comes first.
    path = {"PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}
    return Stage(name, [*command, "run", "--silent", script], WEB, path)


def no_engine() -> str | None:
    """Why the end-to-end tests are not run; None if they are."""
    if os.environ.get("VRU_E2E") == "1":
        return None  # then a missing engine is a failure, which the tests report themselves
    if os.environ.get("VRU_E2E") == "0":
        return "VRU_E2E is 0"
    if shutil.which("docker") is None:
        return "no Docker engine here (there is no `docker` on the PATH)"
    answer = subprocess.run(["docker", "info"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        return f"no Docker engine answers ({answer.stderr.strip().splitlines()[-1:]})"
    return None


def stages(command: str) -> list[Stage]:
    """The stages of one command."""
    ruff, mypy, lint_imports = BIN / "ruff", BIN / "mypy", BIN / "lint-imports"
    skip = no_engine() if command == "test" else None
    e2e = Stage("end-to-end tests", pytest("-m", "e2e and not soak", "tests/e2e"), skip=skip)
    soak = Stage("long tests", pytest("-m", "soak"))
    workers = "2" if (os.cpu_count() or 1) <= 4 else "4"
    return {
        "client": [
            Stage("the page's packages", [sys.executable, "-m", "vru.frontend.build", "--packages"]),
            Stage("the API's description", [sys.executable, "-m", "vru.gateway.openapi", WEB / "openapi.json"]),
            Stage("metrics", [sys.executable, "-m", "vru.frontend.metrics", WEB / "src/lib/metrics.gen.ts"]),
            npm("the client", "client"),
        ],
        "test": [
            Stage("tests", pytest("-m", "not e2e and not soak", "-n", workers, "--dist", "loadfile")),
            npm("the page's tests", "test"),
            e2e,
        ],
        "e2e": [e2e],
        "soak": [soak],
        "lint": [
            Stage("ruff check", [ruff, "check", "."]),
            Stage("ruff format", [ruff, "format", "--check", "."]),
            Stage("mypy", [mypy]),
            Stage("import-linter", [lint_imports]),
            npm("biome", "lint"),
            npm("tsc", "typecheck"),
        ],
        "format": [
            Stage("ruff check --fix", [ruff, "check", "--fix", "."]),
            Stage("ruff format", [ruff, "format", "."]),
            npm("biome", "format"),
        ],
    }[command]


if __name__ == "__main__":
    sys.exit(run_all(stages(sys.argv[1])))
