"""One changed line of Python, live: by `vru update`, and by hand as people do it (copy, build, up)."""

import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.deploy.scene import ROOT, Scene, Times, clocked
from tests.e2e.laptop import ADDRESS

FILE = "src/vru/gateway/app.py"
_COMPOSE = f"cd {ROOT} && docker compose -f docker-compose.production.yml"
# Often enough to see a second's tenths, seldom enough for the platform's limit of requests.
_POLL_S = 0.15
# The hand's plain `up -d` ends before anything answers; with `--wait` it ends, as vru does, when all are healthy.
WAYS = ("vru", "by hand", "by hand, waiting")


@dataclass
class Figures:
    """Per way: the command's wall time, the moment from its start at which the new version answers, and bytes sent."""

    command: dict[str, list[float]] = field(default_factory=dict)
    live: dict[str, list[float]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    bytes_sent: list[int] = field(default_factory=list)
    round_trips: list[int] = field(default_factory=list)

    def times(self) -> dict[str, Times]:
        """Wall times by way."""
        return {name: Times(tuple(seconds)) for name, seconds in self.command.items()}

    def lives(self) -> dict[str, Times]:
        """Times to live by way."""
        return {name: Times(tuple(seconds)) for name, seconds in self.live.items()}


class Watcher:
    """Asks the server for its version, over and over, from a thread: when the new one answers, and what failed."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.failed = 0
        self.seen: float | None = None
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                with urllib.request.urlopen(f"http://{ADDRESS}:8000/openapi.json", timeout=5) as answer:
                    body = answer.read().decode()
                if f'"{self.title}"' in body:
                    self.seen = self.seen or time.monotonic() - self._started
            except (OSError, urllib.error.URLError):
                self.failed += 1
            self._stop.wait(_POLL_S)

    def finish(self) -> float:
        """Wait until it was seen; the seconds from the start."""
        deadline = time.monotonic() + 120
        while self.seen is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        self._stop.set()
        self._thread.join(10)
        if self.seen is None:
            raise RuntimeError(f"{self.title!r} never answered")
        return self.seen


def measure(scene: Scene, repeats: int) -> Figures:
    """Alternate the ways. What one builds is in the cache of the other: all but the changed line."""
    figures = Figures()
    original = (scene.laptop.root / FILE).read_text()
    try:
        for number in range(-1, repeats):  # the first round is a warm-up
            ways = WAYS if number % 2 == 0 else WAYS[::-1]
            for way in ways:
                _round(scene, figures, original, way, number)
        _round(scene, figures, original, "vru, default watch", 0)
    finally:
        (scene.laptop.root / FILE).write_text(original)
        scene.vru("update", "--watch", "0")
    return figures


def _round(scene: Scene, figures: Figures, original: str, way: str, number: int) -> None:
    title = f"{way} {number}"
    (scene.laptop.root / FILE).write_text(re.sub(r'title="[^"]*"', f'title="{title}"', original, count=1))
    watcher = Watcher(title)
    outcome: dict[str, int] = {}
    by_hand = way.startswith("by hand")
    if by_hand:
        seconds, _ = clocked(lambda: _by_hand(scene, "--wait" if "waiting" in way else ""))
    else:
        options = () if "default" in way else ("--watch", "0")
        seconds, outcome = clocked(lambda: scene.vru("update", *options))
    live = watcher.finish()
    print(f"  {way}: {seconds:.2f} s, answers after {live:.2f} s, {watcher.failed} requests failed", flush=True)
    if by_hand:
        # The hand left a tag that means something else than it says: made right, and not measured.
        scene.vru("update", "--watch", "0")
    if number < 0:
        return
    figures.command.setdefault(way, []).append(seconds)
    figures.live.setdefault(way, []).append(live)
    figures.refused[way] = figures.refused.get(way, 0) + watcher.failed
    if way == "vru":
        figures.bytes_sent.append(outcome["bytes_sent"])
        figures.round_trips.append(outcome["round_trips"])


def _by_hand(scene: Scene, wait: str) -> None:
    ssh = scene.server.ssh_command()
    # scp takes the port with another letter.
    options = ["-P" if word == "-p" else word for word in ssh[1:-1]]
    program = shutil.which("scp") or "scp"
    source: Path = scene.laptop.root / FILE
    copied = subprocess.run([program, "-q", *options, str(source), f"{ssh[-1]}:{ROOT}/{FILE}"], check=False)
    if copied.returncode != 0:
        raise RuntimeError("scp failed")
    scene.ssh(f"{_COMPOSE} build && {_COMPOSE} up -d {wait}")
