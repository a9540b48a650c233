"""How `vru` talks where there is no terminal."""

from pathlib import Path

import pytest

from vru.deploy.console.reporter import PlainReporter
from vru.domain import VruError


def test_what_apt_prints_is_in_the_log_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    report = PlainReporter()
    report.step("install python3")
    report.log("Get:1 http://deb.debian.org/debian trixie InRelease [140 kB]\n")
    report.output("a hook says this")
    report.failed(VruError("It failed.", "Mend it."))
    shown = capsys.readouterr()
    assert shown.out == "  ... install python3\n      a hook says this\n"
    [file] = (tmp_path / "vru" / "logs").iterdir()
    assert "Get:1" in file.read_text()
    assert shown.err.splitlines() == [
        "error: It failed.",
        "fix: Mend it.",
        f"log: {file} has what the steps printed",
    ]
