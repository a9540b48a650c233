"""Content that arrives at the real program: whole, damaged, cut, gone on with, or too much for the disk."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.host.tiny import archive

from vru.host.base.errors import HostError
from vru.host.base.host import Host
from vru.host.build import build_pyz
from vru.host.release import receive as receiving
from vru.host.release import store
from vru.host.release.manifest import parse
from vru.host.release.stream import encode


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("program") / "vru-platform.pyz"
    path.write_bytes(build_pyz())
    return path


@pytest.fixture
def host(tmp_path) -> Host:
    root = tmp_path / "root"
    root.mkdir()
    return Host(root)


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def receive(host: Host, data: bytes) -> int:
    return receiving.receive(host, io.BytesIO(data))


def one(content: bytes, offset: int = 0) -> bytes:
    return archive({"a": content}, [name_of(content)], {name_of(content): offset})


def test_pieces_are_stored_for_root_only(host):
    contents = {"a": b"one", "b": b"two" * 100_000, "c": b""}
    assert receive(host, archive(contents, [name_of(content) for content in contents.values()])) == 3
    assert {path.name for path in host.objects.iterdir() if path.name[0] != "."} == set(map(name_of, contents.values()))
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in host.objects.iterdir())
    assert host.objects.stat().st_mode & 0o777 == 0o700
    assert store.sizes(host)[name_of(contents["b"])] == 300_000


def test_damaged_content_is_refused_and_not_kept(host):
    line = {"sha256": "0" * 64, "size": 3, "offset": 0}
    with pytest.raises(HostError, match="arrived damaged"):
        receive(host, b"".join(encode([(line, 3, io.BytesIO(b"abc"))])))
    assert store.sizes(host) == {}
    assert store.partial(host, ["0" * 64]) == {}


@pytest.mark.parametrize(
    "line",
    [
        {"sha256": "../../etc/passwd", "size": 1},
        {"sha256": "a" * 64, "size": -1},
        {"sha256": "a" * 64, "size": 1, "offset": 2},
        {"sha256": "a" * 64},
    ],
)
def test_what_names_no_content_is_refused(host, line):
    with pytest.raises(HostError, match="cannot be read"):
        receive(host, b"".join(encode([(line, 1, io.BytesIO(b"a"))])))


def test_a_cut_transfer_keeps_its_whole_pieces_and_goes_on_within_the_one_that_was_cut(host):
    contents = {f"src/{number}": os.urandom(2_000_000) for number in range(5)}
    names = [name_of(content) for content in contents.values()]
    whole = archive(contents, names)
    with pytest.raises(HostError, match="broke off after 2 files"):
        receive(host, whole[:5_500_000])
    left = [name for name in names if name not in store.sizes(host)]
    there = store.partial(host, left)
    assert list(there) == left[:1]
    assert 1_000_000 < there[left[0]] < 2_000_000
    rest = archive(contents, left, there)
    assert len(rest) < len(whole) - 5_000_000
    assert receive(host, rest) == 3
    assert store.partial(host, names) == {}
    for content in contents.values():
        assert (host.objects / name_of(content)).read_bytes() == content


def test_a_damaged_part_is_thrown_away_and_the_next_transfer_sends_all(host):
    content = os.urandom(1_000_000)
    with pytest.raises(HostError, match="broke off"):
        receive(host, one(content)[:600_000])
    part = host.objects / f"{store.PARTIAL}{name_of(content)}"
    there = part.stat().st_size
    part.write_bytes(b"x" * there)
    with pytest.raises(HostError, match="arrived damaged"):
        receive(host, one(content, there))
    assert store.partial(host, [name_of(content)]) == {}
    assert receive(host, one(content)) == 1


def test_going_on_beyond_what_is_there_is_refused(host):
    with pytest.raises(HostError, match="only 0 bytes"):
        receive(host, one(b"x" * 100, offset=50))


def test_a_truncated_piece_in_the_store_counts_as_missing(host):
    receive(host, one(b"x" * 100))
    manifest = parse(
        json.dumps(
            {
                "protocol": 1,
                "release": "0" * 12,
                "files": [{"path": "a", "sha256": name_of(b"x" * 100), "size": 100, "mode": "0644"}],
            }
        )
    )
    assert store.missing(host, manifest) == []
    (host.objects / name_of(b"x" * 100)).write_bytes(b"x" * 40)
    assert store.missing(host, manifest) == [name_of(b"x" * 100)]


def test_too_little_room_is_said_before_anything_is_stored(host):
    free = receiving.free_bytes(host.root)
    records = [({"room": free}, 0, None), ({"sha256": name_of(b"a"), "size": 1}, 1, io.BytesIO(b"a"))]
    with pytest.raises(HostError, match=r"disk is full: .* are to be stored .* are free. Nothing was changed"):
        receive(host, b"".join(encode(records)))
    assert store.sizes(host) == {}


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_half_there(host, monkeypatch):
    written = 0

    def write(descriptor: int, data: bytes) -> int:
        nonlocal written
        written += len(data)
        if written > 700_000:
            raise OSError(28, "No space left on device")
        return os_write(descriptor, data)

    os_write = os.write
    monkeypatch.setattr(receiving.os, "write", write)
    content = os.urandom(2_000_000)
    with pytest.raises(HostError, match="disk is full"):
        receive(host, one(content))
    assert [path.name for path in host.objects.iterdir()] == [".receiving"]


def test_a_transfer_that_fell_silent_gives_way(host, program, monkeypatch):
    """The laptop is gone, and this side's TCP does not know: the process would wait for ever."""
    monkeypatch.setattr(receiving, "_PATIENCE_S", 120.0)  # this machine may be busy
    environment = {**os.environ, "VRU_ROOT": str(host.root)}
    command = [sys.executable, str(program), "receive"]
    content = os.urandom(3_000_000)
    silent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
    assert silent.stdin is not None
    silent.stdin.write(one(content)[:2_000_000])
    silent.stdin.flush()
    deadline = time.monotonic() + 120
    while not store.partial(host, [name_of(content)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    there = store.partial(host, [name_of(content)])
    started = time.monotonic()
    assert receive(host, one(content, there[name_of(content)])) == 1
    assert 3 < time.monotonic() - started < 120
    assert silent.wait(timeout=120) in (-signal.SIGTERM, 143)
    silent.stdin.close()


def test_a_transfer_that_goes_on_is_left_alone(host, program, monkeypatch):
    monkeypatch.setattr(receiving, "_PATIENCE_S", 2.0)
    environment = {**os.environ, "VRU_ROOT": str(host.root)}
    content = os.urandom(3_000_000)
    data = one(content)
    with subprocess.Popen([sys.executable, str(program), "receive"], stdin=subprocess.PIPE, env=environment) as busy:
        assert busy.stdin is not None
        busy.stdin.write(data[:2_000_000])
        busy.stdin.flush()
        deadline = time.monotonic() + 120
        while not store.partial(host, [name_of(content)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(HostError, match=f"process {busy.pid}"):
            receive(host, one(b"another"))
        busy.stdin.write(data[2_000_000:])
        busy.stdin.close()
        assert busy.wait(timeout=120) == 0


def test_content_that_came_lately_survives_a_clean_up(host):
    receive(host, one(b"new"))
    receive(host, one(b"old"))
    os.utime(host.objects / name_of(b"old"), (0, 0))
    with pytest.raises(HostError):
        receive(host, one(os.urandom(600_000))[:500_000])
    store.prune(host)
    left = sorted(path.name for path in host.objects.iterdir())
    assert name_of(b"new") in left
    assert name_of(b"old") not in left
    assert any(name.startswith(store.PARTIAL) for name in left)
    assert ".receiving" in left
