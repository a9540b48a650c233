"""Directories as they are, and as they should be -> changes."""

import pytest
from tests.host.resources.common import HOST, names

from vru.host.base.errors import HostError
from vru.host.resources import directories
from vru.host.wire import DirectoryEntry


def test_directories_are_created_and_mended():
    wanted = [DirectoryEntry("a", 999, 999, 0o700), DirectoryEntry("b", None, None, 0o755)]
    good = directories.DirectoryState(True, 999, 999, 0o700)
    assert names(
        directories.changes(HOST, wanted, {"a": None, "b": directories.DirectoryState(True, 5, 5, 0o755)})
    ) == [("directory", "a", "create")]
    changed = list(directories.changes(HOST, wanted[:1], {"a": directories.DirectoryState(True, 0, 999, 0o755)}))
    assert changed[0].detail == "owner 0 -> 999, mode 0755 -> 0700"
    assert names(directories.changes(HOST, wanted[:1], {"a": good})) == []


def test_a_file_where_a_directory_must_be_is_an_error():
    with pytest.raises(HostError, match="no directory"):
        list(
            directories.changes(
                HOST, [DirectoryEntry("a", None, None, 0o700)], {"a": directories.DirectoryState(False, 0, 0, 0o644)}
            )
        )
