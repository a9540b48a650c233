"""What was hashed is what is read."""

import hashlib
import os
from pathlib import Path

import pytest

from vru.domain import VruError
from vru.service.opened import opened


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_that_takes_its_name_is_not_it(tmp_path: Path) -> None:
    path, other = tmp_path / "video.mp4", tmp_path / "other.mp4"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    with opened(path) as file:
        other.replace(path)
        assert file.name == "video.mp4"
        assert file.sha256() == sha256(b"one") and file.path.read_bytes() == b"one"
        file.check_unchanged()
    with opened(path) as file:
        assert file.sha256() == sha256(b"two")


def test_one_who_writes_into_it_is_noticed_even_with_the_old_times(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"one")
    before = path.stat()
    with opened(path) as file:
        assert file.sha256() == sha256(b"one")
        path.write_bytes(b"two")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(VruError, match=r"video\.mp4 was changed while it was read"):
            file.check_unchanged()
    with opened(path) as file:
        assert file.sha256() == sha256(b"two")
