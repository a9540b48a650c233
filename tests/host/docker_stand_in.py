"""A stand-in for Docker where only PostgreSQL has to be real: `docker exec` runs the program here, the rest is noted.

No container runs. What Compose would start and stop is a set of names; a one-off container is a function.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.host.containers import container, view_of

from vru.host.base.run import Done, Runner
from vru.host.docker.compose import Compose, Container, View
from vru.host.rolling import rollout

Migrate = Callable[[str], tuple[int, str]]


class DockerStandIn(Runner):
    """Runs PostgreSQL's own programs on a server of the test; keeps which services run."""

    def __init__(self, programs: Path, view: View, database: str, user: str) -> None:
        self.programs, self.view = programs, view
        self.up = set(view.services)
        self.unhealthy: set[str] = set()
        self.environment = {"POSTGRES_USER": user, "POSTGRES_DB": database}
        self.migrate: Migrate = lambda database: (0, "")
        self.commands: list[str] = []
        # Ends this very process before the command of that number, as `kill -9` would.
        self.killed_at: int | None = None

    def __call__(self, argv: Sequence[str], *, check: bool = True, **others: Any) -> Done:
        self._note(argv)
        if argv[:2] == ["docker", "exec"]:
            return super().__call__(self._program(argv), check=check, **others)
        if "stop" in argv:
            self.up -= set(argv[list(argv).index("stop") + 1 :])
        return Done(tuple(argv), 0, "", "")

    def lines(
        self,
        argv: Sequence[str],
        on_line: Callable[[str], None],
        *,
        env: Mapping[str, str] | None = None,
        **others: Any,
    ) -> Done:
        """A one-off container: the test's own migration, on the database that its variables name."""
        self._note(argv)
        code, said = self.migrate((env or {})["VRU_DATABASE_NAME"])
        return Done(tuple(argv), code, said, "")

    @contextmanager
    def process(self, argv: Sequence[str], **others: Any) -> Iterator[subprocess.Popen[bytes]]:
        self._note(argv)
        with super().process(self._program(argv), **others) as process:
            yield process

    def _note(self, argv: Sequence[str]) -> None:
        if len(self.commands) == self.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.commands.append(" ".join(argv))

    def _program(self, argv: Sequence[str]) -> list[str]:
        name, *arguments = argv[list(argv).index("postgres1".ljust(64, "0")) + 1 :]
        return [str(self.programs / name), *arguments]

    def containers(self) -> list[Container]:
        """As Docker would tell of them."""
        found = []
        for name in self.view.services:
            health = "unhealthy" if name in self.unhealthy else "healthy"
            state = "running" if name in self.up else "exited"
            found.append(container(name, state=state, health=health, environment=self.environment, restart="always"))
        return found

    def start(self, compose: Compose, view: View) -> None:
        """In place of `docker compose up`."""
        self._note(["start"])
        self.up |= set(view.services)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the host program ask this instead of Docker."""
        monkeypatch.setattr(Compose, "containers", lambda compose: self.containers())
        monkeypatch.setattr(Compose, "existing", lambda compose: self.containers())
        monkeypatch.setattr(Compose, "view", lambda compose, contents=None: self.view)
        monkeypatch.setattr(rollout, "start", self.start)
        monkeypatch.setattr(rollout, "repair_routes", lambda compose: [])


def platform() -> View:
    """A database, two services that use it, one that does not, and the one-off migration."""
    view = view_of("postgres", "api_gateway", "validation_engine", "grafana", "nginx")
    services = {
        name: replace(service, depends_on=("postgres",) if name in ("api_gateway", "validation_engine") else ())
        for name, service in view.services.items()
    }
    return View(services, {"migrate": replace(services["grafana"], name="migrate", image="engine:1")})
