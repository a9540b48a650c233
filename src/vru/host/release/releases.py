"""Whole releases: which are kept, what each changed, whether its images are still there; and going back to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base import terminal
from ..base.disk import read_json, write_json
from ..base.errors import OK, USAGE, HostError
from ..base.host import PROJECT, Host
from ..docker.compose import present_images
from ..lock import audit as auditing
from ..wire import COMPOSE_FILE, ENV_FILE, Manifest
from . import history, store

_OWN_IMAGES = f"{PROJECT}/"
_SHORTEST = 4


def record_images(host: Host, manifest: Manifest) -> None:
    """Keep the ids of a release's images: a tag can be moved, an id cannot."""
    ids = present_images(host, _tags(manifest))
    path = host.releases / manifest.release / "images.json"
    if read_json(path) != ids:
        write_json(path, ids)


def tags_to_restore(host: Host, manifest: Manifest) -> dict[str, str]:
    """The tags of a release that name nothing, or (the platform's own) something else than they did: tag -> id.

    Raises:
        HostError: images are gone, so that going back would need a build; they are named.
    """
    recorded: Mapping[str, str] = read_json(host.releases / manifest.release / "images.json", {})
    now = present_images(host, _tags(manifest))
    moved = {
        tag: recorded[tag]
        for tag in _tags(manifest)
        if recorded.get(tag) not in (None, now.get(tag)) and (tag not in now or tag.startswith(_OWN_IMAGES))
    }
    there = present_images(host, sorted(set(moved.values())))
    gone = [tag for tag in _tags(manifest) if tag not in now and moved.get(tag) not in there]
    if gone:
        raise HostError(
            f"Release {manifest.release} cannot come back: its images are gone: {', '.join(gone)}.",
            "Check that version out on your laptop, then run: vru deploy",
        )
    return {tag: image for tag, image in moved.items() if image in there}


def choose(host: Host, wanted: str | None) -> str:
    """The release that is meant: an id or the beginning of one; None is the one that was deployed before the live one.

    Raises:
        HostError: there is no such release; the message lists those that there are.
    """
    kept, live = store.kept(host), store.current(host)
    if wanted is None:
        deployed = [name for name in history.order(host) if name in kept]
        older = deployed[deployed.index(live) + 1 :] if live in deployed else [n for n in deployed if n != live]
        if not older:
            raise HostError("There is no earlier release to go back to.", _known(kept, live))
        return older[0]
    found = [name for name in kept if name == wanted or (len(wanted) >= _SHORTEST and name.startswith(wanted))]
    if len(found) != 1:
        what = "There is no release" if not found else "More than one release begins with"
        raise HostError(f"{what} {wanted!r} on this server.", _known(kept, live), code=USAGE)
    if found[0] != live and found[0] not in history.order(host):
        raise HostError(
            f"Release {found[0]} {_never_live(host, found[0])}: there is nothing to go back to.",
            f"Go back to one that was live; or deploy that version again: vru deploy. {_known(kept, live)}",
        )
    return found[0]


def _never_live(host: Host, release: str) -> str:
    """Why a release that is kept never served."""
    outcomes = [entry["outcome"] for entry in auditing.read(host)[0] if entry["release"] == release]
    return "failed and never went live" if "failed" in outcomes else "never went live"


def _known(kept: list[str], live: str | None) -> str:
    names = ", ".join(f"{name} (live)" if name == live else name for name in kept) or "none"
    return f"There are: {names}. See: vru releases"


def listing(host: Host) -> list[dict[str, Any]]:
    """All kept releases, the last deployed first, as `vru releases --json` prints them."""
    live, kept = store.current(host), store.kept(host)
    deployed = [name for name in history.order(host) if name in kept]
    names = deployed + [name for name in kept if name not in deployed]
    manifests = {name: store.load(host, name) for name in names}
    there = present_images(host, sorted({tag for manifest in manifests.values() for tag in _tags(manifest)}))
    latest = {moment.release: moment for moment in history.moments(host)}
    found = []
    for number, name in enumerate(names):
        before = manifests[names[number + 1]] if number + 1 < len(deployed) else None
        moment = latest.get(name)
        found.append({
            "release": name,
            "live": name == live,
            "failed": latest.get(name) is None and name != live and "failed" in _never_live(host, name),
            "time": moment.time if moment else None,
            "actor": moment.actor if moment else None,
            "action": moment.action if moment else None,
            "before": before.release if before else None,
            "changes": difference(before, manifests[name]) if before else None,
            "missing_images": [tag for tag in _tags(manifests[name]) if tag not in there],
        })  # fmt: skip
    return found


def difference(old: Manifest, new: Manifest) -> dict[str, Any]:
    """What separates two releases: services with new images, configs, units, other files; yes or no for the rest."""
    before = {entry.path: (entry.sha256, entry.mode) for entry in old.files}
    after = {entry.path: (entry.sha256, entry.mode) for entry in new.files}
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    kinds: dict[str, list[str]] = {"configs": [], "units": [], "files": []}
    for path in paths:
        if path not in (ENV_FILE, COMPOSE_FILE):
            kind = "configs" if path.startswith("config/") else "units" if path.startswith("/etc/systemd/") else "files"
            kinds[kind].append(path)
    images = {entry.service: entry.image for entry in old.images}
    return {
        "images": sorted(entry.service for entry in new.images if images.get(entry.service) != entry.image),
        **kinds,
        "settings": ENV_FILE in paths,
        "compose": COMPOSE_FILE in paths,
        "firewall": old.firewall != new.firewall,
    }


def summary(changes: Mapping[str, Any] | None) -> str:
    """A difference in a few words."""
    if changes is None:
        return "-"
    words = []
    if changes["images"]:
        words.append(f"images: {', '.join(changes['images'])}")
    for kind in ("configs", "units", "files"):
        count = len(changes[kind])
        if count:
            words.append(f"{count} {kind if count != 1 else kind[:-1]}")
    words += [
        word
        for name, word in (("settings", "settings"), ("compose", "compose file"), ("firewall", "firewall"))
        if changes[name]
    ]
    return "; ".join(words) or "nothing"


def show(host: Host, *, as_json: bool) -> int:
    """The command ``releases``."""
    known = listing(host)
    if as_json:
        terminal.say_json(known)
        return OK
    if not known:
        terminal.say("No release was deployed here yet.")
        return OK
    rows = [
        (
            one["release"],
            _state(one),
            (one["time"] or "never live")[:19].replace("T", " "),
            one["actor"] or "-",
            one["action"] or "-",
            summary(one["changes"]),
        )
        for one in known
    ]
    terminal.table(rows, ("RELEASE", "STATE", "SINCE", "BY", "HOW", "CHANGED"))
    return OK


def _state(one: Mapping[str, Any]) -> str:
    if one["live"]:
        return "live"
    if one["time"] is None:
        return "failed" if one["failed"] else "never live"
    return "images gone" if one["missing_images"] else "ready"


def _tags(manifest: Manifest) -> list[str]:
    return list(dict.fromkeys([*(entry.image for entry in manifest.images), *manifest.pull]))
