"""Errors are sentences for people: no numbers of the kernel, no class names, no brackets of Python."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vru.host import __main__ as program
from vru.host.base.errors import plain
from vru.host.docker.engine import Engine, EngineError, away


def caught(work: Callable[[], object]) -> BaseException:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: Path("/nowhere/at all").read_text(), "no such file or directory: /nowhere/at all"),
        (lambda: json.loads("{"), "it is no JSON (line 1, column 2)"),
        (lambda: {}["name"], "name is missing"),
        (lambda: b"\xff".decode(), "it is no text"),
        (lambda: (_ for _ in ()).throw(TimeoutError()), "no answer in time"),
        (lambda: (_ for _ in ()).throw(ValueError("It is wrong.")), "It is wrong"),
        (lambda: (_ for _ in ()).throw(RuntimeError()), "no reason was given"),
    ],
)
def test_words(work: Callable[[], object], said: str) -> None:
    assert plain(caught(work)) == said


def test_docker_that_does_not_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as error, Engine(str(tmp_path / "none")) as engine:
        engine.names()
    assert str(error.value) == "Docker does not answer: no such file or directory."
    for number, name in (("1", "systemd"), ("20", "containerd-shim"), ("30", "containerd-shim")):
        (tmp_path / "proc" / number).mkdir(parents=True)
        (tmp_path / "proc" / number / "comm").write_text(f"{name}\n")
    said = away(str(tmp_path / "none"), tmp_path / "proc")
    assert said is not None
    assert said.startswith("Docker does not run on this server; 2 containers run on without it (live-restore)")
    assert "no container runs either" in str(away(str(tmp_path / "none"), tmp_path / "none"))


def test_what_nobody_foresaw_is_a_sentence_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def verb(parser: object) -> object:
        def run(host: object, options: object) -> int:
            raise PermissionError(13, "Permission denied", "/proc/secret")

        return run

    (tmp_path / "logs").mkdir()
    monkeypatch.setenv("VRU_ROOT", str(tmp_path))
    monkeypatch.setattr(program, "_load", lambda place: verb)
    assert program.main(["status"]) == 1
    said = capsys.readouterr().err
    log = tmp_path / "logs" / "vru-platform.log"
    assert "`status` could not go on: permission denied: /proc/secret." in said
    assert str(log) in said
    assert "Traceback" not in said
    assert "PermissionError: [Errno 13]" in log.read_text()
