"""What the tests of releases and of crashes share: a real update, a user who asks all the time, what must be left."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import httpx2
from tests.e2e.laptop import VRU, Laptop, on_server, wait_verified

ROOT = "/opt/vru-platform"
_CHANGED = ("src/vru/gateway/app.py", "templates/prometheus.yml.j2", "templates/nginx.conf.j2", ".env.production")


@contextmanager
def changed_project(laptop: Laptop) -> Iterator[None]:
    """Put the project back as it was, and the server with it."""
    originals = {name: (laptop.root / name).read_bytes() for name in _CHANGED}
    try:
        yield
    finally:
        for name, content in originals.items():
            (laptop.root / name).write_bytes(content)
        end = time.monotonic() + 300
        # A test that failed may have left a change that is still under way.
        while laptop.vru("deploy", "--watch", "0", check=time.monotonic() > end).returncode:
            time.sleep(2)


def change(laptop: Laptop, mark: str, *, minute: int) -> None:
    """An update of every kind: a service's image, two configs, a setting that changes a unit."""
    image, prometheus, nginx, settings = (laptop.root / name for name in _CHANGED)
    text, count = re.subn(r'title="[^"]*"', f'title="{mark}"', image.read_text(), count=1)
    assert count == 1
    image.write_text(text)
    for config in (prometheus, nginx):
        config.write_text(re.sub(r"^# update: .*\n", "", config.read_text()).removeprefix("\n"))
        config.write_text(f"# update: {mark}\n{config.read_text()}")
    text, count = re.subn(r"(?m)^VRU_BACKUP_TIME=.*$", f"VRU_BACKUP_TIME=04:{minute:02}", settings.read_text(), count=1)
    assert count == 1
    settings.write_text(text)


def live_title(laptop: Laptop) -> str:
    """What the gateway calls itself."""
    answer = httpx2.get(laptop.url(8000, "/openapi.json"), timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["info"]["title"])


class User:
    """Asks for the page at port 80 five times a second, each time on a new connection, from enter to exit."""

    def __init__(self, laptop: Laptop, *, timeout_s: float = 10.0) -> None:
        self._url = laptop.url(80)
        self._timeout_s = timeout_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)
        self._pending: list[threading.Thread] = []
        self._started = time.monotonic()
        self.failures: list[str] = []
        self.answers = 0
        self.slowest_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(30)
        for asking in self._pending:
            asking.join(30)
        failed = f"{len(self.failures)} failed: {self.failures[:40]}"
        print(f"{self.answers} answers, the slowest in {self.slowest_s:.2f} s, {failed}")
        if error is None:
            assert self.failures == []
            assert self.answers > 0

    def _ask_on(self) -> None:
        while not self._done.wait(0.2):
            asking = threading.Thread(target=self._ask, daemon=True)
            asking.start()
            self._pending = [one for one in self._pending if one.is_alive()] + [asking]

    def _ask(self) -> None:
        began = time.monotonic()
        try:
            answer = httpx2.get(self._url, timeout=self._timeout_s)
            if answer.status_code != 200:
                self.failures.append(f"after {began - self._started:.1f} s: {answer.status_code}")
        except httpx2.HTTPError as error:
            self.failures.append(f"after {began - self._started:.1f} s: {type(error).__name__} {error}")
        else:
            self.answers += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)


def assert_whole(laptop: Laptop) -> None:
    """Nothing is left to change, nothing is left over, and everything works."""
    assert "Nothing to change" in laptop.vru("deploy", "--watch", "0").stdout
    wait_verified(laptop)
    left = on_server(
        laptop,
        f"find {ROOT} /etc /usr/local -xdev -path {ROOT}/data -prune -o "
        r"\( -name '*.vru-new' -o -name '.partial-*' -o -name '.program-*' -o -name '.incoming-*' \) -print; "
        "docker ps -a --filter label=com.docker.compose.project=vru-platform "
        "--format '{{.Names}} {{.State}}' | grep -v ' running$' || true; "
        "docker ps --filter label=com.docker.compose.project=vru-platform "
        "--format '{{.Label \"com.docker.compose.service\"}}' | sort | uniq -d; "
        "docker ps -aq --filter label=com.docker.compose.oneoff=True; "
        "ls -d /tmp/vru-plan-* 2>/dev/null || true; "
        "systemctl list-units --all --plain --no-legend 'vru-apply-*'",
    )
    assert left == ""


def start(laptop: Laptop, *arguments: str) -> "subprocess.Popen[str]":
    """Run `vru` beside the test."""
    return subprocess.Popen(
        [VRU, *arguments],
        cwd=laptop.root,
        env={**os.environ, "HOME": str(laptop.home), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
