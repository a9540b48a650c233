"""What the probes saw. Reading something that no probe could see raises, so that it cannot pass for well."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from vru.deploy.settings.environment import Environment

_HEADER = re.compile(r"@@ (?P<key>\w+) (?P<code>\d+)")


class UnknownError(Exception):
    """Something cannot be judged; the argument says why."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Lines by probe, and why a probe has none.

    Attributes:
        seen: what each probe wrote, line by line; nothing is a valid answer.
        broken: the probes that failed, and their last words.
        environment: the operator's settings, where they could be read.
    """

    seen: Mapping[str, tuple[str, ...]]
    broken: Mapping[str, str] = field(default_factory=dict)
    environment: Environment | None = None

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

    @property
    def deployed(self) -> bool:
        """Whether a release is live on the server."""
        return bool(self.text("release"))

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
