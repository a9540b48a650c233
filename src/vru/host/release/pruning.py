"""What our own builds, pulls and transfers leave in Docker, kept in bounds. What is others' is never touched.

A label is not proof enough: an image built upon one of ours carries ours too. So a ledger, ``state/leftovers.json``,
names what this program brought: images by id, pulled tags, records of the build cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.disk import read_json, write_json
from ..base.host import PROJECT, Host
from ..docker.engine import Engine, EngineError
from ..wire import Manifest

# What may stay of the build cache beside what the images hold anyway: enough for all downloaded packages and the page's
# tools, so that a build after a changed line stays fast.
CACHE_LIMIT = 3 * 1024**3
_ROUNDS = 8


@dataclass(frozen=True)
class Record:
    """One record of the build cache. ``own`` is the bytes that go with it: none where an image holds them too."""

    id: str
    own: int
    busy: bool
    last_used: str


@dataclass
class Ledger:
    """What this program brought into the engine."""

    built: dict[str, str]  # id -> tag
    pulled: dict[str, str]  # tag -> id
    cache: set[str]

    @classmethod
    def read(cls, host: Host) -> Ledger:
        """As it stands."""
        raw = read_json(_path(host), {})
        return cls(dict(raw.get("built", {})), dict(raw.get("pulled", {})), set(raw.get("cache", ())))

    def write(self, host: Host) -> None:
        """Keep it, if anything changed."""
        raw = {"built": self.built, "pulled": self.pulled, "cache": sorted(self.cache)}
        if read_json(_path(host), {}) != raw:
            write_json(_path(host), raw)


def _path(host: Host) -> Path:
    return host.state / "leftovers.json"


def note_built(host: Host, images: Mapping[str, str]) -> None:
    """Enter images that were built or loaded: tag -> id."""
    ledger = Ledger.read(host)
    ledger.built.update({image: tag for tag, image in images.items()})
    ledger.write(host)


def note_pulled(host: Host, images: Mapping[str, str]) -> None:
    """Enter images that the engine lacked and that were pulled: tag -> id."""
    ledger = Ledger.read(host)
    ledger.pulled.update(images)
    ledger.write(host)


@contextmanager
def building(host: Host) -> Iterator[None]:
    """Enter the records that the build cache gains meanwhile, however the build ends."""
    before = _ids()
    try:
        yield
    finally:
        after = _ids()
        if before is not None and after is not None:
            ledger = Ledger.read(host)
            ledger.cache = (ledger.cache | (after - before)) & after
            ledger.write(host)


def _ids() -> set[str] | None:
    try:
        return {record.id for record in records()}
    except EngineError:
        return None


def records() -> list[Record]:
    """The whole build cache, ours and others'.

    Raises:
        EngineError: Docker does not answer.
    """
    with Engine() as engine:
        return [_record(raw) for raw in engine.build_cache()]


def _record(raw: Mapping[str, Any]) -> Record:
    shared = bool(raw.get("Shared"))
    last_used = str(raw.get("LastUsedAt") or raw.get("CreatedAt") or "")
    return Record(str(raw["ID"]), 0 if shared else int(raw.get("Size") or 0), bool(raw.get("InUse")), last_used)


def prune(host: Host, manifests: Sequence[Manifest]) -> int:
    """Remove images of ours that no kept release names, and what the build cache holds above its limit.

    Returns:
        How many images were removed.
    """
    removed = _prune_images(host, manifests)
    try:
        prune_cache(host)
    except EngineError:
        return removed  # Docker went away; the next change tries again
    return removed


def _prune_images(host: Host, manifests: Sequence[Manifest]) -> int:
    ledger = Ledger.read(host)
    kept_ids = {
        str(image)
        for manifest in manifests
        for image in read_json(host.releases / manifest.release / "images.json", {}).values()
    }
    try:
        with Engine() as engine:
            there = engine.images()
    except EngineError:
        return 0
    removed = 0
    for name in (*_old_tags(host, manifests), *_old_pulls(manifests, ledger, there)):
        # An image that a container still uses is refused by Docker, which is right.
        removed += host.run(["docker", "image", "rm", name], check=False).ok
    tagged = {image for name, image in there.items() if name != image}
    for image in ledger.built:
        # A tag that was moved, or built anew, left its image without a name.
        if image in there and image not in tagged and image not in kept_ids:
            removed += host.run(["docker", "image", "rm", image], check=False).ok
    ledger.built = {image: tag for image, tag in ledger.built.items() if image in there}
    ledger.pulled = {tag: image for tag, image in ledger.pulled.items() if there.get(tag) == image}
    ledger.write(host)
    return removed


def _old_tags(host: Host, manifests: Sequence[Manifest]) -> list[str]:
    wanted = {entry.image for manifest in manifests for entry in manifest.images}
    repositories = {image.rpartition(":")[0] for image in wanted}
    listed = host.run(
        [
            "docker", "image", "ls", "--filter", f"label=vru.project={PROJECT}",
            "--format", "{{.Repository}}:{{.Tag}}",
        ],
        check=False,
    )  # fmt: skip
    return [name for name in listed.out.split() if name not in wanted and name.rpartition(":")[0] in repositories]


def _old_pulls(manifests: Sequence[Manifest], ledger: Ledger, there: Mapping[str, str]) -> list[str]:
    """Public images that this program pulled, that still are what it pulled, and that no kept release runs."""
    wanted = {image for manifest in manifests for image in (*manifest.pull, *manifest.bases)}
    return [tag for tag, image in ledger.pulled.items() if tag not in wanted and there.get(tag) == image]


def prune_cache(host: Host, limit: int = CACHE_LIMIT) -> int:
    """Remove what our builds have not used for the longest time, until their cache holds ``limit`` bytes at most.

    Returns:
        The bytes that were freed.

    Raises:
        EngineError: Docker does not answer.
    """
    ours = Ledger.read(host).cache
    first = held = None
    kept: set[str] = set()
    for _ in range(_ROUNDS):
        found = [record for record in records() if record.id in ours]
        now = sum(record.own for record in found)
        first = now if first is None else first
        # A record stays while another one is built upon it: where nothing went, what is less old goes first.
        if held is not None and now < held:
            kept.clear()
        chosen = [record.id for record in oldest((one for one in found if one.id not in kept), now - limit)]
        if not chosen:
            break
        held = now
        kept.update(chosen)
        _remove(host, chosen)
    return max(0, (first or 0) - now)


def oldest(found: Iterable[Record], excess: int) -> list[Record]:
    """The records, longest unused first, that hold ``excess`` bytes together."""
    chosen: list[Record] = []
    for record in sorted(found, key=lambda record: record.last_used):
        if excess <= 0:
            break
        if not record.busy and record.own:
            chosen.append(record)
            excess -= record.own
    return chosen


def _remove(host: Host, ids: Sequence[str]) -> None:
    chosen = "|".join(ids)
    # By id, as an expression: the engine knows no other way to name several, nor whose a record is.
    host.run(["docker", "builder", "prune", "--force", "--filter", f"id=^({chosen})$"], check=False, timeout=600)
