"""The wire: what one side writes the other reads, and nothing else."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.deploy.servers import GOOD

from vru.host.strict_json import WireError, read, write
from vru.host.wire import (
    AuditHead,
    Change,
    Check,
    End,
    Facts,
    FileEntry,
    FirewallEntry,
    Manifest,
    Plan,
    StepEvent,
    UnitEntry,
    Variable,
    read_event,
)

FILE = FileEntry("src/a.py", "0" * 64, 3, 0o644)
MANIFEST = Manifest(
    release="0123456789ab",
    files=(FILE,),
    units=(UnitEntry("vru.timer", enabled=True, active=False),),
    firewall=FirewallEntry((22,), (80,), {3001: ("10.0.0.0/8",)}),
    inline={"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad": b"abc"},
)
PLAN = Plan(
    release=None,
    state="s",
    changes=(Change("firewall", "rules", "update", "open 22", ("+ a rule",)),),
    missing=("0" * 64,),
    partial={"0" * 64: 12},
    kept=False,
    running=None,
    contents={"a": None, "b": "text"},
    env=(Variable("A", None, "1"),),
)
END = End(ok=False, message="No.", fix="Yes.", logs=("a", "b"), audit=AuditHead(3, "f" * 64), seconds=1.5)


@pytest.mark.parametrize("document", [MANIFEST, PLAN, GOOD, END, Check("disk", "warning", "full"), FILE])
def test_what_is_written_is_read_as_the_same(document: Any) -> None:
    assert read(type(document), json.loads(json.dumps(write(document)))) == document


@pytest.mark.parametrize("event", [END, StepEvent("setup", "docker", "done", seconds=2.0)])
def test_an_event_is_read_by_its_name(event: Any) -> None:
    assert read_event(json.loads(json.dumps(write(event)))) == event


@pytest.mark.parametrize("document", [{"event": "boom"}, {}, [], None, {"event": ["end"]}])
def test_what_is_no_event_is_refused(document: object) -> None:
    with pytest.raises(WireError, match="no event"):
        read_event(document)


@pytest.mark.parametrize(
    ("kind", "base", "change", "said"),
    [
        (Facts, GOOD, {"colour": "red"}, "colour is not known"),
        (Facts, GOOD, {"cpus": "four"}, "cpus is 'four': no whole number"),
        (Facts, GOOD, {"cpus": True}, "cpus is True: no whole number"),
        (Facts, GOOD, {"has_apt": 1}, "has_apt is 1: no true or false"),
        (Facts, GOOD, {"os_id": None}, "os_id is None: no text"),
        (Facts, GOOD, {"listening": [[80]]}, r"listening\[0\] has 1 entries, not 2"),
        (Facts, GOOD, {"listening": {"80": "nginx"}}, "listening is no list"),
        (Manifest, MANIFEST, {"files": [write(FILE) | {"mode": 420}]}, r"files\[0\]\.mode is 420: no mode"),
        (Manifest, MANIFEST, {"files": [write(FILE) | {"path": "/root/x"}]}, r"files\[0\]: the path '/root/x'"),
        (Manifest, MANIFEST, {"firewall": {"ports": []}}, r"firewall\.ports is not known"),
        (Manifest, MANIFEST, {"firewall": {"restricted": {"x": []}}}, "'x' is no whole number"),
        (Manifest, MANIFEST, {"inline": {"0" * 64: "?"}}, "no base64"),
        (Manifest, MANIFEST, {"protocol": "1"}, "protocol is '1'"),
        (Plan, PLAN, {"partial": {"a": 1.5}}, r"partial\.a is 1\.5: no whole number"),
        (End, END, {"audit": {"seq": 1}}, r"audit\.hash is missing"),
        (Check, Check("a", "ok"), {"state": "fine"}, "state is 'fine', not one of"),
    ],
)
def test_a_field_that_is_unknown_missing_or_wrong_is_named(
    kind: type[Any], base: Any, change: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(WireError, match=said):
        read(kind, {**write(base), **change})


@pytest.mark.parametrize("name", ["os_id", "cpus", "clock_skew_s", "listening"])
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(WireError, match=f"{name} is missing"):
        read(Facts, {key: value for key, value in write(GOOD).items() if key != name})


def test_numbers_may_be_whole() -> None:
    assert read(Facts, {**write(GOOD), "clock_skew_s": 1}).clock_skew_s == 1.0


@dataclass(frozen=True)
class Nested:
    inner: Mapping[str, tuple[FileEntry, ...]] = field(default_factory=dict)


def test_the_place_is_named_however_deep() -> None:
    with pytest.raises(WireError, match=r"inner\.a\[1\]\.size is missing"):
        document = write(FILE)
        short = {name: value for name, value in document.items() if name != "size"}
        read(Nested, {"inner": {"a": [document, short]}})
