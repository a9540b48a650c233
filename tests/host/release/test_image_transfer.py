"""Layers that come from a laptop: which are missing, and the archive that is made of them."""

import hashlib
import io
import json
import tarfile

import pytest

from vru.host.base.errors import HostError
from vru.host.base.host import Host
from vru.host.release import image_transfer


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_layer_is_known_by_itself_and_all_below_it() -> None:
    one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    assert image_transfer.chain_ids([]) == []
    assert image_transfer.chain_ids([one])[0] == one
    chains = image_transfer.chain_ids([one, two, two])
    assert len(set(chains)) == 3
    assert chains[1] == "sha256:" + digest(f"{one} {two}".encode())
    assert image_transfer.chain_ids([two, one])[1] != chains[1]


def image(**changes: object) -> dict[str, object]:
    layer = {"diff_id": "sha256:" + "a" * 64, "object": None}
    return {"name": "vru-platform/x:1", "config": "b" * 64, "layers": [layer], **changes}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"images": [{}]},
        {"images": [image(name="../x:1")]},
        {"images": [image(name="--help")]},
        {"images": [image(config="../../etc/shadow")]},
        {"images": [image(layers=[{"diff_id": "x", "object": None}])]},
        {"images": [image(layers=[{"diff_id": "sha256:" + "a" * 64, "object": "../x"}])]},
    ],
)
def test_a_wrong_list_is_refused(tmp_path, wrong) -> None:
    with pytest.raises(HostError, match="is wrong"):
        image_transfer.load(Host(tmp_path), wrong)


def test_content_that_did_not_come_is_said(tmp_path) -> None:
    with pytest.raises(HostError, match="is not on the server"):
        image_transfer.load(Host(tmp_path), {"images": [image()]})


def test_the_archive_holds_what_was_sent_and_names_what_the_engine_has(tmp_path) -> None:
    config, sent, there = b'{"config": 1}', b"a layer", "sha256:" + "c" * 64
    for data in (config, sent):
        (tmp_path / digest(data)).write_bytes(data)
    one = {
        "name": "vru-platform/x:1",
        "config": digest(config),
        "layers": [
            {"diff_id": there, "object": None},
            {"diff_id": "sha256:" + digest(sent), "object": digest(sent)},
        ],
    }
    target = io.BytesIO()
    image_transfer._write_archive(target, tmp_path, [one], [digest(config), digest(sent)])
    target.seek(0)
    with tarfile.open(fileobj=target) as archive:
        names = archive.getnames()
        listed = archive.extractfile("manifest.json")
        assert listed is not None
        [entry] = json.load(listed)
    assert sorted(names) == sorted(["manifest.json", *(f"blobs/sha256/{digest(data)}" for data in (config, sent))])
    assert entry["RepoTags"] == ["vru-platform/x:1"]
    assert entry["Layers"] == ["blobs/sha256/" + "c" * 64, f"blobs/sha256/{digest(sent)}"]
