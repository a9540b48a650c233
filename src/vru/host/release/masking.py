"""What of the server's files may be shown in a plan: text, with every secret masked before it leaves the server.

A secret is the value of a variable whose name says so, wherever it stands, and its SHA-256, which Redis's access list
holds. A changed secret is said to have changed; neither value is shown.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..base.host import Host, read_env_text
from ..wire import ENV_FILE, Manifest, Variable
from . import store

# What nginx reads for TLS. Beside nginx.conf, in a folder whose name begins with nginx: a change of it reloads nginx.
TLS_CERTIFICATE = "config/production/nginx-tls/certificate.pem"
TLS_KEY = "config/production/nginx-tls/key.pem"

MASK = "********"
_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|PRIVATE|CREDENTIAL|API_?KEY|WEBHOOK", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^/\s'\"@]+(?=@)")
# Sources and models are told by name; nobody reads them here.
_SHOWN = ("config/", "docker-compose.production.yml", "Dockerfile", ".dockerignore", "/")
_LARGEST = 256 * 1024
# Shorter values would mask ordinary words, and are no secrets.
_SHORTEST_SECRET = 6


def is_shown(path: str) -> bool:
    """Whether a plan shows what changes inside a file of a release."""
    return path not in (ENV_FILE, TLS_KEY) and path.startswith(_SHOWN)


def is_secret(name: str) -> bool:
    """Whether a variable's value must not be shown."""
    return _SECRET_NAME.search(name) is not None


class Mask:
    """Replaces the secrets among some variables' values, wherever they stand in a text."""

    def __init__(self, *environments: Mapping[str, str]) -> None:
        values = {
            value
            for environment in environments
            for name, value in environment.items()
            if is_secret(name) and len(value) >= _SHORTEST_SECRET
        }
        words = values | {hashlib.sha256(value.encode()).hexdigest() for value in values}
        # The longest first: one secret may begin with another.
        self._words = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)))
        self._empty = not words

    def __call__(self, text: str) -> str:
        """The text, masked."""
        masked = text if self._empty else self._words.sub(MASK, text)
        return _IN_URL.sub(MASK, masked)


@dataclass(frozen=True)
class Contents:
    """What stands in files that would change, by path, and the variables that differ; secrets masked."""

    contents: Mapping[str, str | None]
    variables: tuple[Variable, ...]


def contents(host: Host, manifest: Manifest, paths: Iterable[str]) -> Contents:
    """What stands in those of the files that may be shown, and which variables of ``.env`` differ."""
    wanted = list(paths)
    new = store.content(host, manifest, ENV_FILE)
    after = read_env_text(new.decode(errors="replace")) if new is not None else {}
    before = host.environment()
    mask = Mask(before, after)
    return Contents(
        {path: _text(host.place(path), mask) for path in wanted if is_shown(path)},
        tuple(compare(before, after, mask)) if ENV_FILE in wanted and new is not None else (),
    )


def _text(path: Path, mask: Mask) -> str | None:
    """The masked text of a file; None for what is not there, is no regular file, is too large or is no text."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
        return None
    raw = path.read_bytes()
    return None if b"\0" in raw else mask(raw.decode(errors="replace"))


def compare(before: Mapping[str, str], after: Mapping[str, str], mask: Mask) -> list[Variable]:
    """The variables that differ, masked for secrets."""
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old != new:
            hide = is_secret(name)
            found.append(
                Variable(
                    name,
                    None if old is None else MASK if hide else mask(old),
                    None if new is None else MASK if hide else mask(new),
                )
            )
    return found
