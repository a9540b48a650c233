"""``vru evidence``: is this what was measured, and by whom? No server, no network, none of the extras."""

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from vru.domain import VruError
from vru.reports.evidence import Verified, verify
from vru.reports.ledger import Seal, check_in_ledger
from vru.reports.signing import trusted_fingerprint

_FILE = click.Path(path_type=Path)
_key = click.option(
    "--key", metavar="FINGERPRINT|FILE", help="The key that must have signed it: SHA256:..., or its public-key.pem."
)
_roots = click.option(
    "--timestamp-roots", "roots", type=_FILE, help="Certificates (PEM) of the time stamp authorities that you trust."
)
# Needs the platform's own evaluation, which lies above this room: named here, imported only when called.
_RECOMPUTE = "vru.validation_engine.recompute"
# Nothing that was checked is wrong, but not all was checked.
_INCOMPLETE = 3


@click.group()
def evidence() -> None:
    """Check the sealed evidence of a validation run, without any server.

    Exit codes: 0 it is what was sealed, by the key that you gave; 1 it is not; 2 wrong usage; 3 nothing is wrong with
    it, but not all was checked: no --key was given, or it was not computed again.
    """


@evidence.command("verify")
@click.argument("file", type=_FILE)
@_key
@click.option("--ledger", type=_FILE, help="A ledger of seals (GET /evidence-ledger), in which its seal must be.")
@click.option("--timestamp", type=_FILE, help="A time stamp of its seal (RFC 3161, DER); needs --timestamp-roots.")
@_roots
@click.option("--recompute/--no-recompute", default=True, show_default=True, help="Evaluate what is in it again.")
def verify_command(
    file: Path, key: str | None, ledger: Path | None, timestamp: Path | None, roots: Path | None, recompute: bool
) -> None:
    """Check FILE: seal and every digest, its place in a ledger, and its figures and verdict, computed again.

    One changed byte anywhere fails. Without --key it is not known who sealed it: exit code 3. To compute again needs
    the extra validation-engine, in the version of the platform that made FILE.
    """
    if (timestamp is None) != (roots is None):
        raise click.UsageError("--timestamp and --timestamp-roots go together.")
    checked = _checked(file, key)
    _print_facts(file, checked)
    whole = bool(checked.trusted)
    if ledger is not None:
        _look_up(checked.seal, ledger)
    if timestamp is not None and roots is not None:
        _compare_time(checked.seal, timestamp, roots)
    whole &= recompute and _recompute(file, required=False)
    if checked.trusted:
        click.echo("  This is the key that you gave.")
    else:
        click.secho(
            "  The key was NOT compared with one that you trust: anyone can sign with a key of their own.\n"
            "  Give --key with the fingerprint that the platform's operator published.",
            fg="yellow",
            err=True,
        )
    if not whole:
        sys.exit(_INCOMPLETE)


def _print_facts(file: Path, checked: Verified) -> None:
    manifest, seal = checked.manifest, checked.seal
    click.secho(f"{file}: whole and unchanged, {checked.files} files.", fg="green")
    run = manifest.get("run", {})
    click.echo(f"  run      {run.get('id')}, {run.get('state')}, verdict {run.get('verdict') or 'none'}")
    click.echo(f"  by       {run.get('created_by')}, finished {run.get('finished_at')}")
    for name, facts in manifest.get("inputs", {}).items():
        if name == "recordings":
            _show_recordings(facts)
            continue
        label = " ".join(str(facts[part]) for part in ("name", "version") if facts.get(part))
        click.echo(f"  {name.replace('_', ' '):<12} {label}  SHA-256 {facts.get('sha256') or 'not known'}")
    opened = manifest.get("opened", {})
    unknown = [name.removesuffix("_sha256") for name, digest in opened.items() if digest is None]
    if unknown:
        click.secho(f"  Nobody said which {' and '.join(unknown)} was opened.", fg="yellow")
    if manifest.get("ground_truth_approved") is False:
        click.secho("  The ground truth was not approved.", fg="yellow")
    click.echo(f"  sealed   {seal.sealed_at}, seal {seal.position} of its ledger")
    click.echo(f"  signed   {checked.key}")
    if checked.stated:
        click.echo("  in-toto  the statement in seal.intoto.json says the same, signed by the same key")


def _show_recordings(recordings: Sequence[Mapping[str, Any]]) -> None:
    for row in recordings:
        video, truth = (row[part].get("sha256") or "not known" for part in ("video", "ground_truth"))
        click.echo(f"  recording    {row['name']}  SHA-256 {video}, of its ground truth {truth}")


def _look_up(seal: Seal, ledger: Path) -> None:
    try:
        count = check_in_ledger(seal, ledger)
    except OSError as error:
        raise click.UsageError(f"{ledger} cannot be read: {error.strerror}.") from None
    except VruError as error:
        _fail(error)
    click.echo(f"  ledger   whole, {count} seals; this is seal {seal.position}.")


def _compare_time(seal: Seal, timestamp: Path, roots: Path) -> None:
    from vru.reports.timestamp import check_timestamp, read_roots

    try:
        made = check_timestamp(timestamp.read_bytes(), seal, read_roots(roots))
    except OSError as error:
        raise click.UsageError(f"{timestamp} cannot be read: {error.strerror}.") from None
    except VruError as error:
        _fail(error)
    click.echo(f"  stamped  {made.isoformat()}, by an authority of {roots}: the seal was there then")


@evidence.command()
@click.argument("file", type=_FILE)
@_key
@click.option("--url", required=True, help="Of a time stamp authority, as it publishes it.")
@_roots
@click.option("-o", "--output", type=_FILE, help="Write the time stamp there.  [default: FILE.tsr]")
def timestamp(file: Path, key: str | None, url: str, roots: Path | None, output: Path | None) -> None:
    """Have an authority stamp the seal of FILE with its time (RFC 3161). It is sent a digest, and nothing else.

    Needs the extra timestamp. FILE is not changed; the time stamp lies beside it, for `verify --timestamp`.
    """
    from vru.reports.timestamp import check_timestamp, read_roots, request_timestamp

    if roots is None:
        raise click.UsageError("--timestamp-roots is missing: the authority's root certificate.")
    target = output or file.with_name(f"{file.name}.tsr")
    seal = _checked(file, key).seal
    try:
        trusted = read_roots(roots)
        content = request_timestamp(seal, url, trusted)
        target.write_bytes(content)
        made = check_timestamp(content, seal, trusted)
    except OSError as error:
        raise click.UsageError(f"{target} cannot be written: {error.strerror}.") from None
    except VruError as error:
        _fail(error)
    click.secho(f"{target}: seal {seal.position} was there on {made.isoformat()}.", fg="green")


@evidence.command()
@click.argument("file", type=_FILE)
@_key
def show(file: Path, key: str | None) -> None:
    """Check FILE, and print its manifest as JSON."""
    click.echo(json.dumps(_checked(file, key).manifest, indent=1, sort_keys=True))


@evidence.command()
@click.argument("file", type=_FILE)
@_key
def recompute(file: Path, key: str | None) -> None:
    """Check FILE, evaluate its detections and ground truth again, and compare with the figures that it states.

    Needs the extra validation-engine, in the version of the platform that made FILE.
    """
    _checked(file, key)
    _recompute(file, required=True)


def _recompute(file: Path, *, required: bool) -> bool:
    """Whether it could be computed again; what differs ends the program."""
    try:
        again: Any = importlib.import_module(_RECOMPUTE)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vru"):
            raise
        problem = (
            f"{error.name} is not installed: computing again needs the extra 'validation-engine'.\n"
            "  Install it: pip install 'vru-platform[validation-engine]', or `make` in a checkout."
        )
        if required:
            raise click.UsageError(problem) from None
        click.secho(f"  It was NOT computed again: {problem}", fg="yellow", err=True)
        return False
    try:
        differences = again.differences(file)
    except VruError as error:
        _fail(error)
    if differences:
        click.secho(f"{file}: computed again, {len(differences)} figures differ.", fg="red", err=True)
        for line in differences[:20]:
            click.echo(f"  {line}", err=True)
        sys.exit(1)
    click.secho(f"{file}: computed again, every figure and the verdict are identical.", fg="green")
    return True


def _checked(file: Path, key: str | None) -> Verified:
    try:
        trusted = trusted_fingerprint(key) if key is not None else None
    except VruError as error:
        raise click.UsageError(str(error)) from None
    try:
        return verify(file, trusted)
    except VruError as error:
        _fail(error)


def _fail(error: VruError) -> NoReturn:
    click.secho(f"error: {error.message}", fg="red", err=True)
    if error.fix:
        click.echo(f"  {error.fix}", err=True)
    sys.exit(1)
