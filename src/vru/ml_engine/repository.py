"""The model repository: one folder per model version, with a card that says what it is."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vru.domain import VruClass, VruError
from vru.service.errors import NotFoundError, UnprocessableError
from vru.service.schemas import ModelBody

CARD = "model.yaml"


class ModelCard(BaseModel):
    """What ``model.yaml`` says. Unknown keys are refused, so that a typo is an error and not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    runtime: str
    description: str = Field(min_length=1)
    classes: list[VruClass] = Field(min_length=1)
    source: str = Field(min_length=1, description="who made the model, and where it comes from")
    licence: str = Field(min_length=1)
    parameters: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model: its card, its folder and the digest of all that is in the folder."""

    card: ModelCard
    folder: Path
    sha256: str

    @property
    def label(self) -> str:
        """``name/version``."""
        return f"{self.card.name}/{self.card.version}"

    def body(self) -> ModelBody:
        """The version as clients see it."""
        return ModelBody(**self.card.model_dump(), sha256=self.sha256)


@dataclass(frozen=True, slots=True)
class UnusableModel:
    """A model version that cannot run: the names of its folders, and why."""

    name: str
    version: str
    reason: str


class ModelRepository:
    """Every model version below a folder, read once: what a process runs does not change under it."""

    def __init__(self, root: Path) -> None:
        """Read every card. A wrong one makes its own version unusable, and no other.

        Raises:
            VruError: the folder is missing.
        """
        if not root.is_dir():
            raise VruError(f"The model repository {root} is not a folder.", "Set VRU_MODELS_DIR to it.")
        self._versions: list[ModelVersion] = []
        self._unusable: dict[tuple[str, str], VruError] = {}
        for folder in sorted(card.parent for card in root.glob(f"*/*/{CARD}")):
            try:
                self._versions.append(_read_version(folder))
            except VruError as error:
                self._unusable[folder.parent.name, folder.name] = error
        self._versions.sort(key=lambda version: (version.card.name, _natural(version.card.version)))

    def list(self) -> list[ModelVersion]:
        """The usable versions, by name, the oldest version first."""
        return self._versions.copy()

    def unusable(self) -> Sequence[UnusableModel]:
        """The versions that cannot run, by name and version."""
        return [UnusableModel(name, version, str(error)) for (name, version), error in sorted(self._unusable.items())]

    def set_aside(self, version: ModelVersion, error: VruError) -> None:
        """Make a version unusable whose card is right, but which cannot be loaded."""
        self._versions.remove(version)
        self._unusable[version.card.name, version.card.version] = error

    def get(self, name: str, version: str | None = None) -> ModelVersion:
        """One version of a model; the newest usable one, if none is asked for.

        Raises:
            NotFoundError: there is none; says which there are.
            UnprocessableError: it cannot run; says why.
        """
        of_name = [entry for entry in self._versions if entry.card.name == name]
        wrong = {number: error for (named, number), error in self._unusable.items() if named == name}
        if version is None and of_name:
            return of_name[-1]
        for entry in of_name:
            if entry.card.version == version:
                return entry
        if version in wrong or (wrong and version is None):
            number = version or max(wrong, key=_natural)
            error = wrong[number]
            raise UnprocessableError(f"Model {name}/{number} is unusable: {error.message}", error.fix)
        if not of_name and not wrong:
            raise NotFoundError(f"There is no model {name!r}.", _there_is(entry.card.name for entry in self._versions))
        known = _there_is([*(entry.card.version for entry in of_name), *wrong])
        raise NotFoundError(f"Model {name!r} has no version {version!r}.", known)


def _there_is(names: Iterable[str]) -> str:
    known = list(dict.fromkeys(names))
    return f"There is: {', '.join(known)}." if known else "The model repository is empty."


def _natural(version: str) -> list[tuple[int, int, str]]:
    """A key that orders 2 before 10 and 1.9 before 1.10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|[^\d.]+", version)]


def _read_version(folder: Path) -> ModelVersion:
    path = folder / CARD
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise VruError(f"{path} cannot be read: {problem}.", "Correct the file.") from error
    if not isinstance(document, dict):
        raise VruError(f"{path} holds no keys.", "See models/opencv-hog/1/model.yaml for an example.")
    try:
        card = ModelCard.model_validate(document)
    except ValidationError as error:
        raise card_error(path, error) from error
    if (card.name, card.version) != (folder.parent.name, folder.name):
        raise VruError(
            f"{path} says name {card.name!r} and version {card.version!r}, its folder "
            f"{folder.parent.name!r} and {folder.name!r}.",
            "Make them the same.",
        )
    return ModelVersion(card, folder, folder_digest(folder))


def card_error(path: Path, error: ValidationError, prefix: str = "") -> VruError:
    """A validation error of a card as one sentence that names the file and each wrong key."""
    keys = [f"{prefix}{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
    return VruError(f"{path} is not valid: {'; '.join(keys)}.", "Correct the keys named.")


def folder_digest(folder: Path) -> str:
    """SHA-256 over the relative paths and contents of all files below ``folder``, in order of path."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix().encode()
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        digest.update(len(name).to_bytes(8) + name + content)
    return digest.hexdigest()
