import ast
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from tests.deploy.conftest import ROOT

from vru.deploy.release.images import COMMON, images, inputs_of, refuse_secrets, source_files
from vru.deploy.release.topology import rooms
from vru.deploy.settings.environment import Environment
from vru.deploy.settings.variables import BUILT
from vru.domain import VruError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of everything that images are built from."""
    copy = tmp_path / "project"
    for path in source_files(ROOT):
        target = copy / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target)
    return copy


def tags(root: Path, environment: Environment) -> dict[str, str]:
    return {image.service: image.tag for image in images(root, environment)}


def changed_by(project: Path, environment: Environment, path: str) -> set[str]:
    before = tags(project, environment)
    with (project / path).open("a") as file:
        file.write("\n# changed\n")
    after = tags(project, environment)
    return {service for service in BUILT if before[service] != after[service]}


@pytest.mark.parametrize(
    ("path", "rebuilt"),
    [
        ("src/vru/gateway/settings.py", {"api_gateway"}),
        ("src/vru/ml_engine/settings.py", {"ml_engine"}),
        ("src/vru/validation_engine/settings.py", {"validation_engine"}),
        ("src/vru/frontend/web/index.html", {"frontend"}),
        ("src/vru/service/settings.py", set(BUILT)),
        ("uv.lock", set(BUILT)),
        ("docker-compose.production.yml", set()),
    ],
)
def test_a_change_gives_a_new_tag_only_to_the_images_it_is_in(
    project: Path, example: Environment, path: str, rebuilt: set[str]
) -> None:
    assert changed_by(project, example, path) == rebuilt


def test_the_same_files_give_the_same_tags_wherever_they_are(project: Path, example: Environment) -> None:
    assert tags(project, example) == tags(ROOT, example)
    (project / "src/vru/gateway/__pycache__").mkdir()
    (project / "src/vru/gateway/__pycache__/x.cpython-313.pyc").write_bytes(b"x")
    (project / "src/vru/frontend/static").mkdir()
    (project / "src/vru/frontend/static/index.html").write_text("built")
    assert tags(project, example) == tags(ROOT, example)


def test_names_carry_the_prefix_and_the_tag(example: Environment) -> None:
    for image in images(ROOT, example.replace(VRU_IMAGE_PREFIX="registry.example:5000/vru")):
        assert re.fullmatch(rf"registry\.example:5000/vru/{image.service}:[0-9a-f]{{12}}", image.image)


def test_a_missing_input_is_named(project: Path, example: Environment) -> None:
    shutil.rmtree(project / "src/vru/gateway")
    with pytest.raises(VruError, match="src/vru/gateway is missing"):
        images(project, example)


def test_nothing_private_is_shipped() -> None:
    shipped = source_files(ROOT)
    assert {"Dockerfile", "docker-compose.production.yml", "uv.lock", ".dockerignore"} <= set(shipped)
    assert not [path for path in shipped if ".env" in path or "node_modules" in path or "__pycache__" in path]
    assert not [path for path in shipped if path.startswith(("src/vru/deploy", "src/vru/host", "tests"))]


PLANTED = {
    ".env": "VRU_SECRET_KEY=x",
    ".env.production": "VRU_SECRET_KEY=x",
    "id_ed25519": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "server.pem": "-----BEGIN PRIVATE KEY-----",
    "server.key": "-----BEGIN PRIVATE KEY-----",
    "drive.mp4": "video",
    "drive.avi": "video",
    "core.1234": "memory",
    "dump.sql.gz": "rows",
    "__pycache__/x.cpython-313.pyc": "code",
    "__pycache__/x.py": "code",
    "node_modules/left-pad/index.js": "code",
    ".mypy_cache/x.json": "{}",
}


@pytest.mark.parametrize("folder", ["src/vru/gateway", "src/vru/frontend/web/src", "src/vru/deploy", "models", "."])
@pytest.mark.parametrize("name", PLANTED)
def test_planted_secrets_videos_and_caches_stay_here(project: Path, folder: str, name: str) -> None:
    before = source_files(project)
    file = project / folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(PLANTED[name])
    assert source_files(project) == before


@pytest.mark.parametrize("name", ["x.py", "credentials.json", "deeper"])
def test_a_link_that_leads_outside_is_refused(project: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text("{}")
    (project / "src/vru/gateway" / name).symlink_to(outside if name == "deeper" else outside / "secret.json")
    with pytest.raises(VruError, match=f"gateway/{name} is a link to"):
        source_files(project)


def test_a_link_in_a_circle_is_refused_and_one_to_a_file_beside_it_is_not(project: Path) -> None:
    room = project / "src/vru/gateway"
    (room / "settings_too.py").symlink_to("settings.py")
    assert "src/vru/gateway/settings_too.py" in source_files(project)
    (room / "round").symlink_to("..")
    with pytest.raises(VruError, match="is a link to"):
        source_files(project)


def test_a_giant_is_refused_among_sources_and_not_among_models(project: Path) -> None:
    for place in ("models/mine/1/model.onnx", "src/vru/gateway/notes.json"):
        file = project / place
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as handle:
            handle.truncate(40 * 1024**2)
        if place.startswith("models"):
            assert place in source_files(project)
    with pytest.raises(VruError, match=r"notes.json has 40 MiB"):
        source_files(project)


def test_a_private_key_or_a_password_in_a_source_is_refused(project: Path, example: Environment) -> None:
    refuse_secrets(project, example.secrets())
    file = project / "src/vru/gateway/keys.json"
    file.write_text('{"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC"}')
    with pytest.raises(VruError, match="holds a private key"):
        refuse_secrets(project, ())
    file.write_text(f"PASSWORD = '{example['VRU_REDIS_PASSWORD']}'")
    with pytest.raises(VruError, match="holds a password") as raised:
        refuse_secrets(project, example.secrets())
    assert example["VRU_REDIS_PASSWORD"] not in str(raised.value)


def test_the_dockerfile_copies_what_the_tags_are_made_of() -> None:
    stages: dict[str, list[str]] = {}
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if found := re.match(r"FROM \S+ AS (\w+)", line):
            stages[found[1]] = []
        elif line.startswith("COPY ") and "--from" not in line:
            stages[next(reversed(stages))] += line.split()[1:-1]
    for service in BUILT:
        copied = {re.match(r"src/vru/(\w+)/", source)[1] for source in stages[service]}  # type: ignore[index]
        assert copied == set(rooms(ROOT, service)), service
    assert set(stages["builder"]) <= set(COMMON)
    assert all(source.startswith("src/vru/frontend/web/") for source in stages["page"])


def imported_rooms(room: str) -> set[str]:
    """The rooms that a room's modules import, directly."""
    found = set()
    for path in (ROOT / "src/vru" / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found |= {name.split(".")[1] for name in names if name.startswith("vru.")}
    return {name for name in found if (ROOT / "src/vru" / name).is_dir()}


@pytest.mark.parametrize("service", BUILT)
def test_an_image_holds_every_room_that_its_code_imports(service: str) -> None:
    needed: set[str] = set()
    [command] = re.findall(rf"AS {service}\n.*?\nCMD .*?vru\.(\w+)", (ROOT / "Dockerfile").read_text(), flags=re.S)
    waiting = {command}
    while waiting:
        room = waiting.pop()
        needed.add(room)
        waiting |= imported_rooms(room) - needed
    assert needed <= set(rooms(ROOT, service))


@pytest.mark.parametrize("service", BUILT)
def test_an_image_holds_every_file_of_its_rooms_that_the_repository_keeps(service: str) -> None:
    folders = [f"src/vru/{room}" for room in rooms(ROOT, service)]
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("needs a checkout of the repository")
    # A kind of file that is not on the list of sources stays behind, and the service fails where it reads it.
    assert set(listed.stdout.split()) <= set(inputs_of(ROOT, service))


def test_the_inputs_are_files_and_sorted() -> None:
    for service in BUILT:
        inputs = inputs_of(ROOT, service)
        assert list(inputs) == sorted(inputs)
        assert all((ROOT / path).is_file() for path in inputs)


def test_every_library_is_locked_in_one_version() -> None:
    """Else the images, on their own Python, would run libraries that the tests never saw."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    names = [package["name"] for package in packages]
    assert [name for name in sorted(set(names)) if names.count(name) > 1] == []
