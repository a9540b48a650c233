"""systemd units: enabled, active, and read again when their files changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..base.change import Change
from ..base.errors import HostError
from ..base.host import Host
from ..base.journal import Step
from ..wire import Manifest, UnitEntry

_PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,NeedDaemonReload,DropInPaths"
_DIRECTORY = "/etc/systemd/system/"
# Where `systemctl edit` and `systemctl set-property` leave what overrides a unit; a vendor's are elsewhere.
_BY_HAND = ("/etc/systemd/", "/run/systemd/")


@dataclass(frozen=True)
class UnitFacts:
    """What systemd says of one unit."""

    load: str
    file: str
    active: str
    stale: bool
    overrides: tuple[str, ...] = ()

    @property
    def enabled(self) -> bool:
        """Whether it starts at boot (static and generated units cannot be enabled and need not be)."""
        return self.file in ("enabled", "enabled-runtime", "static", "generated", "indirect", "alias")


def parse(text: str) -> dict[str, UnitFacts]:
    """Parse ``systemctl show``: blocks of ``Key=value`` with an empty line between them."""
    found = {}
    for block in text.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in values:
            found[values["Id"]] = UnitFacts(
                values.get("LoadState", ""),
                values.get("UnitFileState", ""),
                values.get("ActiveState", ""),
                values.get("NeedDaemonReload") == "yes",
                tuple(path for path in values.get("DropInPaths", "").split() if path.startswith(_BY_HAND)),
            )
    return found


def watched(manifest: Manifest) -> list[str]:
    """The units that a release names or brings: those that a timer starts can be overridden as well."""
    brought = [
        entry.path[len(_DIRECTORY) :]
        for entry in manifest.files
        if entry.path.startswith(_DIRECTORY) and "/" not in entry.path[len(_DIRECTORY) :]
    ]
    return list(dict.fromkeys([*(unit.name for unit in manifest.units), *brought]))


def facts(host: Host, names: Sequence[str]) -> dict[str, UnitFacts]:
    """Ask systemd for all units at once."""
    if not names:
        return {}
    return parse(host.run(["systemctl", "show", f"--property={_PROPERTIES}", "--", *names], check=False).out)


def changes(host: Host, units: Sequence[UnitEntry], actual: Mapping[str, UnitFacts]) -> Iterator[Change]:
    """Take overrides away, reload systemd once if a unit's file changed; enable, disable, start, stop what differs."""
    for name, found in actual.items():
        for path in found.overrides:
            yield Change("unit", name, "update", f"is overridden by {path}", partial(_take_override, host, path))
    if any(found.stale for found in actual.values()):
        yield Change("systemd", "unit files", "update", "read changed unit files", partial(reload_systemd, host))
    for unit in units:
        found = actual.get(unit.name, UnitFacts("not-found", "", "inactive", False))
        if found.enabled != unit.enabled and found.file != "static":
            verb = "enable" if unit.enabled else "disable"
            yield Change("unit", unit.name, verb, "", partial(_systemctl, host, verb, unit.name))
        running = found.active in ("active", "activating", "reloading")
        if running != unit.active:
            verb = "start" if unit.active else "stop"
            detail = f"is {found.active}" if found.active == "failed" else ""
            yield Change("unit", unit.name, verb, detail, partial(_systemctl, host, verb, unit.name))


def _take_override(host: Host, path: str, step: Step) -> None:
    override = Path(path)
    override.unlink(missing_ok=True)
    if override.parent.suffix == ".d" and override.parent.exists() and not any(override.parent.iterdir()):
        override.parent.rmdir()
    reload_systemd(host, step)


def reload_systemd(host: Host, step: Step) -> None:
    """Make systemd read its unit files again."""
    host.run(["systemctl", "daemon-reload"])


def _systemctl(host: Host, verb: str, name: str, step: Step) -> None:
    step.log(f"systemctl {verb} {name}")
    done = host.run(["systemctl", verb, "--", name], check=False, timeout=300)
    if not done.ok:
        said = host.run(["journalctl", "--unit", name, "--no-pager", "--lines=20", "--output=cat"], check=False).out
        raise HostError(
            f"systemd could not {verb} {name}: {done.last_words(1)}",
            f"Look at: journalctl -u {name}",
            service=name,
            logs=tuple(said.splitlines()[-20:]),
        )
