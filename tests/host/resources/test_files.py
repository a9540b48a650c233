"""Files as they are, and a manifest -> changes."""

import json

import pytest
from tests.host.resources.common import HOST
from tests.host.tiny import Tiny

from vru.host.release.manifest import parse
from vru.host.resources import files


def test_files_are_compared_by_content_mode_and_owner_and_old_ones_removed():
    manifest = parse(json.dumps(Tiny().manifest()))
    entry = manifest.files[0]
    same = {item.path: files.FileState(item.sha256, item.mode, item.uid or 0, item.gid or 0) for item in manifest.files}
    everything = frozenset(item.path for item in manifest.files)

    def changed(found, owned=everything):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("os.geteuid", lambda: 0)
            patch.setattr("os.getegid", lambda: 0)
            return [
                (change.name, change.action, change.detail)
                for change in files.changes(HOST, manifest, files.FileFacts(found, owned))
            ]

    assert changed(same) == []
    assert changed({**same, entry.path: None})[0][:2] == (entry.path, "create")
    assert changed({**same, entry.path: files.FileState(None, entry.mode, 0, 0)}) == [(entry.path, "update", "content")]
    assert changed({**same, ".env": files.FileState(manifest.file(".env").sha256, 0o644, 0, 0)}) == [
        (".env", "update", "mode 0644 -> 0600")
    ]
    assert changed(same, everything | {"src/old.py"}) == [("src/old.py", "remove", "no longer part of the release")]


def test_what_stands_in_a_files_place_is_named_and_strays_are_removed():
    manifest = parse(json.dumps(Tiny().manifest()))
    found = {item.path: files.FileState(item.sha256, item.mode, 0, 0) for item in manifest.files}
    path = manifest.files[0].path
    found[path] = files.FileState(None, 0o777, 0, 0, "symbolic link")
    facts = files.FileFacts(found, frozenset(found), ("config/production/rules/by-hand.yml",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.geteuid", lambda: 0)
        patch.setattr("os.getegid", lambda: 0)
        told = [(change.name, change.action, change.detail) for change in files.changes(HOST, manifest, facts)]
    assert told == [
        (path, "update", "is a symbolic link"),
        ("config/production/rules/by-hand.yml", "remove", "is part of no release"),
    ]
