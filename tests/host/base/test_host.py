"""Env files."""

from vru.host.base.host import read_env_text


def test_env_files_are_read_as_compose_reads_them():
    text = "# comment\nA=1\nexport B='two words'\nC=\"three\"\nD=four # comment\n\nbroken\nE=a=b\n"
    assert read_env_text(text) == {"A": "1", "B": "two words", "C": "three", "D": "four", "E": "a=b"}
