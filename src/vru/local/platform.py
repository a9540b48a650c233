"""The platform as processes: which there are, with which environment, and how they come up together."""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vru.deploy.settings.service_secrets import DATABASE_SERVICES, REDIS_SERVICES, service_secrets
from vru.domain import VruError
from vru.local import postgres, redis_server
from vru.local.layout import Layout, Secrets, load_secrets, write_private
from vru.local.ports import HOST, check_free
from vru.local.processes import ProcessSpec
from vru.local.state import read_state
from vru.local.supervisor import Supervisor

ADMIN_EMAIL = "admin@example.com"

# Whoever presses Ctrl-C waits. What is cut is done again: a run goes on at the next start.
_STOP_TIMEOUT_S = 3.0
_WORKER_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class _Service:
    module: str
    layer: int
    path: str = "/ready"


_SERVICES: Mapping[str, _Service] = {
    "ml_engine": _Service("vru.ml_engine", 1),
    "camera_service": _Service("vru.camera_service", 1),
    "validation_engine": _Service("vru.validation_engine", 1),
    "signer": _Service("vru.signer", 1),
    "validation_worker": _Service("vru.validation_engine.worker", 2, "/metrics"),
    "api_gateway": _Service("vru.gateway", 3),
    "frontend": _Service("vru.frontend", 4),
}


# The services that each calls, or that it is itself, so that it can tell its callers.
_SIGNS_FOR: Mapping[str, tuple[str, ...]] = {
    "ml_engine": ("ml_engine",),
    "camera_service": ("camera_service",),
    "validation_engine": ("validation_engine", "ml_engine", "signer"),
    "validation_worker": ("ml_engine", "signer"),
    "signer": ("signer",),
    "api_gateway": ("ml_engine", "camera_service", "validation_engine"),
}


@dataclass(frozen=True, slots=True)
class Platform:
    """One platform on this machine: its files, its ports and its secrets."""

    layout: Layout
    ports: Mapping[str, int]
    secrets: Secrets
    models: Path

    def url(self, service: str) -> str:
        """Address of a service, without a slash at the end."""
        return f"http://{HOST}:{self.ports[service]}"

    def environment(self, service: str) -> dict[str, str]:
        """What a service gets: this process's environment, and the platform's own variables over it.

        As in production, each has the secrets that it needs, and no other.
        """
        ports = self.ports
        own = {
            "VRU_BIND_HOST": HOST,
            "VRU_MEDIA_DIR": str(self.layout.media),
            "VRU_MODELS_DIR": str(self.models),
            "VRU_CAMERA_STATE_DIR": str(self.layout.root / "camera"),
            "VRU_EVIDENCE_DIR": str(self.layout.root / "sealed"),
            "VRU_SIGNER_DIR": str(self.layout.root / "evidence"),
            "VRU_DATABASE_HOST": HOST,
            "VRU_DATABASE_PORT": str(ports["postgres"]),
            "VRU_DATABASE_NAME": postgres.DATABASE,
            "VRU_REDIS_HOST": HOST,
            "VRU_REDIS_PORT": str(ports["redis"]),
            "VRU_ADMIN_EMAIL": ADMIN_EMAIL,
            "VRU_CORS_ORIGINS": f"{self.url('frontend')},http://localhost:{ports['frontend']}",
            "VRU_MEDIA_ACCEL": "false",
            "VRU_WORKER_GRACE_S": f"{_WORKER_GRACE_S:g}",
            "VRU_WORKER_METRICS_PORT": str(ports["validation_worker"]),
            "PYTHONUNBUFFERED": "1",
        }
        # Workers answer nobody but Prometheus.
        for name in _SERVICES.keys() - {"validation_worker"}:
            own[f"VRU_{name.upper()}_PORT"] = str(ports[name])
            own[f"VRU_{name.upper()}_URL"] = self.url(name)
        return {**os.environ, **own, **self._secrets_of(service)}

    def service_secrets(self) -> dict[str, str]:
        """The secrets of the services among themselves, by variable name."""
        return service_secrets(self.secrets.secret_key, self.secrets.redis_password, self.secrets.database_password)

    def _secrets_of(self, service: str) -> dict[str, str]:
        made = self.service_secrets()
        own = {f"VRU_{name.upper()}_SECRET": made[f"VRU_{name.upper()}_SECRET"] for name in _SIGNS_FOR.get(service, ())}
        if service in REDIS_SERVICES:
            own |= {"VRU_REDIS_USER": service, "VRU_REDIS_PASSWORD": made[f"VRU_{service.upper()}_REDIS_PASSWORD"]}
        if service in DATABASE_SERVICES:
            password = made[f"VRU_{service.upper()}_DATABASE_PASSWORD"]
            own |= {"VRU_DATABASE_USER": f"vru_{service}", "VRU_DATABASE_PASSWORD": password}
        if service == "migrations":
            own |= {"VRU_DATABASE_USER": postgres.USER, "VRU_DATABASE_PASSWORD": self.secrets.database_password}
            own |= {name: value for name, value in made.items() if name.endswith("_DATABASE_PASSWORD")}
        if service == "api_gateway":
            own |= {"VRU_SECRET_KEY": self.secrets.secret_key, "VRU_ADMIN_PASSWORD": self.secrets.admin_password}
        return own

    def redis_passwords(self) -> dict[str, str]:
        """The services' passwords at Redis, by service."""
        made = self.service_secrets()
        return {name: made[f"VRU_{name.upper()}_REDIS_PASSWORD"] for name in REDIS_SERVICES}

    def services(self) -> list[ProcessSpec]:
        """The five services, a worker and the signer."""
        return [
            ProcessSpec(
                name=name,
                argv=(sys.executable, "-m", service.module),
                environment=self.environment(name),
                log=self.layout.logs / f"{name}.log",
                port=self.ports[name],
                missing=_http_check(f"{self.url(name)}{service.path}"),
                layer=service.layer,
                stop_timeout_s=_STOP_TIMEOUT_S,
            )
            for name, service in _SERVICES.items()
        ]

    def migration(self) -> ProcessSpec:
        """The one-off process that brings the database's schema up to date."""
        return ProcessSpec(
            name="migrations",
            argv=(sys.executable, "-m", "vru.service.database.migrate"),
            environment=self.environment("migrations"),
            log=self.layout.logs / "migrations.log",
            port=0,
            missing=lambda: None,
            layer=1,
        )


def open_platform(layout: Layout, ports: Mapping[str, int], models: Path) -> Platform:
    """The platform of a data directory, which is made if it does not exist.

    Raises:
        VruError: the directory cannot be made, its secrets are damaged, or the page was not built.
    """
    try:
        layout.create()
        secrets = load_secrets(layout)
    except OSError as error:
        raise VruError(f"{layout.root} cannot be used: {error.strerror}.", "Give another --data directory.") from None
    _check_page()
    return Platform(layout, ports, secrets, models)


def _check_page() -> None:
    package = find_spec("vru.frontend")
    built = Path(package.origin).parent / "static" if package and package.origin else Path("static")
    static = Path(os.environ.get("VRU_FRONTEND_STATIC_DIR", built))
    if not (static / "index.html").is_file():
        raise VruError(f"The page was not built: there is no {static / 'index.html'}.", "Run `make page`.")


def attach(layout: Layout) -> Platform | None:
    """The platform that runs on a data directory now; None if none does.

    Raises:
        VruError: one is just coming up.
    """
    if not layout.is_locked():
        return None
    state = read_state(layout)
    if state is None or not set(_SERVICES) <= set(state["processes"]):
        raise VruError(f"The platform on {layout.root} is just coming up.", "Try again in a few seconds.")
    return Platform(layout, state["ports"], load_secrets(layout), Path(state["models"]))


@contextmanager
def running(platform: Platform, report: Callable[[str], None]) -> Iterator[Supervisor]:
    """The platform, up and ready, while inside; stopped in order afterwards, however that ends.

    Raises:
        VruError: it runs already, a port is taken, or a process does not come up.
        Interrupted: a stop was asked for while it came up.
    """
    layout, secrets = platform.layout, platform.secrets
    with layout.lock():
        layout.state_file.unlink(missing_ok=True)
        check_free(platform.ports)
        supervisor = Supervisor(report)
        supervisor.on_change = lambda: _write_state(platform, supervisor)
        with supervisor.signals():
            try:
                account = postgres.prepare(layout, secrets.database_password, report)
                database = postgres.spec(layout, platform.ports["postgres"], secrets.database_password, account)
                cache = redis_server.spec(layout, platform.ports["redis"], platform.redis_passwords())
                supervisor.start([database, cache])
                supervisor.run(platform.migration())
                supervisor.start(platform.services())
                yield supervisor
            finally:
                report("stopping")
                supervisor.stop()
                layout.state_file.unlink(missing_ok=True)


def _write_state(platform: Platform, supervisor: Supervisor) -> None:
    state = {
        "pid": os.getpid(),
        "started": time.time(),
        "models": str(platform.models),
        "ports": dict(platform.ports),
        "processes": supervisor.pids,
    }
    write_private(platform.layout.state_file, json.dumps(state, indent=2) + "\n")


def _http_check(url: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        try:
            with urllib.request.urlopen(url, timeout=3):  # noqa: S310 - always http to this machine
                return None
        except urllib.error.HTTPError as error:
            return f"{url} answers {error.code}: {error.read(500).decode(errors='replace')}"
        # No HTTP: before the service listens, a connection to its port may meet itself and read its own request.
        except (OSError, ValueError, http.client.HTTPException) as error:
            return f"{url} does not answer ({error})"

    return missing
