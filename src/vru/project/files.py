"""The files of a project beside the sources, and where they are. ``hatch_build.py`` packs them from this list."""

from pathlib import Path

# In the repository's root, and below ``DATA`` of the package in a wheel. Folders with all that is in them.
NAMES = (
    ".dockerignore",
    ".env.production.example",
    ".gitignore",
    "Dockerfile",
    "LICENSE",
    "deploy-production.sh",
    "docker-compose.production.yml",
    "hatch_build.py",
    "models",
    "pyproject.toml",
    "templates",
    "uv.lock",
)
DATA = "project/data"

_PACKAGE = Path(__file__).parents[1]


def source() -> Path:
    """The folder that holds ``NAMES``: in the installed package, else the checkout that this runs from."""
    packed = _PACKAGE / DATA
    return packed if packed.is_dir() else _PACKAGE.parents[1]


def package() -> Path:
    """The folder of the sources: ``vru`` itself."""
    return _PACKAGE
