"""Does the platform work? Containers, addresses through nginx, units, migrations, firewall, disk."""

from __future__ import annotations

import http.client
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ..base.disk import human_size
from ..base.errors import HostError, plain
from ..base.host import Host
from ..docker.compose import Compose, View
from ..firewall import confirmation
from ..release import store
from ..resources import containers, files, migration, units
from ..wire import Check, Manifest
from . import door, maintenance

_TIMEOUT_S = 10.0
# What nginx publishes: the name of a check, the variable with the port, its default, the path.
_ADDRESSES = (
    ("page", "VRU_HTTP_PORT", 80, "/"),
    ("page with TLS", "VRU_HTTPS_PORT", 443, "/"),
    ("page at its own port", "VRU_FRONTEND_PUBLIC_PORT", 3000, "/"),
    ("health", "VRU_API_PUBLIC_PORT", 8000, "/health"),
    ("API documentation", "VRU_API_PUBLIC_PORT", 8000, "/docs"),
    ("Grafana", "VRU_MONITORING_PUBLIC_PORT", 3001, "/api/health"),
)


def live_manifest(host: Host) -> Manifest:
    """The manifest of the live release.

    Raises:
        HostError: there is none.
    """
    release = store.current(host)
    if release is None:
        raise HostError("No release is live on this server.", "Run on your laptop: vru deploy")
    return store.load(host, release)


def checks(host: Host, manifest: Manifest, patience_s: float = 0.0) -> list[Check]:
    """Look at everything. An address may take ``patience_s`` seconds until it answers for the first time."""
    compose = Compose(host)
    view = compose.view()
    found = containers.facts(host, compose)
    return [
        *_services(view, found),
        *_addresses(host, view, patience_s),
        *_units(host, manifest),
        *_migrations(host, compose, view, manifest),
        *_firewall(host, manifest),
        *_files(host, manifest),
        _disk(host),
    ]


def _services(view: View, found: containers.ContainerFacts) -> Iterator[Check]:
    for name in view.running:
        mine = [container for container in found.containers if container.service == name]
        if not mine:
            yield Check(f"service {name}", "problem", "has no container", "Run: vru deploy")
        for container in mine:
            detail = (
                container.health if container.state == "running" and container.health != "none" else container.state
            )
            if container.settled:
                yield Check(f"service {name}", "ok", detail)
            else:
                yield Check(f"service {name}", "problem", f"is {detail}", f"Read: vru-platform logs {name} --tail 50")


def _addresses(host: Host, view: View, patience_s: float) -> Iterator[Check]:
    nginx = view.services.get(containers.NGINX)
    values = host.environment()
    address = values.get("VRU_PUBLISH_ADDRESS", "")
    address = "127.0.0.1" if address in ("", "0.0.0.0", "::") else address  # noqa: S104
    where = f"[{address}]" if ":" in address else address
    scheme = door.scheme(values)
    context = door.own_context(host) if scheme == "https" else None
    deadline = time.monotonic() + patience_s
    wanted = []
    for name, variable, default, path in _ADDRESSES:
        port = int(values.get(variable) or default)
        if nginx is not None and port in nginx.ports:
            # With TLS the page's plain port leads to the encrypted one.
            asked = "http" if variable == "VRU_HTTP_PORT" else scheme
            wanted.append((name, f"{asked}://{where}:{port}{path}"))
    with ThreadPoolExecutor(4) as pool:
        yield from pool.map(lambda item: _address(item[0], item[1], deadline, context), wanted)
    yield from door.certificate(host, values, address)


def _address(name: str, url: str, deadline: float, context: ssl.SSLContext | None = None) -> Check:
    while True:
        try:
            # This server's own addresses, made above.
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=context) as answer:  # noqa: S310
                if context is not None and not answer.url.startswith("https:"):
                    return Check(name, "problem", f"{url} answers without TLS", "Run: vru deploy")
                return Check(name, "ok", f"{url} answers {answer.status}")
        except urllib.error.HTTPError as error:
            if error.code == 503 and error.headers.get(maintenance.HEADER):
                # What is behind it is looked at by the other checks.
                return Check(name, "warning", f"{url} is closed: maintenance is on", "vru maintenance off opens it")
            said = " ".join(error.read(300).decode(errors="replace").split())
            problem = f"{url} answers {error.code}: {said[:200]}"
        except OSError as error:
            reason = getattr(error, "reason", None)
            problem = f"{url} does not answer: {plain(reason if isinstance(reason, OSError) else error)}"
        except http.client.HTTPException:
            problem = f"what answers at {url} does not speak HTTP"
        if time.monotonic() >= deadline:
            return Check(name, "problem", problem, "Read: vru-platform logs nginx --tail 50, and vru-platform status")
        time.sleep(1)


def _units(host: Host, manifest: Manifest) -> Iterator[Check]:
    found = units.facts(host, [unit.name for unit in manifest.units])
    wrong = {change.name: change for change in units.changes(host, manifest.units, found)}
    for unit in manifest.units:
        if unit.name in wrong:
            active = found[unit.name].active if unit.name in found else "unknown"
            yield Check(unit.name, "problem", f"should {wrong[unit.name].action}; it is {active}", "Run: vru deploy")
        else:
            yield Check(unit.name, "ok", "as it should be")


def _migrations(host: Host, compose: Compose, view: View, manifest: Manifest) -> Iterator[Check]:
    if not manifest.migrate:
        return
    found = migration.facts(host, compose)
    if found.version is None:
        yield Check("migrations", "problem", "the database cannot be asked", "Read: vru-platform logs postgres")
    elif list(migration.changes(compose, manifest.migrate.service, view, found)):
        shown = found.version or "none"
        yield Check("migrations", "problem", f"the schema is {shown}, not this release's", "Run: vru deploy")
    else:
        yield Check("migrations", "ok", f"schema {found.version}")


def _firewall(host: Host, manifest: Manifest) -> Iterator[Check]:
    if manifest.firewall is None:
        return
    state = confirmation.state(host)
    if state["rules"] == "confirmed" and state["standing"]:
        yield Check("firewall", "ok", "the confirmed rules stand")
    elif state["rules"] == "pending":
        yield Check("firewall", "warning", "the rules are not confirmed yet", "Run: vru deploy")
    else:
        yield Check("firewall", "warning", "the rules do not stand", "Run: vru setup")


def _files(host: Host, manifest: Manifest) -> Iterator[Check]:
    changed = [change.name for change in files.changes(host, manifest, files.facts(host, manifest))]
    if changed:
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        yield Check("files", "warning", f"changed by hand: {shown}", "Run: vru deploy (it puts the release's back)")
    else:
        yield Check("files", "ok", f"{len(manifest.files)} as released")


def _disk(host: Host) -> Check:
    usage = shutil.disk_usage(host.root)
    detail = f"{human_size(usage.free)} of {human_size(usage.total)} free"
    if usage.free < usage.total * 0.05:
        return Check("disk", "problem", detail, "Delete videos or old backups, or enlarge the disk.")
    return Check("disk", "warning" if usage.free < usage.total * 0.1 else "ok", detail)
