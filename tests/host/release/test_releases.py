"""Releases and rollback with the real program on a root of its own (no Docker: what is compared are files)."""

import json
import os
import stat
from pathlib import Path

import pytest
from tests.host.cli.test_protocol import Root, release

from vru.host.base.errors import HostError
from vru.host.base.host import Host
from vru.host.build import build_pyz
from vru.host.lock import audit
from vru.host.release import history, releases, store
from vru.host.release.manifest import parse
from vru.host.strict_json import write
from vru.host.wire import Begin

VERSIONS = [{"src/a.py": f"a = {number}\n".encode(), f"src/{number}/b.py": b"b\n"} for number in range(8)]


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("program") / "vru-platform.pyz"
    path.write_bytes(build_pyz())
    return path


@pytest.fixture
def root(tmp_path, program) -> Root:
    path = tmp_path / "root"
    path.mkdir()
    return Root(path, program)


def name(number: int) -> str:
    return str(release(VERSIONS[number])["release"])


def listed(root: Root) -> list[dict]:
    return json.loads(root.run("releases", "--json").stdout)


def rollback(root: Root, *arguments: str) -> tuple[int, list[dict]]:
    done = root.run("rollback", "--json", *arguments)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def tree(path: Path) -> dict[str, tuple[bytes, int, int, int]]:
    found = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.relative_to(path).parts[0] not in ("state", "releases", "data"):
            status = file.stat()
            content = file.read_bytes()
            found[str(file.relative_to(path))] = (content, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    return found


def test_a_rollback_brings_every_file_back_and_says_what_it_did(root):
    root.deploy(VERSIONS[0])
    before = tree(root.path)
    root.deploy(VERSIONS[1])
    assert tree(root.path) != before
    code, events = rollback(root)
    assert code == 0, events[-1]
    assert events[-1]["release"] == name(0)
    assert tree(root.path) == before
    assert store.current(Host(root.path)) == name(0)
    # What the laptop has is the newer state, and shows as a difference; deploying it again is a deployment like any.
    assert root.plan(release(VERSIONS[1]))["changes"]
    assert root.plan(release(VERSIONS[1]))["missing"] == []
    assert root.deploy(VERSIONS[1])[0] == 0

    known = listed(root)
    assert [one["release"] for one in known] == [name(1), name(0)]
    assert [one["live"] for one in known] == [True, False]
    assert known[0]["changes"]["files"] == ["src/0/b.py", "src/1/b.py", "src/a.py"]
    assert known[1]["action"] == "rollback"
    entries, head = audit.read(Host(root.path))
    assert audit.check(entries, head) == []
    assert [entry["action"] for entry in entries if entry["outcome"] == "done"] == [
        "apply", "apply", "rollback", "apply",
    ]  # fmt: skip


def test_each_rollback_without_a_name_goes_one_further_back(root):
    for number in range(3):
        root.deploy(VERSIONS[number])
    assert rollback(root)[1][-1]["release"] == name(1)
    assert rollback(root)[1][-1]["release"] == name(0)
    code, events = rollback(root)
    assert code == 1
    assert events[-1]["message"] == "There is no earlier release to go back to."
    assert rollback(root, name(2))[0] == 0
    assert rollback(root)[1][-1]["release"] == name(1)


def test_a_rollback_to_what_is_live_says_so_and_changes_nothing(root):
    root.deploy(VERSIONS[0])
    root.deploy(VERSIONS[1])
    journals = list((root.path / "state/journal").iterdir())
    code, events = rollback(root, name(1)[:6])
    assert (code, events[-1]["changed"]) == (0, 0)
    assert "is live" in events[-1]["message"]
    assert list((root.path / "state/journal").iterdir()) == journals


def test_the_last_five_are_kept_and_an_unknown_one_lists_them(root):
    for version in VERSIONS:
        root.deploy(version)
    assert [one["release"] for one in listed(root)] == [name(number) for number in (7, 6, 5, 4, 3)]
    code, events = rollback(root, name(0))
    assert code == 2
    assert "There is no release" in events[-1]["message"]
    assert f"{name(7)} (live)" in events[-1]["fix"]
    assert name(3) in events[-1]["fix"]
    shown = root.run("releases")
    assert shown.returncode == 0
    assert b"live" in shown.stdout


def test_releases_that_never_became_live_push_out_none_that_was(root):
    host = Host(root.path)
    root.deploy(VERSIONS[0])
    root.deploy(VERSIONS[1])
    for number in range(2, 8):
        store.save(host, parse(json.dumps(release(VERSIONS[number]))))
    kept = store.kept(host)
    assert kept[:2] == [name(1), name(0)]
    store.prune(host)
    assert store.kept(host)[:2] == [name(1), name(0)]
    assert len(store.kept(host)) == 5
    assert releases.choose(host, None) == name(0)


def test_a_release_that_never_went_live_is_no_target(root):
    root.deploy(VERSIONS[0])
    host = Host(root.path)
    for number, outcome in ((1, "failed"), (2, "refused")):
        store.save(host, parse(json.dumps(release(VERSIONS[number]))))
        audit.record(host, "apply", outcome=outcome, release=name(number))
    assert {one["release"]: one["failed"] for one in listed(root)} == {name(0): False, name(1): True, name(2): False}
    shown = root.run("releases").stdout.decode()
    states = {line.split()[0]: " ".join(line.split()[1:3]) for line in shown.splitlines()[1:]}
    assert states[name(1)].startswith("failed")
    assert states[name(2)] == "never live"
    assert "ready" not in shown
    before = tree(root.path)
    for number, why in ((1, "failed and never went live"), (2, "never went live")):
        code, events = rollback(root, name(number))
        assert code != 0
        assert events[-1]["message"] == f"Release {name(number)} {why}: there is nothing to go back to."
        assert f"{name(0)} (live)" in events[-1]["fix"]
    assert tree(root.path) == before


def test_an_interrupted_update_can_be_rolled_back_to_what_is_still_called_live(root):
    root.deploy(VERSIONS[0])
    before = tree(root.path)
    (root.path / "src/a.py").write_text("half of an update\n")
    (root.path / "state/journal/99999999T000000000-x.jsonl").write_text(
        json.dumps(write(Begin(name(1), "vru-apply", 2))) + "\n"
    )
    code, _ = rollback(root, name(0))
    assert code == 0
    assert tree(root.path) == before


def test_gone_images_stop_a_rollback_before_it_begins(root, monkeypatch):
    host = Host(root.path)
    manifest = parse(
        json.dumps({
            "protocol": 1, "release": "a" * 12, "pull": ["postgres:17"],
            "images": [{"service": "api_gateway", "image": "vru-platform/api_gateway:new"}],
        })
    )  # fmt: skip
    engine = {"postgres:17": "sha256:p1", "vru-platform/api_gateway:new": "sha256:g1", "sha256:g1": "sha256:g1"}
    monkeypatch.setattr(
        releases, "present_images", lambda host, names: {one: engine[one] for one in names if one in engine}
    )
    store.save(host, manifest)
    releases.record_images(host, manifest)
    assert releases.tags_to_restore(host, manifest) == {}
    # The tag is gone, the image is not: it is tagged again. So is one of our tags that was moved, but not another's.
    del engine["vru-platform/api_gateway:new"]
    assert releases.tags_to_restore(host, manifest) == {"vru-platform/api_gateway:new": "sha256:g1"}
    engine.update({"vru-platform/api_gateway:new": "sha256:g2", "postgres:17": "sha256:p2", "sha256:p1": "sha256:p1"})
    assert releases.tags_to_restore(host, manifest) == {"vru-platform/api_gateway:new": "sha256:g1"}
    del engine["vru-platform/api_gateway:new"], engine["sha256:g1"]
    with pytest.raises(HostError, match="its images are gone: vru-platform/api_gateway:new"):
        releases.tags_to_restore(host, manifest)


def test_history_forgets_only_what_a_crash_has_cut(tmp_path):
    host = Host(tmp_path)
    host.state.mkdir()
    history.add(host, "a" * 12, "apply")
    with (host.state / "releases.jsonl").open("a") as file:
        file.write('{"release": "b')
    history.add(host, "c" * 12, "apply")
    assert history.order(host) == ["c" * 12, "a" * 12]
    history.add(host, "a" * 12, "rollback")
    assert history.order(host) == ["c" * 12, "a" * 12]
    history.add(host, "a" * 12, "apply")
    assert history.order(host) == ["a" * 12, "c" * 12]
    assert os.stat(host.state / "releases.jsonl").st_mode & 0o777 == 0o600
