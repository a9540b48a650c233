"""Faults of the platform on its server: leftovers of older installations, backups."""

from collections.abc import Iterator

from vru.deploy.checks.evidence import Evidence
from vru.deploy.checks.fault import Fault, Faults
from vru.host.wire import Check

_PROJECT = "vru-platform"
_OUR_UNITS = frozenset(
    {
        "vru-platform.service",
        "vru-firewall.service",
        "vru-backup.service",
        "vru-backup.timer",
        "vru-watchdog.service",
        "vru-watchdog.timer",
    }
)
_OLD_WORDS = ("vru", "ai-model-validation")
_DAY_S = 24 * 3600
_OLD_BACKUP_DAYS = 2

fault = Faults()


@fault(
    "old containers",
    "Containers of an older installation are there.",
    "docker rm -f {container} (look first whether its data is needed)",
)
def _old_containers(this: Fault, seen: Evidence) -> Iterator[Check]:
    old = []
    for line in seen.lines("containers") if seen.docker_installed else ():
        name, _, project, *_ = [*line.split("\t"), "", ""]
        if project != _PROJECT and any(word in f"{name} {project}".lower() for word in _OLD_WORDS):
            old.append(name)
    if old:
        yield this.warning(f"Containers of an older installation: {', '.join(old[:5])}.", container=old[0])
    else:
        yield this.ok()


@fault(
    "old units",
    "systemd units of an older installation are there.",
    "systemctl disable --now {unit} && rm /etc/systemd/system/{unit} && systemctl daemon-reload",
)
def _old_units(this: Fault, seen: Evidence) -> Iterator[Check]:
    old = sorted(set(seen.lines("old_units")) - _OUR_UNITS)
    # Our own names without a release: an installation that this program did not make.
    if not seen.deployed and not old and "/opt/vru-platform" in seen.lines("old_paths"):
        old = sorted(set(seen.lines("old_units")))
    if old:
        yield this.warning(f"Units of an older installation: {', '.join(old)}.", unit=old[0])
    else:
        yield this.ok()


@fault("old files", "Files of an older installation are there.", "Save what is needed, then: mv {path} {path}.old")
def _old_files(this: Fault, seen: Evidence) -> Iterator[Check]:
    old = seen.lines("old_paths")
    if old:
        yield this.warning(f"Files of an older installation: {', '.join(old)}.", path=old[0])
    else:
        yield this.ok()


@fault(
    "backups", "There is no backup, or the last one is old.", "vru-platform backup; systemctl status vru-backup.timer"
)
def _backups(this: Fault, seen: Evidence) -> Iterator[Check]:
    if not seen.deployed:
        yield this.ok("nothing to back up")
        return
    newest = seen.text("backups")
    if not newest:
        yield this.warning("There is no backup yet.")
        return
    age_days = (seen.number("clock") - int(newest.split()[0])) / _DAY_S
    if age_days > _OLD_BACKUP_DAYS:
        yield this.warning(f"The last backup is {age_days:.0f} days old.")
    else:
        yield this.ok(f"the last is {age_days * 24:.0f} hours old")
