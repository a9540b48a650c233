"""The one place that runs other programs: no shell, the C locale, an environment that cannot leak into Compose."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .errors import HostError

# A variable of the caller's shell would win over `.env` in Compose, and a locale would change what is parsed.
_DROPPED_PREFIXES = ("COMPOSE_", "VRU_", "LC_", "DOCKER_")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Done:
    """What a program answered."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.code == 0

    def last_words(self, lines: int = 3) -> str:
        """The last lines it wrote, errors first, for a message."""
        text = self.err.strip() or self.out.strip() or "it said nothing"
        return " / ".join(text.splitlines()[-lines:])


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for other programs: the caller's, without what could change their meaning."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED_PREFIXES)}
    kept.update(LANG="C", LC_ALL="C", PATH=_PATH)
    kept.update(extra or {})
    return kept


class Runner:
    """Runs programs. Secrets go through stdin, never through ``argv``.

    ``guard`` is called before each; while a change is made it stops one that has lost the lock.
    """

    guard: Callable[[], None] | None = None

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        check: bool = True,
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
        fix: str = "",
    ) -> Done:
        """Run to the end and return exit code and output.

        Raises:
            HostError: it is not installed, it timed out, or (with ``check``) it failed.
        """
        self._check()
        try:
            done = subprocess.run(
                list(argv),
                input=None if stdin is None else stdin.encode(),
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                timeout=timeout,
                check=False,
                env=environment(env),
            )
        except FileNotFoundError as error:
            if not check:
                return Done(tuple(argv), 127, "", f"{argv[0]}: not installed")
            raise HostError(f"The program `{argv[0]}` is not installed.", fix) from error
        except subprocess.TimeoutExpired as error:
            raise HostError(f"`{_shown(argv)}` gave no answer in {timeout:.0f} s.", fix) from error
        result = Done(
            tuple(argv), done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        if check and not result.ok:
            raise HostError(f"`{_shown(argv)}` ended with {result.code}: {result.last_words()}", fix)
        return result

    def lines(
        self,
        argv: Sequence[str],
        on_line: Callable[[str], None],
        *,
        timeout: float = 3600,
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run and hand over each line of output and errors as it comes; the result holds the last 200 of them.

        Raises:
            HostError: it is not installed, or it ran longer than ``timeout`` seconds.
        """
        kept: list[str] = []
        with self.process(argv, env=env, stderr=subprocess.STDOUT) as process:
            killer = threading.Timer(timeout, process.kill)
            killer.start()
            for raw in process.stdout or ():
                line = raw.decode(errors="replace").rstrip()
                if line:
                    kept.append(line)
                    del kept[:-200]
                    on_line(line)
            code = process.wait()
            timed_out = not killer.is_alive()
            killer.cancel()
        if timed_out:
            raise HostError(f"`{_shown(argv)}` took longer than {timeout:.0f} s and was stopped.")
        return Done(tuple(argv), code, "\n".join(kept), "")

    @contextmanager
    def process(
        self,
        argv: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stderr: int = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start a program whose output is read while it runs; it is killed if the block is left before its end.

        Raises:
            HostError: it is not installed.
        """
        self._check()
        try:
            process = subprocess.Popen(
                list(argv), stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=environment(env)
            )
        except FileNotFoundError as error:
            raise HostError(f"The program `{argv[0]}` is not installed.") from error
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None and not pipe.closed:
                    pipe.close()
            process.wait()

    def _check(self) -> None:
        if self.guard is not None:
            self.guard()


def _shown(argv: Sequence[str]) -> str:
    text = " ".join(argv)
    return text if len(text) <= 160 else text[:157] + "..."
