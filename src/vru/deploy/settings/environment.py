"""``.env.production``: read strictly, written by ``vru init``."""

import difflib
import secrets
import shlex
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from ipaddress import IPv4Network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from dotenv.parser import Binding, parse_stream

from vru.deploy.settings import values
from vru.deploy.settings.service_secrets import service_secrets
from vru.deploy.settings.variable import Scope, Variable
from vru.deploy.settings.variables import END_MARKER, PUBLISHED, VARIABLES, layout
from vru.domain import VruError
from vru.host.base.disk import write_atomic

FILE_NAME = ".env.production"
PRODUCTION_FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the file; ``line`` is None where it is about no single line."""

    message: str
    fix: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.message} {self.fix}".rstrip()


class EnvironmentFileError(VruError):
    """The file cannot be used. ``problems`` has all of them, in the order of their lines."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line or 0))
        if len(self.problems) == 1:
            only = self.problems[0]
            where = f"{path}, line {only.line}" if only.line is not None else f"{path}"
            super().__init__(f"{where}: {only.message}", only.fix)
        else:
            listed = "".join(f"\n  - {problem}" for problem in self.problems)
            super().__init__(f"{path} has {len(self.problems)} problems:{listed}")


@dataclass(frozen=True, slots=True)
class Environment:
    """What the operator set, checked, with the defaults filled in. Its ``repr`` shows no value."""

    path: Path
    values: Mapping[str, str] = field(repr=False)

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def replace(self, **changes: str) -> "Environment":
        """The same with other values, for options of the command line such as ``--host``.

        Raises:
            VruError: a value is not allowed.
        """
        problems = [found for name, value in changes.items() if (found := _check_value(VARIABLES[name], value, None))]
        if problems:
            raise VruError(problems[0].message, problems[0].fix)
        return Environment(self.path, {**self.values, **changes})

    def require_host(self) -> str:
        """The SSH address.

        Raises:
            VruError: none is set.
        """
        if not self["VRU_HOST"]:
            raise VruError("No server is named.", f"Set VRU_HOST in {self.path.name} or give --host.")
        return self["VRU_HOST"]

    @property
    def host(self) -> str | None:
        """SSH address of the server, if one is named."""
        return self["VRU_HOST"] or None

    @property
    def ssh_port(self) -> int | None:
        """SSH port; None leaves it to ``~/.ssh/config``."""
        return int(self["VRU_SSH_PORT"]) if self["VRU_SSH_PORT"] else None

    @property
    def ssh_user(self) -> str | None:
        """SSH user; None leaves it to ``~/.ssh/config``."""
        return self["VRU_SSH_USER"] or None

    @property
    def ssh_key(self) -> Path | None:
        """File of the SSH key; None leaves it to the agent and the usual files."""
        return Path(self["VRU_SSH_KEY"]) if self["VRU_SSH_KEY"] else None

    @property
    def external_ip(self) -> str:
        """The address that users see; ``localhost`` where not even the SSH address is set."""
        return self["VRU_EXTERNAL_IP"] or self["VRU_HOST"] or "localhost"

    @property
    def tls(self) -> bool:
        """Whether nginx speaks HTTPS."""
        return self["VRU_TLS"] != "off"

    @property
    def http_port(self) -> int:
        """Where page and API are published; with TLS only a redirect to :attr:`page_port`."""
        return int(self["VRU_HTTP_PORT"])

    @property
    def page_port(self) -> int:
        """Where users find the page."""
        return int(self["VRU_HTTPS_PORT"]) if self.tls else self.http_port

    @property
    def frontend_port(self) -> int:
        """Where the page is published a second time."""
        return int(self["VRU_FRONTEND_PUBLIC_PORT"])

    @property
    def api_port(self) -> int:
        """Where the API is published."""
        return int(self["VRU_API_PUBLIC_PORT"])

    @property
    def monitoring_port(self) -> int:
        """Where Grafana is published, for :attr:`monitoring_allow`."""
        return int(self["VRU_MONITORING_PUBLIC_PORT"])

    @property
    def published_ports(self) -> tuple[int, ...]:
        """All ports that nginx publishes."""
        return (*self.open_ports, self.monitoring_port)

    @property
    def open_ports(self) -> tuple[int, ...]:
        """Those of them that everybody may reach."""
        return tuple(dict.fromkeys((self.http_port, self.page_port, self.frontend_port, self.api_port)))

    @property
    def trusted_proxies(self) -> tuple[str, ...]:
        """Networks of proxies before nginx whose word on clients is taken."""
        return tuple(values.networks(self["VRU_TRUSTED_PROXIES"]))

    @property
    def monitoring_allow(self) -> tuple[str, ...]:
        """Networks that may reach Grafana."""
        return tuple(values.networks(self["VRU_MONITORING_ALLOW"]))

    @property
    def docker_source(self) -> Literal["distribution", "docker"]:
        """Where setup takes Docker from."""
        return "docker" if self["VRU_DOCKER_SOURCE"] == "docker" else "distribution"

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """Origins whose pages may call the API; by default the ones that this platform's page has itself."""
        given = values.origins(self["VRU_CORS_ORIGINS"])
        return tuple(given or dict.fromkeys((self.url(self.page_port), self.url(self.frontend_port))))

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """The names under which users reach the platform: those that are given, and those in its addresses.

        Not the name by which this laptop reaches its sshd: a release is the same whatever way it is sent.
        """
        origins = (urlsplit(origin).hostname or "" for origin in self.cors_origins)
        given = (*values.hosts(self["VRU_ALLOWED_HOSTS"]), self.external_ip, *origins)
        return tuple(dict.fromkeys(name.lower() for name in given if name))

    @property
    def service_secrets(self) -> dict[str, str]:
        """The secrets of the services among themselves, by variable name."""
        return service_secrets(self["VRU_SECRET_KEY"], self["VRU_REDIS_PASSWORD"], self["VRU_DATABASE_PASSWORD"])

    @property
    def watch_s(self) -> float:
        """Seconds for which new containers are watched while the old ones stand by."""
        return values.patience(self["VRU_WATCH_S"])

    @property
    def edge_gateway(self) -> str:
        """The server's own address on nginx's network: requests made on the server itself come from there."""
        return str(next(IPv4Network(self["VRU_EDGE_SUBNET"]).hosts()))

    def url(self, port: int, scheme: str = "http") -> str:
        """The address of a published port as users type it; with TLS ``http`` is ``https``, and ``ws`` is ``wss``."""
        return self._url(f"{scheme}s", port, 443) if self.tls else self._url(scheme, port, 80)

    @property
    def redirecting_url(self) -> str:
        """The page's address without TLS, as people type it; with TLS it leads to the other."""
        return self._url("http", self.http_port, 80)

    def _url(self, scheme: str, port: int, usual: int) -> str:
        name = f"[{self.external_ip}]" if ":" in self.external_ip else self.external_ip
        return f"{scheme}://{name}" if port == usual else f"{scheme}://{name}:{port}"

    def secrets(self) -> tuple[str, ...]:
        """The values that must never be shown, for whoever writes logs."""
        given = (
            self[variable.name]
            for variable in VARIABLES.values()
            if variable.secret and variable.scope is Scope.OPERATOR and self[variable.name]
        )
        return (*given, *self.service_secrets.values())


def load(path: Path, *, host: str | None = None) -> Environment:
    """Read and check the file; ``host`` replaces VRU_HOST.

    Raises:
        EnvironmentFileError: it is missing, truncated, readable by others, or a value in it cannot be used; all
            problems are reported at once, with their lines.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise EnvironmentFileError(
            path, [Problem("There is no such file.", "Make it with: vru init --host ADDRESS")]
        ) from None
    except UnicodeDecodeError as error:
        raise EnvironmentFileError(
            path, [Problem(f"It is not UTF-8 text: {error.reason}.", "Write it again with: vru init --force")]
        ) from None
    except OSError as error:
        raise EnvironmentFileError(
            path, [Problem(f"It cannot be read: {error.strerror}.", "Check who owns it.")]
        ) from None
    found, problems = _parse(text)
    problems += _check_end(text)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode != PRODUCTION_FILE_MODE:
        problems.append(
            Problem(f"It holds passwords, but its mode is {mode:04o}.", f"Run: chmod 600 {shlex.quote(str(path))}"),
        )
    missing = [name for name, variable in VARIABLES.items() if variable.required and name not in found]
    problems += [Problem(f"{name} is not set: {VARIABLES[name].about}.", "Run: vru init --force") for name in missing]
    merged = {
        variable.name: found.get(variable.name) or variable.default
        for variable in VARIABLES.values()
        if variable.scope is Scope.OPERATOR
    }
    problems += _check_together(merged)
    if problems:
        raise EnvironmentFileError(path, problems)
    environment = Environment(path, merged)
    return environment.replace(VRU_HOST=host) if host else environment


def generate(path: Path, given: Mapping[str, str], *, force: bool = False) -> Environment:
    """Write the file: ``given`` values, those of an existing file, defaults, and new passwords where there are none.

    The file replaces the old one in one step; the old one stays beside it as ``.env.production.previous``.

    Args:
        path: where.
        given: values by variable name.
        force: write even if the file exists.

    Raises:
        VruError: the file exists and ``force`` is not set, or a given value is not allowed.
    """
    existing: dict[str, str] = {}
    if path.exists():
        if not force:
            raise VruError(f"{path} exists.", "Give --force to write it anew; its values are kept.")
        previous = path.read_bytes()
        existing, _ = _parse(previous.decode(errors="replace"))
        write_atomic(path.with_name(path.name + ".previous"), previous, PRODUCTION_FILE_MODE)
    for name, value in given.items():
        variable = VARIABLES.get(name)
        if variable is None or variable.scope is not Scope.OPERATOR:
            raise VruError(f"{name} is not a variable that can be set.", _suggestion(name))
        if problem := _check_value(variable, value, None):
            raise VruError(problem.message, problem.fix)
    merged = {**existing, **given}
    for variable in VARIABLES.values():
        if variable.secret and variable.scope is Scope.OPERATOR and not merged.get(variable.name):
            # 32 random bytes as 43 characters of [A-Za-z0-9_-]: no program on the way quotes or escapes them.
            merged[variable.name] = secrets.token_urlsafe(32)
    write_atomic(path, layout(merged).encode(), PRODUCTION_FILE_MODE)
    return load(path)


def _parse(text: str) -> tuple[dict[str, str], list[Problem]]:
    """The usable values in the text, and what is wrong with the rest."""
    found: dict[str, str] = {}
    first_line: dict[str, int] = {}
    problems: list[Problem] = []
    for binding in parse_stream(StringIO(text)):
        line = _line_of(binding)
        if binding.error:
            problems.append(Problem("This is no NAME=value.", "Close its quotes, or remove the line.", line))
            continue
        if binding.key is None:
            continue
        name, value = binding.key, binding.value
        variable = VARIABLES.get(name)
        if value is None:
            problems.append(Problem(f"{name} has no = and no value.", f"Write {name}=value or remove the line.", line))
        elif name in first_line:
            problems.append(
                Problem(f"{name} is set again, first on line {first_line[name]}.", "Keep one of the two.", line)
            )
        elif variable is None:
            problems.append(Problem(f"{name} is not a variable of this platform.", _suggestion(name), line))
        elif variable.scope is not Scope.OPERATOR:
            problems.append(Problem(f"{name} is set by the platform itself.", "Remove the line.", line))
        else:
            first_line[name] = line
            problem = _check_value(variable, value, line)
            if problem:
                problems.append(problem)
            # A wrong value counts as set: it is reported once, not a second time as missing.
            found[name] = value or ""
    return found, problems


def _line_of(binding: Binding) -> int:
    """The line of the name: a binding also swallows the blank lines before it."""
    original = binding.original.string
    leading = original[: len(original) - len(original.lstrip())]
    return binding.original.line + leading.count("\n")


def _check_value(variable: Variable, value: str, line: int | None) -> Problem | None:
    if not value:
        if variable.required:
            return Problem(f"{variable.name} is empty: {variable.about}.", "Run: vru init --force", line)
        return None
    try:
        values.text(value)
        if variable.check is not None:
            variable.check(value)
    except ValueError as error:
        shown = "" if variable.secret else f" (it is {value!r})"
        return Problem(f"{variable.name} {error}{shown}.", "Correct the value.", line)
    return None


def _check_end(text: str) -> list[Problem]:
    """The marker tells a whole file from one that was cut; what somebody appended below it is as good as the rest."""
    lines = text.splitlines()
    if END_MARKER in lines and text.endswith("\n"):
        return []
    if END_MARKER in lines[:-1]:
        message = "The last line has no line end: it may have been cut."
        return [Problem(message, "Look at its value, and press Enter behind it.", len(lines))]
    return [
        Problem(
            f"The file seems truncated: it has no line '{END_MARKER}'.",
            "Get the whole file back, or add that line at its end if nothing is missing.",
            len(lines) or 1,
        )
    ]


def _check_together(merged: Mapping[str, str]) -> list[Problem]:
    ports: dict[str, str] = {}
    problems = []
    tls = merged["VRU_TLS"]
    for name, _, _ in PUBLISHED.values():
        if name == "VRU_HTTPS_PORT" and tls == "off":
            continue
        other = ports.setdefault(merged[name], name)
        if other != name:
            problems.append(Problem(f"{other} and {name} are both {merged[name]}.", "Give each its own port."))
    needed = {"selfsigned": ("VRU_TLS_SEED",), "files": ("VRU_TLS_CERTIFICATE", "VRU_TLS_KEY")}
    for name in needed.get(tls, ()):
        if not merged[name]:
            fix = "Run: vru init --force" if VARIABLES[name].secret else "Name the file, or choose another VRU_TLS."
            problems.append(Problem(f"VRU_TLS={tls} needs {name}, which is not set.", fix))
    return problems


def _suggestion(name: str) -> str:
    operators = [variable.name for variable in VARIABLES.values() if variable.scope is Scope.OPERATOR]
    close = difflib.get_close_matches(name, operators, n=1, cutoff=0.7)
    return f"Did you mean {close[0]}?" if close else "Remove it; .env.production.example lists all variables."
