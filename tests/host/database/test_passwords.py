"""Stored passwords."""

from vru.host.database.postgres import scram, scram_matches


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
