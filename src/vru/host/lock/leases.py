"""Numbered records in a directory, of which the highest number counts: whoever makes the next number has it.

No lock of the kernel is held, not even for a moment: a process that is stopped at any instruction blocks nobody. Making
a file that must not exist yet is what only one can do; after that, each holder writes to its own file only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..base.disk import sync_directory, write_json

_NAME = re.compile(r"(\d{9})\.json")
_CLAIM = ".claim-"


class Leases:
    """The records of one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def latest(self) -> tuple[int, dict[str, Any]]:
        """The highest number and its record; 0 and nothing before the first."""
        while True:
            numbers = self._numbers()
            if not numbers:
                return 0, {}
            number = max(numbers)
            try:
                record = json.loads(self._path(number).read_bytes())
            except FileNotFoundError:  # there is a higher one by now, and this one was tidied away
                continue
            return number, record if isinstance(record, dict) else {}

    def claim(self, number: int, record: Mapping[str, Any]) -> bool:
        """Make the record of a number, on disk and whole; False if somebody else has made it."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        claim = self.directory / f"{_CLAIM}{os.getpid()}"
        write_json(claim, dict(record))
        try:
            os.link(claim, self._path(number))
        except FileExistsError:
            return False
        finally:
            claim.unlink(missing_ok=True)
        sync_directory(self.directory)
        self._tidy(number)
        # A number that is free because it was tidied away comes too late.
        return self.latest()[0] == number

    def write(self, number: int, record: Mapping[str, Any]) -> None:
        """Replace the record of a number. Only its maker may."""
        write_json(self._path(number), dict(record))

    def _numbers(self) -> list[int]:
        if not self.directory.exists():
            return []
        found = (_NAME.fullmatch(path.name) for path in self.directory.iterdir())
        return [int(match[1]) for match in found if match]

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:09}.json"

    def _tidy(self, number: int) -> None:
        """Remove lower numbers: nobody asks for them. A late write of an earlier holder may bring one back."""
        for lower in self._numbers():
            if lower < number:
                self._path(lower).unlink(missing_ok=True)
        for left in self.directory.glob(f"{_CLAIM}*"):
            if not Path(f"/proc/{left.name.removeprefix(_CLAIM)}").exists():
                left.unlink(missing_ok=True)
