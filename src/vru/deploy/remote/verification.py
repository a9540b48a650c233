"""Verification: the platform as the server sees it, and as its users see it from outside."""

import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from vru.deploy.checks.check import ok, problem, problems, warning
from vru.deploy.console import log_file
from vru.deploy.release import certificates
from vru.deploy.server import host_program
from vru.deploy.settings.environment import Environment
from vru.deploy.ssh.connection import RemoteError, Server
from vru.host.strict_json import read
from vru.host.wire import Check, Verification

_TIMEOUT_S = 10.0
# Whoever deploys may be at the limit of requests for other reasons: a browser that is open, a test that runs.
_TOO_MANY, _PATIENCE = 429, 5
# What must never answer from outside: the services' own ports and the stores behind them.
_CLOSED_PORTS = (5432, 6379, 8001, 8002, 8003, 9090, 9093, 9100)


def verify_on_server(server: Server) -> list[Check]:
    """The host program's own verification: containers, endpoints through nginx, units, migrations.

    Raises:
        RemoteError: it gave no answer.
    """
    completed = host_program.run(server, "verify", "--json", check=False)
    try:
        return list(read(Verification, json.loads(completed.stdout)).checks)
    except ValueError as error:
        reason = log_file.said(completed.stderr or completed.stdout, last=True)
        raise RemoteError(
            f"The server cannot verify itself: {reason}", "Is the platform deployed? Run: vru deploy"
        ) from error


def verify_outside(environment: Environment, own: Mapping[int, str] | None = None) -> list[Check]:
    """The addresses that users are told, and the ports that must be shut, tried from here.

    ``own``: the ports of the server's own programs, which may answer.
    """
    may_answer = {*environment.published_ports, *(own or {})}
    host = environment.external_ip
    urls = {
        "page": f"{environment.url(environment.page_port)}/",
        "page at its own port": f"{environment.url(environment.frontend_port)}/",
        "API documentation": f"{environment.url(environment.api_port)}/docs",
        "health": f"{environment.url(environment.api_port)}/health",
    }
    context = certificates.client_context(environment)
    if context is not None:
        urls["redirect to HTTPS"] = f"{environment.redirecting_url}/"
    with ThreadPoolExecutor(max_workers=len(urls) + len(_CLOSED_PORTS)) as pool:
        answers = pool.map(lambda name: _check_url(name, urls[name], context), urls)
        shut = pool.map(lambda port: _check_shut(host, port), (p for p in _CLOSED_PORTS if p not in may_answer))
        return [*answers, *shut]


class OutsideChecks:
    """The same checks, begun at once and side by side with whatever else is done."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._pool = ThreadPoolExecutor(1)
        self._checks = self._pool.submit(verify_outside, environment)

    def checks(self, *, changed: bool, own: Mapping[int, str]) -> list[Check]:
        """What came out; looked at once more where something was ``changed`` meanwhile, or did not answer.

        ``own``: the ports of the server's own programs, which may answer.
        """
        found = self._checks.result()
        return verify_outside(self._environment, own) if changed or problems(found) else found


def worst(checks: Iterable[Check]) -> str:
    """The state of the whole: the worst of its checks."""
    states = {check.state for check in checks}
    return next((state for state in ("problem", "warning") if state in states), "ok")


def _check_url(name: str, url: str, context: ssl.SSLContext | None) -> Check:
    attempts = 0
    while True:
        attempts += 1
        try:
            # The addresses were made above.
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=context) as answer:  # noqa: S310
                if context is not None and not answer.url.startswith("https:"):
                    return problem(name, f"{url} answers without TLS.", "Run: vru deploy")
                return ok(name, f"{url} answers {answer.status}")
        except urllib.error.HTTPError as error:
            if error.code != _TOO_MANY or attempts == _PATIENCE:
                return _refused(name, url, error)
            time.sleep(1)
        except OSError as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                fix = "See that VRU_TLS_CERTIFICATE has its chain, and that this laptop trusts who signed it."
                return problem(name, f"{url} has a certificate that does not hold: {reason.verify_message}.", fix)
            reason = getattr(reason, "strerror", None) or reason
            return problem(
                name, f"{url} cannot be reached from here: {reason}.", "Check VRU_EXTERNAL_IP and firewalls on the way."
            )
        except http.client.HTTPException:
            return problem(name, f"What answers at {url} does not speak HTTP.", "See what has that port: ss -ltnp")


def _refused(name: str, url: str, error: urllib.error.HTTPError) -> Check:
    if error.code == 503 and error.headers.get("X-Maintenance"):
        return warning(name, f"{url} is closed: maintenance is on.", "vru maintenance off opens it.")
    body = error.read(10_000).decode(errors="replace")
    file = log_file.append(f"{url} answers {error.code}:\n{body}")
    where = f" Its whole answer is in {file}" if file is not None else ""
    return problem(name, f"{url} answers {error.code}{_state(body)}.", f"Look at: vru logs --tail 50.{where}")


def _state(body: str) -> str:
    """What an answer of ``/health`` says in few words: `` (degraded: ml_engine)``; nothing if it is another answer."""
    try:
        answer = json.loads(body)
        unwell = [part for part, health in answer.get("services", {}).items() if health["status"] != "ok"]
        state = str(answer["status"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f" ({state}{': ' if unwell else ''}{', '.join(unwell)})"


def _check_shut(host: str, port: int) -> Check:
    name = f"port {port} is shut"
    try:
        with socket.create_connection((host, port), timeout=2):
            return problem(name, f"{host}:{port} answers from outside.", "Run: vru setup (it repairs the firewall).")
    except OSError:
        return ok(name)
