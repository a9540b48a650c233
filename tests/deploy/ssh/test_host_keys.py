"""The rule for host keys by itself, without a server."""

from pathlib import Path

import paramiko
import pytest

from vru.deploy.ssh.host_keys import (
    HostKeyError,
    HostKeyRule,
    changed_key_error,
    fingerprint,
    known_keys,
    preferred_algorithms,
)

NAME = "server.example"


def key() -> paramiko.PKey:
    return paramiko.ECDSAKey.generate()


def line(one: paramiko.PKey, names: str = NAME, marker: str = "") -> str:
    return f"{marker} {names} {one.get_name()} {one.get_base64()}\n".lstrip()


def judge(file: Path, shown: paramiko.PKey, accept: str | None = None) -> None:
    rule = HostKeyRule(NAME, [file], accept, lambda _: True)
    rule.missing_host_key(paramiko.SSHClient(), NAME, shown)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


@pytest.mark.parametrize(
    "names",
    [NAME, "*", "*.example,other", paramiko.HostKeys.hash_host(NAME)],
    ids=["name", "all", "pattern", "hashed"],
)
def test_a_revoked_key_is_refused_known_or_not_accepted_or_not(file: Path, names: str) -> None:
    revoked = key()
    for known in ("", line(revoked)):
        before = known + line(revoked, names, "@revoked")
        file.write_text(before)
        for accept in (None, fingerprint(revoked)):
            with pytest.raises(HostKeyError, match="was revoked"):
                judge(file, revoked, accept)
        assert file.read_text() == before


def test_a_revoked_key_says_nothing_of_another(file: Path) -> None:
    new, revoked = key(), key()
    file.write_text(line(revoked, NAME, "@revoked"))
    judge(file, new)  # unknown, and accepted: the revoked one does not count as the one that was there before
    judge(file, new)
    assert file.read_text() == line(revoked, NAME, "@revoked") + line(new)


def test_a_key_revoked_for_another_name_is_not_revoked_here(file: Path) -> None:
    known = key()
    file.write_text(line(known, "elsewhere.example", "@revoked") + line(known))
    judge(file, known)


def test_a_revoked_key_is_not_the_one_that_is_asked_for_first(file: Path) -> None:
    offered = ["ssh-ed25519", "ecdsa-sha2-nistp256"]
    file.write_text(line(key(), NAME, "@revoked"))
    assert preferred_algorithms(known_keys([file], NAME), offered) == offered
    file.write_text(line(key()))
    assert preferred_algorithms(known_keys([file], NAME), offered) == offered[::-1]


def test_a_changed_key_is_refused_whatever_the_user_says(file: Path) -> None:
    file.write_text(line(key()))
    shown = key()
    with pytest.raises(HostKeyError, match="has changed"):
        judge(file, shown, fingerprint(shown))


def test_the_line_that_removes_an_old_key_can_be_pasted() -> None:
    error = changed_key_error("[server.example]:2222", key(), Path("/home/a b/known_hosts"))
    assert error.fix.endswith("ssh-keygen -f '/home/a b/known_hosts' -R '[server.example]:2222'")
