"""The wheel, built from what git tracks and installed in a fresh environment, works where there is no repository."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from vru.deploy import environment, images
from vru.local.ports import DEFAULT_PORTS

ROOT = Path(__file__).parents[2]
UV = next((found for found in (shutil.which("uv"), ROOT / ".tools/bin/uv") if found and Path(found).exists()), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(UV is None, reason="no uv here (make install brings it)"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout"),
]


def clone(folder: Path) -> None:
    """What a clone would hold if everything here were committed."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def build(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    words, variables = [str(UV), "build", *arguments], os.environ | variables
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=variables, check=False)


@dataclass(frozen=True)
class Installed:
    """A fresh environment with the wheel, and an empty folder to stand in."""

    vru: Path
    folder: Path

    def __call__(self, *arguments: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        words = [str(self.vru), *map(str, arguments)]
        # Nothing of the repository, nor of the tests' environment, is on the paths.
        clean = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8"}
        where, nothing = cwd or self.folder, subprocess.DEVNULL
        return subprocess.run(words, cwd=where, env=clean, capture_output=True, text=True, stdin=nothing, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    clone(folder)
    page = ROOT / "src/vru/frontend/static"
    if page.is_dir():
        # Built from the same sources or not: the build looks, and builds it again where it was not.
        shutil.copytree(page, folder / "src/vru/frontend/static")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    (made,) = (folder / "dist").glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    python = folder / "venv/bin/python"
    subprocess.run([str(UV), "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    subprocess.run([str(UV), "pip", "install", "--quiet", "--no-deps", "--python", python, wheel], check=True)
    # Its dependencies come from the tests' environment, as files on the path; the editable install there is not used.
    (site,) = (folder / "venv/lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    (folder / "empty").mkdir()
    where = subprocess.run(
        [python, "-c", "import vru; print(vru.__file__)"], cwd="/", capture_output=True, text=True, check=True
    )
    assert where.stdout.startswith(str(site)), where.stdout
    return Installed(folder / "venv/bin/vru", folder / "empty")


@pytest.fixture(scope="module")
def project(installed: Installed) -> Path:
    done = installed("new", "mine")
    assert done.returncode == 0, done.stderr
    return installed.folder / "mine"


def test_the_wheel_holds_the_page(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        page = archive.read("vru/frontend/static/index.html").decode()
    for name in re.findall(r'(?:src|href)="\.?/?(assets/[^"]+)"', page):
        assert f"vru/frontend/static/{name}" in names
    assert any(name.startswith("vru/frontend/static/assets/") for name in names)
    assert not [name for name in names if "node_modules" in name or name.endswith(".pyc")]


def test_a_wheel_without_the_page_is_not_made(tmp_path: Path) -> None:
    clone(tmp_path)
    # Neither the built page nor a Node to build it with: nothing is on the path.
    done = build(tmp_path, "--wheel", "--python", sys.executable, PATH="")
    assert done.returncode != 0 and not list((tmp_path / "dist").glob("*.whl"))
    assert "error: Building the page needs Node" in done.stderr and "Traceback" not in done.stderr


def test_a_new_project_builds_the_very_images_of_the_checkout(project: Path, tmp_path: Path) -> None:
    settings = environment.generate(tmp_path / ".env.production", {"VRU_HOST": "192.0.2.10"})
    assert images.images(project, settings) == images.images(ROOT, settings)
    assert images.source_files(project) == images.source_files(ROOT)


def test_init_render_and_validate_work_in_it(installed: Installed, project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    done = installed("init", "--host", "127.0.0.1", "--port", port, cwd=project)
    assert done.returncode == 0, done.stderr
    assert (project / ".env.production").stat().st_mode & 0o777 == 0o600
    assert installed("render", cwd=project).returncode == 0
    assert (project / "config/production/nginx.conf").is_file()
    checked = installed("validate", cwd=project)
    assert "sources hold no private key" in checked.stdout and "files render" in checked.stdout
    # All that is wrong is that no server answers there.
    assert checked.returncode == 1 and "1 problem would stop" in checked.stderr, checked.stdout
    planned = installed("plan", cwd=project)
    assert planned.returncode == 3 and f"Nothing answers at 127.0.0.1 port {port}" in planned.stderr


def test_new_refuses_a_folder_with_something_in_it(installed: Installed, project: Path) -> None:
    again = installed("new", project)
    assert again.returncode == 1 and "not empty" in again.stderr and "Traceback" not in again.stderr


def test_version_and_help(installed: Installed) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", installed("--version").stdout)
    assert "new" in installed("--help").stdout


@pytest.fixture
def base_port() -> Iterator[int]:
    for base in range(24000 + os.getpid() % 400 * 20, 60000, 20):
        try:
            for offset in range(len(DEFAULT_PORTS)):
                socket.create_server(("127.0.0.1", base + offset)).close()
        except OSError:
            continue
        yield base
        return
    raise AssertionError("no free ports")


def test_the_demo_runs_without_a_project(installed: Installed, base_port: int) -> None:
    # Not below pytest's own directory, which is closed to other users: PostgreSQL never runs as root.
    with tempfile.TemporaryDirectory(prefix="vru-test-wheel-") as data:
        done = installed("local", "demo", "--exit", "--data", Path(data, "vru"), "--base-port", base_port)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verdict: " in done.stdout
