import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="vru-test-local-"))
    yield folder
    shutil.rmtree(folder)


# Not below pytest's own directory: each start of pytest closes that to other users, and PostgreSQL never runs as root.
@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that PostgreSQL can reach, also where the tests run as root."""
    yield from _folder()


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[Path]:
    """As ``open_folder``, for all tests of a module."""
    yield from _folder()
