"""What is removed of what deployments leave in Docker, and what never is."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from vru.host.base.host import Host
from vru.host.base.run import Done, Runner
from vru.host.release import pruning
from vru.host.release.manifest import parse
from vru.host.release.pruning import Ledger, Record
from vru.host.wire import Manifest

GIB = 1024**3


class FakeDocker(Runner):
    """Docker's command line and API, as far as pruning uses them."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.untagged: set[str] = set()
        self.ours: set[str] = set()
        self.cache: dict[str, Record] = {}
        self.held: dict[str, str] = {}  # a record that stays while another one is there
        self.commands: list[list[str]] = []

    def __call__(self, argv: Sequence[str], **options: object) -> Done:
        self.commands.append(list(argv))
        out = ""
        if argv[1:3] == ["image", "ls"]:
            out = "\n".join(tag for tag in self.tags if tag in self.ours)
        elif argv[1:3] == ["image", "rm"]:
            self.untagged.discard(argv[3])
            self.tags.pop(argv[3], None)
        elif argv[1:3] == ["builder", "prune"]:
            chosen = set(argv[-1].removeprefix("id=^(").removesuffix(")$").split("|"))
            for name in chosen:
                if self.held.get(name) not in self.cache:
                    self.cache.pop(name, None)
        return Done(tuple(argv), 0, out, "")

    def images(self) -> dict[str, str]:
        ids = {*self.tags.values(), *self.untagged}
        return {**self.tags, **{image: image for image in ids}}


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    fake = FakeDocker()

    class FakeEngine:
        def __enter__(self) -> "FakeEngine":
            return self

        def __exit__(self, *error: object) -> None:
            return

        def images(self) -> dict[str, str]:
            return fake.images()

    monkeypatch.setattr(pruning, "Engine", FakeEngine)
    monkeypatch.setattr(pruning, "records", lambda: list(fake.cache.values()))
    return fake


@pytest.fixture
def host(tmp_path: Path, docker: FakeDocker) -> Host:
    return Host(tmp_path, docker)


def release(name: str, tag: str, postgres: str = "postgres:17", **ids: str) -> Manifest:
    return parse(
        json.dumps(
            {
                "protocol": 1,
                "release": name * 12,
                "images": [{"service": "api_gateway", "image": f"vru-platform/api_gateway:{tag}"}],
                "pull": [postgres],
                "bases": ["python:3.13"],
            }
        )
    )


def test_images_of_releases_that_are_gone_go_and_others_stay(host: Host, docker: FakeDocker) -> None:
    docker.tags = {
        "vru-platform/api_gateway:old": "sha256:1",
        "vru-platform/api_gateway:kept": "sha256:2",
        "theirs/tool:latest": "sha256:3",  # built upon ours: it carries our label
        "vru-platform/theirs:1": "sha256:4",
        "postgres:16": "sha256:5",  # pulled by us for a release that is gone
        "postgres:15": "sha256:6",  # pulled by somebody else
        "postgres:17": "sha256:7",
        "python:3.13": "sha256:8",
        "redis:7": "sha256:99",  # pulled by us once, and another image since
    }
    docker.ours = {name for name in docker.tags if "vru-platform" in name or "theirs" in name}
    pruning.note_pulled(host, {"postgres:16": "sha256:5", "postgres:17": "sha256:7", "python:3.13": "sha256:8"})
    pruning.note_pulled(host, {"redis:7": "sha256:9"})
    assert pruning.prune(host, [release("a", "kept")]) == 2
    assert set(docker.tags) == {
        "vru-platform/api_gateway:kept",
        "theirs/tool:latest",
        "vru-platform/theirs:1",
        "postgres:15",
        "postgres:17",
        "python:3.13",
        "redis:7",
    }
    assert set(Ledger.read(host).pulled) == {"postgres:16", "postgres:17", "python:3.13"}


def test_what_lost_its_name_goes_unless_a_kept_release_needs_it_or_it_is_not_ours(
    host: Host, docker: FakeDocker
) -> None:
    docker.tags = {"vru-platform/api_gateway:kept": "sha256:2"}
    docker.untagged = {"sha256:moved", "sha256:needed", "sha256:theirs"}
    pruning.note_built(host, {"vru-platform/api_gateway:x": "sha256:moved"})
    pruning.note_built(host, {"vru-platform/api_gateway:kept": "sha256:2"})
    pruning.note_built(host, {"vru-platform/api_gateway:y": "sha256:needed"})
    kept = release("b", "kept")
    (host.releases / kept.release).mkdir(parents=True)
    (host.releases / kept.release / "images.json").write_text('{"vru-platform/api_gateway:kept": "sha256:needed"}')
    pruning.prune(host, [kept])
    assert docker.untagged == {"sha256:needed", "sha256:theirs"}
    assert docker.tags == {"vru-platform/api_gateway:kept": "sha256:2"}


def test_only_records_of_our_builds_are_ours(host: Host, docker: FakeDocker) -> None:
    docker.cache = {"theirs": Record("theirs", GIB, False, "1")}
    with pytest.raises(RuntimeError), pruning.building(host):
        docker.cache["ours"] = Record("ours", GIB, False, "2")
        raise RuntimeError("a build that fails has left records too")
    docker.cache["theirs-later"] = Record("theirs-later", 9 * GIB, False, "0")
    assert Ledger.read(host).cache == {"ours"}
    with pruning.building(host):
        del docker.cache["ours"]
        docker.cache["new"] = Record("new", GIB, False, "3")
    assert Ledger.read(host).cache == {"new"}


def test_the_cache_is_cut_to_its_limit_longest_unused_first(host: Host, docker: FakeDocker) -> None:
    with pruning.building(host):
        for number in range(6):
            docker.cache[f"r{number}"] = Record(f"r{number}", GIB, False, f"2026-01-0{number + 1}")
        docker.cache["shared"] = Record("shared", 0, False, "2025")
        docker.cache["busy"] = Record("busy", GIB, True, "2025")
    docker.cache["theirs"] = Record("theirs", 20 * GIB, False, "2024")
    docker.held = {"r0": "r1"}  # r1 was built upon r0
    assert pruning.prune_cache(host, limit=4 * GIB) == 3 * GIB
    assert set(docker.cache) == {"r3", "r4", "r5", "shared", "busy", "theirs"}
    before = len(docker.commands)
    assert pruning.prune_cache(host, limit=4 * GIB) == 0
    assert len(docker.commands) == before


def test_what_cannot_be_removed_is_not_tried_for_ever(host: Host, docker: FakeDocker) -> None:
    with pruning.building(host):
        docker.cache["a"] = Record("a", 5 * GIB, False, "1")
        docker.cache["b"] = Record("b", 0, True, "1")
    docker.held = {"a": "b"}
    assert pruning.prune_cache(host, limit=GIB) == 0
    assert len(docker.commands) == 1


def test_where_the_oldest_cannot_go_the_next_one_does(host: Host, docker: FakeDocker) -> None:
    with pruning.building(host):
        for number in range(3):
            docker.cache[f"r{number}"] = Record(f"r{number}", GIB, False, f"2026-01-0{number + 1}")
    docker.held = {"r0": "r2"}
    assert pruning.prune_cache(host, limit=3 * GIB - 1) == GIB
    assert set(docker.cache) == {"r0", "r2"}
