"""What the services' images begin with, as the Dockerfile makes it."""

import os
import re
import secrets
import shutil
import subprocess

import pytest
from tests.deploy.conftest import ROOT, docker, has_image

from vru.deploy.settings.variables import VARIABLES

FIND = ["find", "/", "-xdev", "-type", "f", "-perm", "/6000"]


def test_no_program_in_a_service_s_image_changes_who_runs_it(engine: None) -> None:
    base = VARIABLES["VRU_PYTHON_IMAGE"].default
    if not has_image(base):
        pytest.skip(f"the image {base} cannot be had")
    # Else there is nothing to see.
    assert docker("run", "--rm", "--entrypoint=find", base, *FIND[1:]).stdout.split()
    tag = f"vru-test-runtime-{secrets.token_hex(4)}"
    # That stage alone, which every client can build: it needs neither BuildKit nor sources.
    stage = re.search(r"^FROM \S+ AS runtime\n(?:(?!FROM ).*\n)+", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert stage is not None
    built = subprocess.run(
        [shutil.which("docker") or "docker", "build", "--quiet", f"--tag={tag}", "-"],
        input=f"ARG PYTHON_IMAGE={base}\n{stage[0]}".encode(), env={**os.environ, "DOCKER_BUILDKIT": "0"},
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr.decode()[-2000:]
    try:
        found = docker("run", "--rm", "--entrypoint=find", tag, *FIND[1:])
        assert (found.returncode, found.stdout) == (0, b"")
    finally:
        docker("image", "rm", tag)
