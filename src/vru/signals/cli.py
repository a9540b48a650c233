"""``vru signals``: record what devices say, on this machine."""

import csv
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from vru.domain import VruClass, VruError

_FILE = click.Path(path_type=Path)


@click.group()
def signals() -> None:
    """Receive the signals of devices under test. Exit codes: 0 it worked; 1 it did not; 2 wrong usage."""


@signals.command("drivers")
def drivers() -> None:
    """List the drivers that are installed, those of other distributions too."""
    from vru.signals.driver import driver_names

    for name in driver_names():
        click.echo(name)


@signals.command("record")
@click.argument("driver")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the driver, such as port=5005."
)
@click.option("--payload", type=click.Choice(["json", "text"]), default="json", show_default=True)
@click.option("--pattern", help="Of text: a regular expression with the groups class_, time_ns, value.")
@click.option(
    "--class", "road_user", type=click.Choice([one.value for one in VruClass]), help="Whom it sees, if it does not say."
)
@click.option("--debounce-ms", type=click.FloatRange(0, 60_000), default=0.0, help="Drop repeats within this time.")
@click.option("--seconds", type=click.FloatRange(0.1), help="Stop after this time.  [default: at Ctrl-C]")
@click.option("-o", "--output", type=_FILE, required=True, help="Write the signals to this file, as CSV.")
def record(output: Path, seconds: float | None, **options: Any) -> None:
    """Record what DRIVER receives (docs/cameras.md lists drivers and settings), until Ctrl-C or --seconds.

    Each signal is in the file before the next is read. `vru evaluate TRUTH OUTPUT --protocol camera` measures it; the
    platform takes it as a recording of signals.
    """
    try:
        _record(output, seconds, **options)
    except VruError as error:
        click.echo(f"error: {error.message}" + (f"\n  {error.fix}" if error.fix else ""), err=True)
        sys.exit(1)


def _record(output: Path, seconds: float | None, **options: Any) -> None:
    from vru.signals.receiver import Receiver, State

    written = _Written()
    receiver = Receiver(_source(**options), written.take)
    try:
        stream = output.open("x", encoding="utf-8", newline="")
    except FileExistsError as error:
        raise VruError(f"{output} is already there.", "Name a new file: a recording is never written over.") from error
    except OSError as error:
        raise VruError(f"{output} cannot be written: {error.strerror}.", "Check folder and rights.") from error
    with stream:
        written.begin(stream)
        receiver.start()
        try:
            _wait(receiver, seconds)
        except KeyboardInterrupt:
            click.echo("", err=True)
        state = receiver.state()
        receiver.stop()
    click.echo(f"{output}: {written.count} signals" + _losses(state))
    if state.state is State.FAILED or state.undelivered:
        raise VruError(f"Not all was recorded: {state.reason or state.last_fault}", "Record it again.")


class _Written:
    """Events as lines of CSV. The header alone says that the device was silent, which an empty file would not."""

    def __init__(self) -> None:
        self.count = 0

    def begin(self, stream: TextIO) -> None:
        """Write into this file."""
        self._stream, self._rows = stream, csv.writer(stream)
        self._rows.writerow(("time_ns", "kind", "class", "value", "source", "id"))

    def take(self, records: Sequence[Any]) -> None:
        """Write the events of a read, in order of arrival."""
        from vru.signals.records import Event

        events = [one for one in records if isinstance(one, Event)]
        self._rows.writerows(
            (one.time_ns, one.kind.value, one.road_user and one.road_user.value, one.value, one.source, one.id)
            for one in events
        )
        self._stream.flush()
        self.count += len(events)


def _wait(receiver: Any, seconds: float | None) -> None:
    """Say each change of state, and every few seconds how many there are, until the time is over."""
    ends = None if seconds is None else time.monotonic() + seconds
    last, never = "", threading.Event()
    while ends is None or time.monotonic() < ends:
        state = receiver.state()
        now = f"{state.state.value}{': ' + state.reason if state.reason else ''}"
        if now != last:
            click.echo(now, err=True)
            last = now
        elif sys.stderr.isatty():
            click.echo(f"\r{state.events} signals", err=True, nl=False)
        never.wait(0.2 if ends is None else max(0.0, min(0.2, ends - time.monotonic())))


def _losses(state: Any) -> str:
    counts = {"debounced": state.debounced, "over the rate": state.limited, **state.malformed}
    said = [f"{count} {name}" for name, count in counts.items() if count]
    return f"; dropped: {', '.join(said)}" if said else ""


def parse_settings(said: Sequence[str]) -> dict[str, Any]:
    """The settings that ``--set NAME=VALUE`` gives; ``NAME=@FILE`` has the content of a file.

    Raises:
        VruError: one names no setting, or a file cannot be read.
    """
    import yaml

    found: dict[str, Any] = {}
    for one in said:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise VruError(f"--set {one} names no setting.", "Write NAME=VALUE, such as port=5005.")
        try:
            found[name] = Path(value[1:]).read_text(encoding="utf-8") if value[:1] == "@" else yaml.safe_load(value)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise VruError(f"--set {name}: {value[1:]} cannot be read: {reason}.", "Check the path.") from error
        except yaml.YAMLError as error:
            raise VruError(f"--set {one} has no value that can be read.", "Put it in quotes.") from error
    return found


def _source(
    driver: str, settings: tuple[str, ...], payload: str, pattern: str | None, road_user: str | None, debounce_ms: float
) -> Any:
    from pydantic import ValidationError

    from vru.signals.source import SourceSettings

    try:
        return SourceSettings.model_validate(
            {
                "name": driver,
                "driver": driver,
                "settings": parse_settings(settings),
                "payload": {"format": "text" if driver in ("can", "gpio", "voltage") else payload, "pattern": pattern},
                "road_user": road_user,
                "debounce_ms": debounce_ms,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise VruError(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}.", "docs/cameras.md lists settings."
        ) from error
