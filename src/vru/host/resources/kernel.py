"""Kernel settings: what the release's files in /etc/sysctl.d say, as the kernel has it now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..base.change import Change
from ..base.host import Host
from ..base.journal import Step
from ..wire import Manifest
from .files import sha256_at

DIRECTORY = "/etc/sysctl.d/"
_SYSTEMD_SYSCTL = "/usr/lib/systemd/systemd-sysctl"


@dataclass(frozen=True)
class Setting:
    """One setting that a file wants, and what the kernel has: None where it knows no such setting."""

    file: str
    wanted: str
    actual: str | None


def facts(host: Host, manifest: Manifest, proc: Path = Path("/proc/sys")) -> dict[str, Setting]:
    """The settings of the release's files by name. A file that is not in place yet is left out: it comes first."""
    found: dict[str, Setting] = {}
    for entry in manifest.files:
        place = host.place(entry.path)
        if not entry.path.startswith(DIRECTORY) or sha256_at(place) != entry.sha256:
            continue
        for name, wanted in parse(place.read_text(errors="replace")).items():
            setting = proc / name.replace(".", "/")
            actual = " ".join(setting.read_text().split()) if setting.is_file() else None
            found[name] = Setting(entry.path, wanted, actual)
    return found


def parse(text: str) -> dict[str, str]:
    """``name = value`` lines; a leading ``-`` (ignore errors) is dropped, ``/`` in names is ``.``."""
    settings = {}
    for raw in text.splitlines():
        line = raw.strip()
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            settings[name.strip().lstrip("-").replace("/", ".")] = " ".join(value.split())
    return settings


def changes(host: Host, actual: Mapping[str, Setting]) -> Iterator[Change]:
    """One change for each setting that is another. A kernel without it is left in peace."""
    for name, setting in actual.items():
        if setting.actual is not None and setting.actual != setting.wanted:
            detail = f"{setting.actual} -> {setting.wanted}"
            yield Change("kernel", name, "update", detail, partial(_apply, host, setting.file))


def _apply(host: Host, file: str, step: Step) -> None:
    done = host.run([_SYSTEMD_SYSCTL, file], check=False)
    if not done.ok:
        # A container may not set what its host shares with it; the platform works without.
        step.log(f"the kernel refused {file}: {done.last_words(1)}")
