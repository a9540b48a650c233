"""The file that closes the platform, and how it goes away."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vru.host.base.errors import HostError
from vru.host.base.host import Host
from vru.host.lock import audit
from vru.host.operations import maintenance


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    # What systemd does is tried on a real server (tests/e2e/test_operator.py).
    monkeypatch.setattr("vru.host.deployment.detach.has_systemd", lambda: False)
    monkeypatch.setenv("VRU_ACTOR", "ada@laptop")
    (tmp_path / maintenance.DIRECTORY).mkdir(parents=True)
    return Host(tmp_path)


def test_it_is_on_until_it_is_ended(host: Host) -> None:
    assert maintenance.state(host) is None
    maintenance.begin(host, "  New\n disk ", None)
    known = maintenance.state(host)
    assert known is not None
    assert (known["message"], known["until"], known["actor"]) == ("New disk", "", "ada@laptop")
    assert maintenance.describe(known) == "Maintenance is on by ada@laptop: New disk"
    assert not maintenance.expire(host)
    assert maintenance.end(host)
    assert maintenance.state(host) is None
    assert not maintenance.end(host)
    entries, _ = audit.read(host)
    assert [(entry["action"], entry["outcome"], entry["detail"]) for entry in entries] == [
        ("maintenance", "on", "New disk"),
        ("maintenance", "off", ""),
    ]


def test_it_ends_when_its_time_is_up(host: Host) -> None:
    maintenance.begin(host, "", 1800)
    known = maintenance.state(host)
    assert known is not None
    left = datetime.fromisoformat(known["until"].replace("Z", "+00:00")) - datetime.now(UTC)
    assert timedelta(minutes=29) < left < timedelta(minutes=31)
    assert not maintenance.expire(host)
    flag = maintenance.flag(host)
    flag.write_text(json.dumps({**known, "until": "2020-01-01T00:00:00Z"}))
    assert maintenance.expire(host)
    assert not flag.exists()


def test_nginxs_user_can_read_what_it_needs_and_the_message_is_escaped(host: Host) -> None:
    maintenance.begin(host, "<script>", 60)
    for name in ("maintenance", "closed.html", "closed.json"):
        file = host.root / maintenance.DIRECTORY / name
        assert os.stat(file).st_mode & 0o777 == 0o644
    page = (host.root / maintenance.DIRECTORY / "closed.html").read_text()
    assert "&lt;script&gt;" in page
    assert "expected to end at" in page
    assert "<script>" not in page


@pytest.mark.parametrize("text", ["", "not json", "[1]", '{"message": null}'])
def test_a_file_made_by_hand_counts(host: Host, text: str) -> None:
    maintenance.flag(host).write_text(text)
    known = maintenance.state(host)
    assert known is not None
    assert maintenance.describe(known) == "Maintenance is on"
    assert not maintenance.expire(host)
    assert maintenance.end(host)


def test_where_nothing_is_deployed_nothing_can_be_closed(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No release is live"):
        maintenance.begin(Host(tmp_path), "", None)


def test_a_message_has_an_end(host: Host) -> None:
    with pytest.raises(HostError, match="500 characters"):
        maintenance.begin(host, "x" * 501, None)
    assert maintenance.state(host) is None
