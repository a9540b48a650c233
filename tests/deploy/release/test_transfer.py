"""The laptop's end of a transfer, against the real program: what crosses, what is said, and what a cut costs."""

import hashlib
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from vru.deploy.release.manifest import Content
from vru.deploy.release.transfer import Sent, send
from vru.deploy.server.host_program import command
from vru.deploy.ssh.connection import ConnectionFailedError, Server
from vru.domain import VruError
from vru.host.base.host import Host
from vru.host.build import build_pyz
from vru.host.release import store


class Pipe:
    """The host program on this machine in the place of a server; ``cut`` bytes and the connection is gone."""

    def __init__(self, root: Path) -> None:
        self.host = Host(root)
        self.program = root / "vru-platform.pyz"
        self.program.write_bytes(build_pyz())
        self.cut: int | None = None

    def stream(
        self, argv: Sequence[str], on_line: Callable[[str], None], *, stdin: bytes | Iterable[bytes] = b""
    ) -> tuple[int, str]:
        assert list(argv) == command(*argv[-1:])
        command_here = [sys.executable, str(self.program), *argv[-1:]]
        environment = {**os.environ, "VRU_ROOT": str(self.host.root)}
        with subprocess.Popen(
            command_here,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            bufsize=0,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            crossed = 0
            try:
                for part in [stdin] if isinstance(stdin, bytes) else stdin:
                    process.stdin.write(part)
                    crossed += len(part)
                    if self.cut is not None and crossed > self.cut:
                        break
                process.stdin.close()
            except BrokenPipeError:
                pass  # it ended without reading all, as a real server may
            out, errors = process.stdout.read().decode(), process.stderr.read().decode()
        if self.cut is not None:
            raise ConnectionFailedError("The connection broke.")
        for line in out.splitlines(keepends=True):
            on_line(line)
        return process.returncode, errors


class Said:
    """A reporter that remembers the progress lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.lines.append(str(arguments[0])) if name == "log" else None


@pytest.fixture
def server(tmp_path: Path) -> Pipe:
    root = tmp_path / "root"
    root.mkdir()
    return Pipe(root)


def give(server: Pipe, contents: Mapping[str, Content], **options: Any) -> Sent:
    left = [name for name in contents if name not in store.sizes(server.host)]
    there = store.partial(server.host, left)
    return send(cast(Server, server), contents, left, there=there, **options)


def contents_of(*data: bytes | Path) -> dict[str, Content]:
    return {content.sha256: content for content in map(Content.of, data)}


def test_files_and_generated_content_arrive_packed(server: Pipe, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("def a() -> None:\n    return\n\n\n" * 10_000)
    sent = give(server, contents_of(file, b"generated", b""))
    assert sent.pieces == 3
    assert sent.crossed < sent.content / 20
    assert (server.host.objects / hashlib.sha256(b"generated").hexdigest()).read_bytes() == b"generated"


def test_a_large_model_goes_on_where_it_was_cut_twice(server: Pipe, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(os.urandom(30_000_000))
    contents = contents_of(model)
    crossed = 0
    for cut in (8_000_000, 11_000_000):
        server.cut = cut
        with pytest.raises(ConnectionFailedError):
            give(server, contents)
        crossed += cut
    there = store.partial(server.host, contents)
    assert sum(there.values()) > crossed - 1_000_000
    server.cut = None
    sent = give(server, contents)
    assert sent.content + sum(there.values()) == 30_000_000
    assert (server.host.objects / next(iter(contents))).read_bytes() == model.read_bytes()


def test_progress_is_said_with_rate_and_what_is_left(
    server: Pipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vru.deploy.release.transfer._REPORT_EVERY_S", 0.0)
    said = Said()
    sent = give(server, contents_of(os.urandom(3_000_000)), report=said)
    assert any("of 2.9 MiB (" in line and "/s, " in line and line.endswith("s left") for line in said.lines)
    assert "2.9 MiB" in str(sent)


def test_memory_does_not_grow_with_the_content(server: Pipe, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    with model.open("wb") as file:
        for _ in range(60):
            file.write(os.urandom(1 << 20))
    contents = contents_of(model)
    tracemalloc.start()
    give(server, contents)
    assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    tracemalloc.stop()


def test_a_file_that_changes_meanwhile_is_an_error_and_leaves_no_wrong_content(server: Pipe, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(os.urandom(1_000_000))
    contents = contents_of(file)
    file.write_bytes(b"short")
    with pytest.raises(VruError, match="cannot be read while it is sent"):
        give(server, contents)
    file.write_bytes(os.urandom(1_000_000))
    with pytest.raises(VruError, match="arrived damaged"):
        give(server, contents)
    assert store.sizes(server.host) == {}


def test_a_full_disk_is_one_sentence_with_what_to_do(server: Pipe, tmp_path: Path) -> None:
    sparse = tmp_path / "model.onnx"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    huge = Content("a" * 64, 1 << 40, sparse)
    with pytest.raises(VruError, match="disk is full") as raised:
        give(server, {huge.sha256: huge})
    assert "Nothing was changed" in raised.value.message
    assert "df -h" in raised.value.fix
