"""Where sudo's password came from, in the message that it is wrong."""

from pathlib import Path

import pytest

from vru.deploy.ssh.credentials import PASSWORD_VARIABLE, Credentials
from vru.deploy.ssh.elevation import Elevation, ElevationError
from vru.domain import VruError


def refuse(command: str, given: bytes) -> tuple[int, str]:
    """A sudo stand-in that wants a password, and takes none."""
    return 1, "sudo: 1 incorrect password attempt\n" if given else "sudo: a password is required\n"


@pytest.mark.parametrize("variable", ["", "right"])
def test_a_wrong_password_is_named_by_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    file = tmp_path / "password"
    file.write_text("wrong\n")
    monkeypatch.setenv(PASSWORD_VARIABLE, variable)
    credentials = Credentials.of_process(None, file)
    with pytest.raises(ElevationError, match=f"does not accept the password in the file {file} of user ada"):
        Elevation("ada", "server.example", credentials).find_out(refuse)
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    with pytest.raises(ElevationError, match=f"does not accept the password in {PASSWORD_VARIABLE} of user ada"):
        Elevation("ada", "server.example", Credentials.of_process(None)).find_out(refuse)


def test_a_password_file_that_is_no_text_is_told_plainly(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(VruError, match="cannot be read: it is no text"):
        Credentials.of_process(None, file)
    with pytest.raises(VruError, match="cannot be read: No such file or directory"):
        Credentials.of_process(None, tmp_path / "absent")
