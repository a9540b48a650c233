"""``vru evidence``: is this what was measured, and by whom? No server, no network, none of the extras."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from vru.domain import VruError
from vru.reports.evidence import Verified, verify
from vru.reports.signing import trusted_fingerprint

_FILE = click.Path(path_type=Path)
_key = click.option(
    "--key", metavar="FINGERPRINT|FILE", help="The key that must have signed it: SHA256:..., or its public-key.pem."
)
# Needs the platform's own evaluation, which lies above this room: named here, imported only when called.
_RECOMPUTE = "vru.validation_engine.recompute"


@click.group()
def evidence() -> None:
    """Check the signed evidence of a validation run, without any server.

    Exit codes: 0 it is what was signed; 1 it is not; 2 wrong usage.
    """


@evidence.command("verify")
@click.argument("file", type=_FILE)
@_key
def verify_command(file: Path, key: str | None) -> None:
    """Check signature and every digest: one changed byte anywhere in FILE fails.

    Without --key this proves that nothing was changed since it was signed, but not who signed it.
    """
    checked = _checked(file, key)
    manifest = checked.manifest
    click.secho(f"{file}: whole and unchanged, {checked.files} files.", fg="green")
    run = manifest.get("run", {})
    click.echo(f"  run      {run.get('id')}, {run.get('state')}, verdict {run.get('verdict') or 'none'}")
    click.echo(f"  by       {run.get('created_by')}, finished {run.get('finished_at')}")
    for name, facts in manifest.get("inputs", {}).items():
        label = " ".join(str(facts[part]) for part in ("name", "version") if facts.get(part))
        click.echo(f"  {name.replace('_', ' '):<12} {label}  SHA-256 {facts.get('sha256') or 'not known'}")
    if manifest.get("ground_truth_approved") is False:
        click.secho("  The ground truth was not approved.", fg="yellow")
    click.echo(f"  signed   {checked.key}")
    if checked.trusted:
        click.echo("  This is the key that you gave.")
    else:
        click.secho(
            "  The key was NOT compared with one that you trust: anyone can sign with a key of their own.\n"
            "  Give --key with the fingerprint that the platform's operator published.",
            fg="yellow",
            err=True,
        )


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
    try:
        again: Any = importlib.import_module(_RECOMPUTE)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vru"):
            raise
        raise click.UsageError(
            f"{error.name} is not installed: `vru evidence recompute` needs the extra 'validation-engine'.\n"
            "  Install it: pip install 'vru-platform[validation-engine]', or `make` in a checkout."
        ) from None
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
