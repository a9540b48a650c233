"""What the probes saw. Reading something that no probe could see raises, so that it cannot pass for well."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from vru.deploy.server.facts import ROOT
from vru.deploy.settings.environment import Environment

PLATFORM_PLACE, DOCKER_PLACE = ROOT, "/var/lib/docker"
_HEADER = re.compile(r"@@ (?P<key>\w+) (?P<code>\d+)")


class ServerFacts(Protocol):
    """The facts that faults are judged by, with the names and units of :class:`~vru.host.wire.Facts`."""

    @property
    def os_id(self) -> str: ...
    @property
    def os_version(self) -> str: ...
    @property
    def os_name(self) -> str: ...
    @property
    def machine(self) -> str: ...
    @property
    def init(self) -> str: ...
    @property
    def python(self) -> str: ...
    @property
    def has_apt(self) -> bool: ...
    @property
    def memory_bytes(self) -> int: ...
    @property
    def disk_free_bytes(self) -> int: ...
    @property
    def docker_disk_free_bytes(self) -> int: ...
    @property
    def clock_skew_s(self) -> float: ...
    @property
    def release(self) -> str: ...
    @property
    def listening(self) -> tuple[tuple[int, str], ...]: ...


class UnknownError(Exception):
    """Something cannot be judged; the argument says why."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Lines by probe, and why a probe has none.

    Attributes:
        seen: what each probe wrote, line by line; nothing is a valid answer.
        broken: the probes that failed, and their last words.
        environment: the operator's settings, where they could be read.
        known: the server's facts, where a deployment has read them already.
    """

    seen: Mapping[str, tuple[str, ...]]
    broken: Mapping[str, str] = field(default_factory=dict)
    environment: Environment | None = None
    known: ServerFacts | None = None

    @classmethod
    def parse(cls, output: str, environment: Environment | None = None, **known: str) -> "Evidence":
        """Parse what ``probes.sh`` wrote; ``known`` is what the laptop adds, one line each."""
        seen: dict[str, tuple[str, ...]] = {}
        broken: dict[str, str] = {}
        key, code, lines = "", 0, list[str]()

        def close() -> None:
            if key and code == 0:
                seen[key] = tuple(lines)
            elif key:
                broken[key] = lines[-1] if lines else f"it ended with {code}"

        for line in output.splitlines():
            header = _HEADER.fullmatch(line)
            if header is None:
                if line.strip():
                    lines.append(line)
                continue
            close()
            key, code, lines = header["key"], int(header["code"]), []
        close()
        return cls({**seen, **{name: (value,) for name, value in known.items()}}, broken, environment)

    def lines(self, key: str) -> tuple[str, ...]:
        """All that a probe wrote.

        Raises:
            UnknownError: it failed, or it was never run.
        """
        try:
            return self.seen[key]
        except KeyError:
            raise UnknownError(f"the probe {key} failed: {self.broken.get(key, 'it gave no answer')}") from None

    def text(self, key: str) -> str:
        """The first line; empty if there is none."""
        lines = self.lines(key)
        return lines[0].strip() if lines else ""

    def number(self, key: str) -> int:
        """The first line as a whole number.

        Raises:
            UnknownError: it is none.
        """
        text = self.text(key)
        try:
            return int(text)
        except ValueError:
            raise UnknownError(f"the probe {key} answered “{text[:60]}”, which is no number") from None

    def words(self, key: str) -> dict[str, str]:
        """Lines of ``NAME=VALUE`` or ``NAME VALUE`` as a mapping; quotes around a value are taken off."""
        found = {}
        for line in self.lines(key):
            name, separator, value = line.partition("=" if "=" in line else " ")
            if separator:
                found[name.strip()] = value.strip().strip("\"'")
        return found

    def disks(self) -> dict[str, list[str]]:
        """By directory: its mount point, KiB free, KiB in all, inodes free, inodes in all."""
        return {words[0]: words[1:] for line in self.lines("disks") if len(words := line.split()) == 6}

    @property
    def facts(self) -> ServerFacts:
        """The server's facts: those that are known, else as the probes saw them, one by one."""
        return self.known or ProbedFacts(self)

    @property
    def deployed(self) -> bool:
        """Whether a release is live on the server."""
        return bool(self.facts.release)

    @property
    def docker_installed(self) -> bool:
        """Whether there is a program called docker."""
        return bool(self.text("docker_binary"))

    def settings(self) -> Environment:
        """The operator's settings.

        Raises:
            UnknownError: ``.env.production`` could not be read.
        """
        if self.environment is None:
            raise UnknownError(".env.production cannot be read")
        return self.environment


@dataclass(frozen=True, slots=True)
class ProbedFacts:
    """The server's facts as the doctor's probes saw them. One that no probe could see raises :class:`UnknownError`."""

    _seen: Evidence

    @property
    def os_id(self) -> str:
        return self._seen.words("os").get("ID", "")

    @property
    def os_version(self) -> str:
        return self._seen.words("os").get("VERSION_ID", "")

    @property
    def os_name(self) -> str:
        return self._seen.words("os").get("PRETTY_NAME", "An unknown system")

    @property
    def machine(self) -> str:
        return self._seen.text("machine")

    @property
    def init(self) -> str:
        return self._seen.text("init")

    @property
    def python(self) -> str:
        return self._seen.text("python")

    @property
    def has_apt(self) -> bool:
        return bool(self._seen.text("apt"))

    @property
    def memory_bytes(self) -> int:
        try:
            return int(self._seen.words("memory")["MemTotal"]) * 1024
        except (KeyError, ValueError):
            raise UnknownError("the server does not say how much memory it has") from None

    @property
    def disk_free_bytes(self) -> int:
        return self._free(PLATFORM_PLACE)

    @property
    def docker_disk_free_bytes(self) -> int:
        return self._free(DOCKER_PLACE)

    @property
    def clock_skew_s(self) -> float:
        return float(self._seen.text("clock_skew"))

    @property
    def release(self) -> str:
        return self._seen.text("release")

    @property
    def listening(self) -> tuple[tuple[int, str], ...]:
        found = []
        for line in self._seen.lines("listening"):
            words = line.split(None, 5)
            port = words[3].rpartition(":")[2] if len(words) > 3 else ""
            if port.isdigit():
                found.append((int(port), words[5].split('"')[1] if len(words) > 5 and '"' in words[5] else ""))
        return tuple(found)

    def _free(self, place: str) -> int:
        found = self._seen.disks()
        if place not in found:
            raise UnknownError(f"df does not answer for {place}")
        return int(found[place][1]) * 1024
