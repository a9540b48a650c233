"""What ``vru --version`` says in a checkout, and elsewhere."""

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from vru.project import version as module

NUMBER = metadata.version("vru-platform")


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    git(tmp_path, "tag", "-a", "v9", "-m", "a tag is not the commit")
    monkeypatch.setattr(module, "source", lambda: tmp_path)
    return tmp_path


def test_a_checkout_says_its_commit_and_whether_it_was_changed(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "--short", "HEAD")
    assert module.version() == f"{NUMBER} ({commit})"
    (checkout / "file").write_text("two")
    assert module.version() == f"{NUMBER} ({commit}, changed)"


def test_files_inside_of_another_repository_are_of_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "inside").mkdir()
    monkeypatch.setattr(module, "source", lambda: checkout / "inside")
    assert module.version() == NUMBER


def test_without_git_the_number_alone_is_said(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert module.version() == NUMBER
