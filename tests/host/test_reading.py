"""Small things that are read: stored passwords, env files."""

from vru.host.database import scram, scram_matches
from vru.host.host import read_env_text


def test_a_stored_password_is_recognised():
    # RFC 7677's example: user "user", password "pencil", this salt, 4096 iterations.
    stored = (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    assert scram_matches(stored, "pencil")
    assert not scram_matches(stored, "pencils")
    assert not scram_matches("md5abc", "pencil")
    assert not scram_matches("", "pencil")
    assert scram_matches(scram("another", b"0123456789abcdef"), "another")


def test_env_files_are_read_as_compose_reads_them():
    text = "# comment\nA=1\nexport B='two words'\nC=\"three\"\nD=four # comment\n\nbroken\nE=a=b\n"
    assert read_env_text(text) == {"A": "1", "B": "two words", "C": "three", "D": "four", "E": "a=b"}
