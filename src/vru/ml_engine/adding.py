"""Put model versions into a model repository, and take them out. What does not run never gets in."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vru.domain import VruError
from vru.ml_engine.onnx.cage import trial
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.repository import CARD, ModelCard, ModelVersion, card_error, folder_digest

WEIGHTS = "model.onnx"
_ORDER = ("name", "version", "runtime", "description", "classes", "source", "licence", "parameters")


def complete(
    document: Mapping[str, Any], file: Path, root: Path, name: str | None, version: str | None
) -> dict[str, Any]:
    """A card with what it may leave out: runtime, name, version, file, digest, and the classes of its map."""
    card = dict(document)
    card["runtime"] = card.get("runtime", "onnx")
    card["name"] = name or card.get("name") or _name_of(file)
    card["version"] = str(version or card.get("version") or _next_version(root / card["name"]))
    parameters = dict(card.get("parameters") or {})
    parameters["file"], parameters["sha256"] = WEIGHTS, digest(file)
    card["parameters"] = parameters
    if "classes" not in card:
        card["classes"] = sorted(map(str, _parameters(parameters, file).road_users()))
    return {key: card.pop(key) for key in _ORDER if key in card} | card


def as_yaml(card: Mapping[str, Any]) -> str:
    """A card as its file holds it."""
    return yaml.safe_dump(dict(card), sort_keys=False, allow_unicode=True, width=118, default_flow_style=None)


def digest(file: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        VruError: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise VruError(f"{file} cannot be read: {error.strerror}.", "Give the path of an ONNX file.") from error


def add(card: Mapping[str, Any], file: Path, root: Path) -> ModelVersion:
    """Copy weights and card to their folder, once the model has passed its trial.

    Raises:
        VruError: the card is wrong, the model does not run, or the version is there already.
    """
    try:
        checked = ModelCard.model_validate(card)
    except ValidationError as error:
        raise card_error(Path("The card"), error) from error
    parameters = _parameters(checked.parameters, file)
    target = root / checked.name / checked.version
    if target.exists():
        raise VruError(f"{target} is there already.", "Give another --version, or remove it: vru model remove.")
    root.mkdir(parents=True, exist_ok=True)
    # One level less deep than models are: a repository that is read meanwhile does not see it.
    staging = Path(tempfile.mkdtemp(prefix=".adding-", dir=root))
    try:
        shutil.copyfile(file, staging / WEIGHTS)
        (staging / CARD).write_text(as_yaml(card), encoding="utf-8")
        trial(parameters, staging)
        staging.chmod(0o755)
        target.parent.mkdir(exist_ok=True)
        staging.rename(target)
    except VruError as error:
        raise VruError(error.message.replace(str(staging / WEIGHTS), str(file)), error.fix) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return ModelVersion(checked, target, folder_digest(target))


def remove(folder: Path) -> None:
    """Take the folder of a version out of its repository, and its model's folder when it was the last."""
    gone = folder.parents[1] / f".removed-{folder.parent.name}-{folder.name}-{os.getpid()}"
    # In one step: a repository that is read meanwhile sees all of it, or nothing.
    folder.rename(gone)
    shutil.rmtree(gone)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def _parameters(parameters: Mapping[str, Any], file: Path) -> OnnxParameters:
    try:
        return OnnxParameters.model_validate(parameters)
    except ValidationError as error:
        raise card_error(Path(f"The card of {file}"), error, "parameters.") from error


def _name_of(file: Path) -> str:
    plain = "".join(sign if (sign.isascii() and sign.isalnum()) or sign in ".-" else "-" for sign in file.stem.lower())
    name = plain.strip(".-")
    if not name:
        raise VruError(f"No name can be made of {file.name}.", "Give --name.")
    return name


def _next_version(folder: Path) -> str:
    taken = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    return str(max(taken, default=0) + 1)
