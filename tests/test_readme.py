"""What the README tells people to type exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
OPERATING = (ROOT / "docs/operating.md").read_text()
BIN = Path(sys.executable).parent

_SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_INLINE = re.compile(r"`((?:vru|vru-platform|\./deploy-production\.sh|make) [a-z][^`]*)`")


def commands(text: str) -> set[str]:
    """Every command that a document shows, without comments: in shell blocks, and between backticks."""
    lines = [line for block in _SHELL.findall(text) for line in block.splitlines()] + _INLINE.findall(text)
    parts = (part.strip() for line in lines for part in line.split("#")[0].split("&&"))
    return {part.removeprefix(".venv/bin/") for part in parts if part}


def vru_commands(text: str, program: str) -> list[str]:
    """The sub-commands (``local demo``, ``deploy``) of ``program`` that a document shows."""
    found = set()
    for command in commands(text):
        words = command.split()
        if words[0] == program:
            names = []
            for word in words[1:3]:
                if not re.fullmatch(r"[a-z][a-z-]*", word) or (names and names[0] != "local"):
                    break
                names.append(word)
            found.add(" ".join(names))
    return sorted(found - {""})


def help_of(*argv: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*argv, "--help"], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)


@pytest.mark.parametrize("command", vru_commands(README + OPERATING, "vru"))
def test_every_vru_command_in_the_documents_exists(command):
    answer = help_of(BIN / "vru", *command.split())
    assert answer.returncode == 0, answer.stderr
    assert "Usage:" in answer.stdout


@pytest.mark.parametrize("command", vru_commands(README + OPERATING, "vru-platform"))
def test_every_host_command_in_the_documents_exists(command):
    answer = help_of(BIN / "vru-platform", *command.split())
    assert answer.returncode == 0, answer.stderr
    assert "usage:" in answer.stdout.lower()


@pytest.mark.parametrize("command", vru_commands(README + OPERATING, "./deploy-production.sh"))
def test_the_paper_s_script_knows_every_command_in_the_documents(command):
    answer = help_of(ROOT / "deploy-production.sh", *command.split())
    assert answer.returncode == 0, answer.stderr


def test_the_paper_s_script_passes_everything_on(tmp_path):
    fake = tmp_path / "vru"  # not the real one: what matters is what reaches it
    fake.write_text('#!/bin/sh\nprintf "%s|" "$@"\nexit 7\n')
    fake.chmod(0o755)
    script = tmp_path / "elsewhere" / "deploy-production.sh"
    script.parent.mkdir()
    script.write_bytes((ROOT / "deploy-production.sh").read_bytes())
    script.chmod(0o755)
    answer = subprocess.run(
        [script, "logs", "a b", "--tail", "5"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (7, "logs|a b|--tail|5|")


@pytest.mark.parametrize("command", sorted({c for c in commands(README + OPERATING) if c.startswith("make ")}))
def test_every_make_target_in_the_documents_exists(command):
    target = command.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_the_documents_show_commands_at_all():
    assert {"demo", "test"} <= {c.split()[1] for c in commands(README) if c.startswith("make ")}
    assert {"init", "validate", "deploy", "local demo"} <= set(vru_commands(README, "vru"))
    assert {"status", "logs", "restart", "backup", "restore"} <= set(vru_commands(OPERATING, "vru-platform"))


@pytest.mark.parametrize("document", sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]), ids=lambda p: p.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
