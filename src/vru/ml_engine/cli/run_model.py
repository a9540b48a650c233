"""What ``vru model`` does."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from vru.domain import VruError
from vru.ml_engine import adding
from vru.ml_engine.cli.options import repository_folder
from vru.ml_engine.fetching import fetch_model
from vru.ml_engine.onnx import cage
from vru.ml_engine.onnx.class_maps import data_sets
from vru.ml_engine.onnx.guess import Wishes, guess
from vru.ml_engine.repository import CARD, ModelRepository, ModelVersion

_LARGEST_LIST = 1 << 20


@dataclass(frozen=True, slots=True)
class Addition:
    """What is asked for; see the options of ``vru model add``."""

    file: Path
    card: Path | None
    name: str | None
    version: str | None
    size: tuple[int, int] | None
    classes: str | None
    riders: bool
    licence: str | None
    source: str | None
    print_card: bool
    models: Path | None


def find(folder: Path, name: str) -> ModelVersion:
    """The version that ``NAME`` or ``NAME/VERSION`` names.

    Raises:
        VruError: there is none.
    """
    model, _, version = name.partition("/")
    return ModelRepository(folder).get(model, version or None)


def add(request: Addition) -> None:
    """Guess a card, or take the one that is given; try the model; copy both."""
    root = repository_folder(request.models)
    document = _given_card(request) if request.card else _guessed_card(request)
    for key, value in (("licence", request.licence), ("source", request.source)):
        if value:
            document[key] = value
    card = adding.complete(document, request.file, root, request.name, request.version)
    if request.print_card:
        click.echo(adding.as_yaml(card), nl=False)
        return
    version = adding.add(card, request.file, root)
    click.secho(f"Added {version.label}: it passed its trial.", fg="green")
    click.echo(f"  card     {version.folder / CARD}")
    click.echo(f"  digest   SHA-256 {version.sha256}")
    click.echo(f"  next     vru model test {version.label} VIDEO")


def _given_card(request: Addition) -> dict[str, Any]:
    assert request.card is not None  # noqa: S101 - the caller asks
    if request.classes or request.size or request.riders:
        raise VruError("--classes, --size and --riders are for guessing.", "Write them into the card.")
    try:
        document = yaml.safe_load(request.card.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise VruError(f"{request.card} cannot be read: {problem}.", "Correct the file.") from error
    if not isinstance(document, dict):
        raise VruError(f"{request.card} holds no keys.", "docs/models.md shows a card.")
    return document


def _guessed_card(request: Addition) -> dict[str, Any]:
    facts = cage.inspect(request.file)
    wishes = Wishes(request.size, _names(request.classes), request.riders)
    guessed = guess(facts, wishes, str(request.file))
    click.echo(f"{request.file}: a model by {facts.producer or 'nobody named'}, opset {facts.opset}.", err=True)
    click.echo("Guessed, as there is no --card:", err=True)
    for note in guessed.notes:
        click.echo(f"  - {note}", err=True)
    licence = facts.metadata.get("license") or facts.metadata.get("licence")
    if not (licence or request.licence):
        licence = "unknown"
        click.echo("  - licence unknown: the file does not say; give --licence", err=True)
    description = facts.metadata.get("description") or f"Detector from {request.file.name}"
    return {
        "description": description,
        "source": f"{request.file.name}, by {facts.metadata.get('author') or facts.producer or 'nobody named'}",
        "licence": licence,
        "parameters": guessed.parameters,
    }


def _names(text: str | None) -> dict[int, str] | None:
    """The classes' names: of a data set, from a file, or between commas."""
    if text is None:
        return None
    if text in data_sets():
        return dict(enumerate(data_sets()[text].names))
    parts = text.split(",")
    file = Path(text)
    if len(parts) == 1 and file.is_file():
        if file.stat().st_size > _LARGEST_LIST:
            raise VruError(f"{file} is no list of names: it is too large.", "Give a text with a name a line.")
        parts = file.read_text(encoding="utf-8", errors="replace").splitlines()
    names = [part.strip() for part in parts]
    while names and not names[-1]:
        names.pop()
    return dict(enumerate(names))


def list_models(models: Path | None, as_json: bool) -> None:
    """Print every version."""
    repository = ModelRepository(repository_folder(models))
    versions, wrong = repository.list(), repository.unusable()
    if as_json:
        items = [version.body().model_dump(mode="json") for version in versions]
        unusable = [{"name": one.name, "version": one.version, "reason": one.reason} for one in wrong]
        click.echo(json.dumps({"items": items, "unusable": unusable}, indent=1))
        return
    width = max((len(version.label) for version in versions), default=0)
    for version in versions:
        card = version.card
        click.echo(f"{version.label:<{width}}  {card.runtime:<10}  {', '.join(card.classes)}  ({card.licence})")
    for one in wrong:
        click.secho(f"{one.name}/{one.version}  unusable: {one.reason}", fg="yellow")
    if not versions and not wrong:
        click.echo("There is no model. Add one: vru model add FILE.onnx")


def show(models: Path | None, name: str, as_json: bool) -> None:
    """Print a card."""
    version = find(repository_folder(models), name)
    if as_json:
        click.echo(json.dumps(version.body().model_dump(mode="json"), indent=1))
        return
    click.echo(f"# {version.folder / CARD}\n# SHA-256 of the folder: {version.sha256}")
    click.echo((version.folder / CARD).read_text(encoding="utf-8").rstrip())


def remove(models: Path | None, name: str, yes: bool) -> None:
    """Delete a version, also one that cannot run."""
    root = repository_folder(models)
    model, _, version = name.partition("/")
    if not version:
        raise VruError(f"{name!r} names no version.", f"Say which: vru model remove {name}/1")
    repository = ModelRepository(root)
    known = {(one.card.name, one.card.version) for one in repository.list()}
    known |= {(one.name, one.version) for one in repository.unusable()}
    if (model, version) not in known:
        raise VruError(f"There is no model {name}.", "vru model list shows what there is.")
    if not yes:
        click.confirm(f"Delete {root / model / version}?", abort=True)
    adding.remove(root / model / version)
    click.echo(f"Removed {name}.")


def fetch(models: Path | None, name: str, version: str | None) -> None:
    """Fetch a known model, and add it."""
    added = fetch_model(name, repository_folder(models), version, say=lambda line: click.echo(line, err=True))
    click.secho(f"Added {added.label}: it passed its trial.", fg="green")
    click.echo(f"  next     vru model test {added.label} VIDEO")
