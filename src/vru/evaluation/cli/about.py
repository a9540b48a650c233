"""Options that say what a report is about: what was under test, and who made it. What nobody says is not invented."""

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from vru.domain.errors import VruError

NOT_STATED = "not stated"
_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class About:
    """See the options of the same names."""

    made_by: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    model_digest: str | None = None
    hardware: str | None = None
    software: str | None = None

    @classmethod
    def taken_from(cls, options: dict[str, Any]) -> "About":
        """The options among a command's ``options``, which lose them."""
        return cls(**{field.name: options.pop(field.name) for field in fields(cls)})

    def under_test(self, model: str | None) -> dict[str, str]:
        """What was under test. ``model`` is the name that the results go by, where no other is given."""
        known = {
            "name": self.model_name or model,
            "version": self.model_version,
            "digest": self.model_digest,
            "hardware": self.hardware,
            "software": self.software,
        }
        return {name: value or NOT_STATED for name, value in known.items()}

    def made(self) -> dict[str, str]:
        """Who made the report, and when: now, or at SOURCE_DATE_EPOCH (reproducible-builds.org).

        Raises:
            VruError: SOURCE_DATE_EPOCH is no time.
        """
        told = os.environ.get("SOURCE_DATE_EPOCH")
        try:
            moment = datetime.fromtimestamp(int(told), UTC) if told else datetime.now(UTC)
        except (ValueError, OverflowError, OSError):
            raise VruError(
                f"SOURCE_DATE_EPOCH is {told!r}, not a time.", "Give seconds since 1970, or unset it."
            ) from None
        return {"by": self.made_by or NOT_STATED, "at": moment.strftime("%Y-%m-%d %H:%M:%S UTC")}


_OPTIONS = (
    click.option("--made-by", metavar="NAME", help="Who makes the report."),
    click.option("--model-name", metavar="NAME", help="What was under test.  [default: --model]"),
    click.option("--model-version", metavar="VERSION", help="Its version."),
    click.option("--model-digest", metavar="DIGEST", help="The digest of its files, such as sha256:..."),
    click.option("--hardware", metavar="TEXT", help="What it ran on."),
    click.option("--software", metavar="TEXT", help="What ran it, with versions."),
)


def about_options(command: _Command) -> _Command:
    """Add the options of ``About`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
