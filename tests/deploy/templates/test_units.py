"""The systemd units: what systemd itself says of their syntax and of what they could do if they were taken over."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.deploy.conftest import ROOT

from vru.deploy.release.configuration import render
from vru.deploy.settings.environment import Environment
from vru.host.resources.firewall import _UNIT_TEXT, UNIT

# Of 10: systemd calls more than 4 "medium", up to 4 "ok".
_MOST = 4.0
_SYSTEMD = "/etc/systemd/system/"


def units(environment: Environment) -> dict[str, bytes]:
    """Every service of ours, by name; timers do nothing themselves."""
    rendered = render(ROOT, environment, None)
    found = {path.removeprefix(_SYSTEMD): text for path, text in rendered.items() if path.startswith(_SYSTEMD)}
    return {**{name: text for name, text in found.items() if name.endswith(".service")}, UNIT: _UNIT_TEXT.encode()}


def score(unit: str, text: bytes, folder: Path) -> float:
    """What ``systemd-analyze security`` says of a unit: 0 is harmless, 10 is root with everything."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    file = folder / unit
    file.write_bytes(text)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(file)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = re.search(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    assert said is not None, done.stdout + done.stderr
    assert "Unknown" not in done.stderr, done.stderr
    return float(said[1])


def test_no_unit_could_do_more_than_it_must(example: Environment, tmp_path: Path) -> None:
    scores = {name: score(name, text, tmp_path) for name, text in units(example).items()}
    assert set(scores) == {"vru-platform.service", "vru-backup.service", "vru-watchdog.service", "vru-firewall.service"}
    assert {name: found for name, found in scores.items() if found > _MOST} == {}
    # The measure itself: without these lines it is root with everything.
    bare = b"[Service]\nExecStart=/bin/true\n"
    assert score("bare.service", bare, tmp_path) > 9


def test_systemd_knows_every_line(example: Environment, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    files = []
    for name, text in units(example).items():
        # The programs are on the server.
        placed = re.sub(rb"^(ExecStart|ExecStop)=\S+", rb"\1=/bin/true", text, flags=re.MULTILINE)
        (tmp_path / name).write_bytes(re.sub(rb"^WorkingDirectory=.*$", b"", placed, flags=re.MULTILINE))
        files.append(str(tmp_path / name))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "vru-" in line]
    assert [line for line in ours if "nknown" in line or "Failed to parse" in line or "nvalid" in line] == []


def test_the_check_of_lines_finds_a_wrong_one(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    file = tmp_path / "vru-wrong.service"
    file.write_text("[Service]\nExecStart=/bin/true\nProtectSytem=strict\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "nknown" in done.stderr
