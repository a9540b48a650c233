"""The services' log lines as JSON, from what Compose prints."""

import json

from hypothesis import given
from hypothesis import strategies as st

from vru.host.operations.logs import log_entry


def test_a_json_line_keeps_its_fields() -> None:
    line = 'api_gateway-1  | 2026-11-23T18:14:09.889743867Z {"level": "info", "event": "request", "status": 200}\n'
    assert log_entry(line) == {
        "service": "api_gateway",
        "container": "api_gateway-1",
        "time": "2026-11-23T18:14:09.889743867Z",
        "entry": {"level": "info", "event": "request", "status": 200},
    }


def test_another_line_is_kept_as_text() -> None:
    entry = log_entry("redis-1        | 2026-11-23T18:13:02.030294428Z 8:M * Ready | to accept\n")
    assert entry["service"] == "redis"
    assert entry["message"] == "8:M * Ready | to accept"
    assert "entry" not in entry


def test_a_line_that_compose_writes_itself_is_kept_too() -> None:
    assert log_entry("something unexpected") == {"message": "something unexpected"}


@given(st.text())
def test_every_line_becomes_json(line: str) -> None:
    json.dumps(log_entry(line))
