"""A release is named by its content, and what is sent is what it names."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from tests.deploy.servers import GOOD

from vru.deploy.release import configuration
from vru.deploy.release.manifest import Release, build
from vru.deploy.settings.environment import Environment, generate

ROOT = Path(__file__).parents[3]


@pytest.fixture
def environment(project: Path) -> Environment:
    return generate(project / ".env.production", {"VRU_HOST": "server.example"})


def made(project: Path, environment: Environment) -> Release:
    return build(project, environment, GOOD, configuration.render(project, environment, GOOD))


def test_the_same_content_has_the_same_name_and_another_content_another(
    project: Path, environment: Environment
) -> None:
    first = made(project, environment)
    assert made(project, environment) == first
    changed = project / "src" / "vru" / "gateway" / "__main__.py"
    changed.write_text(changed.read_text() + "# changed\n")
    second = made(project, environment)
    assert second.name != first.name
    tags = [{one.service: one.image for one in release.manifest.images} for release in (first, second)]
    assert {service for service in tags[0] if tags[0][service] != tags[1][service]} == {"api_gateway"}


def test_limits_that_do_not_fit_the_server_are_scaled_down_and_named(project: Path, environment: Environment) -> None:
    small = replace(GOOD, cpus=2)
    release = build(project, environment, small, configuration.render(project, environment, small))
    [note] = [note for note in release.notes if note.startswith("ML engine: ")]
    assert note.startswith("ML engine: 2 CPU,")
    assert "instead of 4 CPU, 4096 MiB; the server has 2 CPU and 8192 MiB" in note
    sha256 = next(entry.sha256 for entry in release.manifest.files if entry.path == ".env")
    with release.contents[sha256].open() as file:
        assert b"VRU_ML_ENGINE_CPUS='2'\n" in file.read()


def test_secrets_are_in_the_one_file_that_only_root_reads(project: Path, environment: Environment) -> None:
    release = made(project, environment)
    modes = {entry.path: (entry.mode, entry.sha256) for entry in release.manifest.files}
    mode, sha256 = modes[".env"]
    assert mode == 0o600
    for secret in environment.secrets():
        assert secret not in gzip.decompress(release.packed_manifest()).decode()
        holders = []
        for key, content in release.contents.items():
            with content.open() as file:
                if secret.encode() in file.read():
                    holders.append(key)
        # What the self-signed certificate's key is made from never leaves the laptop.
        assert holders == ([] if secret == environment["VRU_TLS_SEED"] else [sha256])


def test_nothing_private_is_shipped(project: Path, environment: Environment) -> None:
    (project / "src" / "vru" / "gateway" / ".env").write_text("SECRET=1\n")
    (project / "src" / "vru" / "gateway" / "video.mp4").write_bytes(b"x")
    (project / "src" / "vru" / "gateway" / "__pycache__").mkdir(exist_ok=True)
    (project / "src" / "vru" / "gateway" / "__pycache__" / "a.pyc").write_bytes(b"x")
    paths = {entry.path for entry in made(project, environment).manifest.files}
    assert ".env.production" not in paths
    assert {path for path in paths if "__pycache__" in path or path.endswith((".mp4", "gateway/.env"))} == set()
