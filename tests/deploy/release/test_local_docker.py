"""The laptop's Docker: what is read of its archives, and what is said where it cannot build."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from tests.deploy.conftest import ROOT

from vru.deploy.release.images import Image, build_arguments, images, source_files
from vru.deploy.release.local_build import lacking
from vru.deploy.release.local_docker import LocalDocker, read_archive, write_context
from vru.deploy.settings.environment import Environment
from vru.domain import VruError
from vru.host.release.image_transfer import chain_ids

BASE, CODE = b"the base's files", b"one changed line"
DIFF_IDS = ["sha256:" + hashlib.sha256(data).hexdigest() for data in (BASE, CODE)]
CONFIG = json.dumps({"rootfs": {"type": "layers", "diff_ids": DIFF_IDS}}).encode()


def archive(path: Path, members: dict[str, bytes], links: dict[str, str], manifest: list[dict[str, object]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, target in links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        for name, data in {**members, "manifest.json": json.dumps(manifest).encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def of_new_engines(path: Path) -> Path:
    blobs = {f"blobs/sha256/{hashlib.sha256(data).hexdigest()}": data for data in (BASE, CODE, CONFIG)}
    names = list(blobs)
    entry = {"Config": names[2], "RepoTags": ["vru-platform/api_gateway:1"], "Layers": names[:2]}
    return archive(path, blobs, {}, [entry])


def of_old_engines(path: Path) -> Path:
    config = hashlib.sha256(CONFIG).hexdigest() + ".json"
    members = {"aaaa/layer.tar": BASE, "bbbb/layer.tar": CODE, config: CONFIG}
    entry = {"Config": config, "RepoTags": ["vru-platform/api_gateway:1"]}
    # The base is a layer of another image in the same archive, too: it is there once, and linked.
    links = {"cccc/layer.tar": "../aaaa/layer.tar"}
    return archive(path, members, links, [{**entry, "Layers": ["cccc/layer.tar", "bbbb/layer.tar"]}])


@pytest.mark.parametrize("make", [of_new_engines, of_old_engines])
def test_what_docker_saves_is_read_whoever_wrote_it(tmp_path: Path, make: object) -> None:
    [image] = read_archive(make(tmp_path / "images.tar"))  # type: ignore[operator]
    assert image.name == "vru-platform/api_gateway:1"
    assert image.config.sha256 == hashlib.sha256(CONFIG).hexdigest()
    assert [layer.diff_id for layer in image.layers] == DIFF_IDS
    for layer, data in zip(image.layers, (BASE, CODE), strict=True):
        with layer.content.open() as file:
            assert file.read() == data
        with layer.content.open() as file:
            file.seek(4)
            assert file.read(3) == data[4:7]
            assert file.read() == data[7:]
        assert layer.content.sha256 == hashlib.sha256(data).hexdigest()


def test_only_layers_whose_chain_is_unknown_are_sent(tmp_path: Path) -> None:
    saved = read_archive(of_new_engines(tmp_path / "images.tar"))
    base, code = (hashlib.sha256(data).hexdigest() for data in (BASE, CODE))
    config = saved[0].config.sha256
    chains = chain_ids(DIFF_IDS)
    assert lacking(saved, frozenset()) == {base, code, config}
    assert lacking(saved, frozenset(chains[:1])) == {code, config}
    assert lacking(saved, frozenset(chains)) == {config}
    # The same layer upon another base is not the same chain.
    assert lacking(saved, frozenset(DIFF_IDS[1:])) == {base, code, config}


def test_what_is_no_archive_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no archive")
    with pytest.raises(VruError, match="no image archive"):
        read_archive(tmp_path / "x.tar")


def test_the_context_holds_the_images_inputs_and_nothing_else(project: Path) -> None:
    (project / ".env.production").write_text("SECRET=1")
    (project / "src/vru/gateway/drive.mp4").write_bytes(b"x")
    packed = io.BytesIO()
    write_context(project, packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        names = tar.getnames()
        assert {member.mode for member in tar} == {0o644}
    expected = [name for name in source_files(project) if not name.startswith(("models/", "docker-compose"))]
    assert names == expected
    assert "Dockerfile" in names


FAKE = """#!/bin/sh
case "$1 $2" in
"version --format") {version} ;;
"buildx version") exit {buildx} ;;
"image inspect") {inspect} ;;
"build --progress=plain"|"buildx build") {build} ;;
esac
"""


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, **parts: str) -> None:
    words = {
        "version": "echo linux/amd64 28.2.2",
        "buildx": "0",
        "inspect": "exit 1",
        "build": "cat >/dev/null",
        **parts,
    }
    script = folder / "docker"
    script.write_text(FAKE.format(**words))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_no_docker_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(VruError, match="there is none") as raised:
        LocalDocker("x86_64")
    assert "--build local" in raised.value.fix


def test_a_docker_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, version="echo 'permission denied' >&2; exit 1")
    with pytest.raises(VruError, match="does not answer: permission denied"):
        LocalDocker("x86_64")


def test_a_docker_without_buildx_is_said_unless_it_builds_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, buildx="1")
    with pytest.raises(VruError, match="buildx is missing"):
        LocalDocker("x86_64")
    fake(tmp_path, monkeypatch, buildx="1", version="echo linux/amd64 20.10.24+dfsg1")
    assert LocalDocker("x86_64").platform == "linux/amd64"


def test_a_processor_that_docker_cannot_name_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch)
    with pytest.raises(VruError, match="no name for the server's processor"):
        LocalDocker("sparc64")


@pytest.mark.parametrize(
    ("own", "machine", "option"),
    [
        ("linux/amd64", "x86_64", ""),
        ("linux/arm64", "x86_64", "--platform=linux/amd64"),
        ("linux/arm64", "aarch64", ""),
        ("linux/arm64/v8", "aarch64", ""),
        ("linux/amd64", "aarch64", "--platform=linux/arm64"),
    ],
)
def test_a_build_is_for_the_servers_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: Environment, own: str, machine: str, option: str
) -> None:
    said = tmp_path / "said"
    made = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[machine]
    fake(
        tmp_path,
        monkeypatch,
        version=f"echo {own} 28.2.2",
        build=f'echo "$@" > {said}; cat >/dev/null',
        inspect=f"test -e {said} && echo {made}",
    )
    docker = LocalDocker(machine)
    image = images(ROOT, example)[0]
    assert not docker.has(image.image)
    docker.build(ROOT, image, build_arguments(example), lambda line: None)
    words = said.read_text()
    assert f"--tag={image.image}" in words
    assert f"--target={image.target}" in words
    assert f"--build-arg=PYTHON_IMAGE={example['VRU_PYTHON_IMAGE']}" in words
    assert ("--platform" in words) == bool(option)
    assert option in words


def test_a_foreign_build_without_emulation_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: Environment
) -> None:
    fake(tmp_path, monkeypatch, build="cat >/dev/null; echo '#5 exec /bin/sh: exec format error'; exit 1")
    image: Image = images(ROOT, example)[0]
    with pytest.raises(VruError, match="cannot run the programs of the server's kind") as raised:
        LocalDocker("aarch64").build(ROOT, image, {}, lambda line: None)
    assert "binfmt" in raised.value.fix


def test_a_failed_build_shows_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: Environment
) -> None:
    fake(tmp_path, monkeypatch, build="cat >/dev/null; echo '#9 ERROR: exit code: 1'; exit 1")
    with pytest.raises(VruError, match="Building api_gateway on this machine failed: #9 ERROR") as raised:
        LocalDocker("x86_64").build(ROOT, images(ROOT, example)[0], {}, lambda line: None)
    assert raised.value.logs == ("#9 ERROR: exit code: 1",)  # type: ignore[attr-defined]


def test_images_that_cannot_be_saved_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch)
    (tmp_path / "docker").write_text(
        (tmp_path / "docker").read_text() + 'test "$1" != save || { echo full >&2; exit 1; }\n'
    )
    folder = tmp_path / "here"
    with pytest.raises(VruError, match=r"cannot be saved .*: full"), LocalDocker("x86_64").saved(["a:1"], folder):
        pass
    assert os.listdir(folder) == []
