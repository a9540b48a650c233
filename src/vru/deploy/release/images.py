"""The images: which are built from which files, and their content tags. A tag changes only if an input does."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vru.deploy.release import topology
from vru.deploy.release.topology import Service
from vru.deploy.settings.environment import Environment
from vru.deploy.settings.variable import Scope
from vru.deploy.settings.variables import VARIABLES
from vru.domain import VruError

_TAG_LENGTH = 12

# What every image is built from, besides the rooms that its target of the Dockerfile takes in.
COMMON = (
    "Dockerfile",
    ".dockerignore",
    "hatch_build.py",
    "pyproject.toml",
    "uv.lock",
    "src/vru/__init__.py",
    "src/vru/py.typed",
)

# The variables that name what the images are built upon.
BUILD_IMAGES = ("VRU_PYTHON_IMAGE", "VRU_NODE_IMAGE")

# What the server needs beside the images' inputs.
_BESIDE = ("docker-compose.production.yml", "models")

# Made by tools, never an input: the page is built again inside the image.
_NOT_SOURCES = frozenset({"__pycache__", "node_modules", ".vite", "static", ".mypy_cache", ".ruff_cache"})
# An allow-list: a video, a key or an .env that lies among the sources is not sent.
_SOURCES = frozenset(
    {".py", ".pyi", ".typed", ".sql", ".mako"}
    | {".html", ".css", ".json", ".ts", ".tsx", ".js", ".mjs", ".svg", ".ico", ".png", ".webp", ".woff2", ".npmrc"}
    | {".typ"}  # of reports
    | {".dbc"}  # of the rig's CAN bus
    | {".yaml", ".onnx", ".txt", ".md"}  # of models
)

_LARGEST_SOURCE = 32 * 1024**2
_KEY_MARK = b"PRIVATE KEY-----"
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*(?:\\n)?[A-Za-z0-9+/]{16}")
_SHORTEST_SECRET = 8


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is built on the server where it is absent. ``image`` is its name with the content tag."""

    service: str
    image: str
    target: str
    inputs: tuple[str, ...]

    @property
    def tag(self) -> str:
        """The digest of its inputs."""
        return self.image.rpartition(":")[2]


def images(root: Path, environment: Environment) -> tuple[Image, ...]:
    """The images that are built here, with the tags that follow from the files as they are now.

    Raises:
        VruError: an input is missing.
    """
    digests: dict[str, str] = {}
    bases = tuple(environment[name] for name in BUILD_IMAGES)
    found = []
    for service in _built(root):
        inputs = inputs_of(root, service.target)
        tag = _tag(root, inputs, bases, digests)
        name = f"{environment['VRU_IMAGE_PREFIX']}/{service.name}:{tag}"
        found.append(Image(service.name, name, service.target, inputs))
    return tuple(found)


def _built(root: Path) -> list[Service]:
    return [service for service in topology.load(root).values() if service.target]


def inputs_of(root: Path, target: str) -> tuple[str, ...]:
    """The files that a target of the Dockerfile is built from, relative to ``root``, sorted.

    Raises:
        VruError: one of them, or a whole room, is missing.
    """
    wanted = (*COMMON, *(f"src/vru/{room}" for room in topology.rooms(root, target)))
    return tuple(sorted({path for name in wanted for path in _files(root, name)}))


def source_files(root: Path) -> tuple[str, ...]:
    """All of the project's own files that the server needs: the build context, the compose file, the models.

    Raises:
        VruError: one of them is missing.
    """
    found = {path for service in _built(root) for path in inputs_of(root, service.target)}
    found.update(path for name in _BESIDE for path in _files(root, name))
    return tuple(sorted(found))


def public_images(environment: Environment) -> tuple[str, ...]:
    """The public images that are run, to be pulled."""
    named = (one.name for one in VARIABLES.values() if one.scope is Scope.OPERATOR and one.name.endswith("_IMAGE"))
    return tuple(sorted({environment[name] for name in named if name not in BUILD_IMAGES}))


def base_images(environment: Environment) -> tuple[str, ...]:
    """The public images that are built upon: the server pulls them before it builds, and only then.

    A pull honours the server's registry mirrors, a build does not always.
    """
    return tuple(sorted({environment[name] for name in BUILD_IMAGES}))


def build_arguments(environment: Environment) -> dict[str, str]:
    """The Dockerfile's arguments, which the compose file gives in the same way."""
    return {name.removeprefix("VRU_"): environment[name] for name in BUILD_IMAGES}


def _files(root: Path, name: str) -> Iterator[str]:
    path = root / name
    _refuse_ways_out(root, path)
    if path.is_file():
        yield name
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            if child.is_dir() and child.name not in _NOT_SOURCES:
                yield from _files(root, f"{name}/{child.name}")
            elif child.is_file() and (child.suffix or child.name) in _SOURCES:
                _refuse_ways_out(root, child)
                _refuse_giants(root, child)
                yield f"{name}/{child.name}"
    else:
        raise VruError(
            f"{name} is missing in {root}: an image is built from it.", "Get it back from git, or give --project."
        )


def _refuse_ways_out(root: Path, path: Path) -> None:
    """A link may not bring in what lies elsewhere (a key, say), and none to a folder may lead round in circles."""
    if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(root.resolve())):
        raise VruError(
            f"{path.relative_to(root)} is a link to {path.readlink()}, and would bring what lies there to the server.",
            "Put the file itself there, or remove the link.",
        )


def _refuse_giants(root: Path, path: Path) -> None:
    """Models may be as large as they are. A source as large as that is no source."""
    name = path.relative_to(root).as_posix()
    if name.startswith("src/") and path.stat().st_size > _LARGEST_SOURCE:
        raise VruError(
            f"{name} has {path.stat().st_size // 1024**2} MiB: that is no source, and it would be in an image.",
            f"Move it out of src/. Sources have at most {_LARGEST_SOURCE // 1024**2} MiB each.",
        )


def refuse_secrets(root: Path, secrets: Iterable[str]) -> None:
    """Look into every file that would be sent for private keys and for the very passwords of this deployment.

    Raises:
        VruError: one is there; the file is named, and what it holds is not shown.
    """
    values = [value.encode() for value in secrets if len(value) >= _SHORTEST_SECRET]
    for name in source_files(root):
        path = root / name
        if path.stat().st_size > _LARGEST_SOURCE:
            continue  # a model: no text
        data = path.read_bytes()
        if _KEY_MARK in data and _PRIVATE_KEY.search(data):
            raise VruError(
                f"{name} holds a private key; it would be sent to the server.", "Move it out of the project."
            )
        if any(value in data for value in values):
            raise VruError(
                f"{name} holds a password of .env.production; it would be sent to the server, and be in an image.",
                "Remove it there, and let the program read it from its environment.",
            )


def _tag(root: Path, inputs: tuple[str, ...], bases: tuple[str, ...], digests: dict[str, str]) -> str:
    whole = hashlib.sha256("\n".join(bases).encode())
    for path in inputs:
        if path not in digests:
            digests[path] = hashlib.sha256((root / path).read_bytes()).hexdigest()
        whole.update(f"{path}\0{digests[path]}\n".encode())
    return whole.hexdigest()[:_TAG_LENGTH]
