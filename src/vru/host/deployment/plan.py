"""The plan: every stage's changes, in the order in which they would be made. It reads and changes nothing."""

from __future__ import annotations

import hashlib
import json

from ..base.change import Change
from ..base.host import Host
from ..docker import engine
from ..docker.compose import Compose
from ..lock import audit
from ..lock.lock import holder, operator_lock
from ..operations import maintenance
from ..release import masking, store
from ..resources import firewall
from ..wire import Manifest, Plan
from .comparison import Comparison
from .stages import STAGES

_ON_ITS_WAY = frozenset({("image", "build"), ("image", "pull")})
_OWN = (("directory", "releases"), ("directory", "state"))


def plan(host: Host, manifest: Manifest, *, contents: bool = False) -> Plan:
    """The difference between the server and a release.

    Args:
        host: the server.
        manifest: the release.
        contents: add what stands in the files that would change, secrets masked, for people to compare.

    Raises:
        HostError: something is in the way of any change (a broken daemon.json, a variable that is missing).
    """
    owner = holder(host)
    planner = Planner(host, manifest)
    changes = planner.changes()
    live, missing = store.current(host), store.missing(host, manifest)
    showing = contents and masking.contents(
        host, manifest, [change.name for change in changes if change.resource == "file"]
    )
    return Plan(
        release=live,
        state=state_of(live, changes),
        changes=tuple(change.to_wire() for change in changes),
        missing=tuple(missing),
        partial=store.partial(host, missing),
        kept=(host.releases / manifest.release / "manifest.json").exists(),
        running=(owner.get("unit") or owner.get("purpose") or "another change") if owner else None,
        notes=(*planner.notes, *_maintenance(host), *_locked(host)),
        contents=showing.contents if showing else None,
        env=showing.variables if showing else (),
    )


def _locked(host: Host) -> list[str]:
    """Somebody else's lock, which the change would be refused by."""
    lock = operator_lock(host)
    if lock is None or lock["owner"] == audit.actor():
        return []
    return [f"{lock['owner']} has locked all changes until {lock['expires']}: {lock['reason']}"]


def _maintenance(host: Host) -> list[str]:
    closed = maintenance.state(host)
    return [] if closed is None else [f"{maintenance.describe(closed)}. It stays on: vru maintenance off ends it."]


def state_of(live: str | None, changes: list[Change]) -> str:
    """A name for what the server is, as far as it matters to a release: the same until the plan would be another.

    This program's own directories are left out, and images that are built or pulled: they are made when content is
    sent, before the change.
    """
    told = [
        live,
        [
            [change.resource, change.name, change.action, change.detail, *change.lines]
            for change in changes
            if (change.resource, change.name) not in _OWN and (change.resource, change.action) not in _ON_ITS_WAY
        ],
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def state_of_release(host: Host, manifest: Manifest) -> str:
    """The server's state in view of a release, as its plan would tell it now."""
    return state_of(store.current(host), Planner(host, manifest).changes())


class Planner:
    """The plan of one release; ``notes`` is complete when all changes were taken."""

    def __init__(self, host: Host, manifest: Manifest) -> None:
        self.host = host
        self.manifest = manifest
        self.notes: list[str] = []

    def changes(self) -> list[Change]:
        """Every change, by the executor's stages, in the order in which it would be made."""
        release = Comparison(self.host, self.manifest, Compose(self.host), ahead=True)
        release.read_ahead()
        found = [change for stage in STAGES for change in stage.changes(release)]
        if self.manifest.has_compose and release.is_uncertain:
            self.notes.append(f"{engine.away() or 'Docker is being started'}. This plan is uncertain until it runs.")
        if self.manifest.firewall is not None:
            self.notes += firewall.notes(self.manifest.firewall, release.firewall)
        return found
