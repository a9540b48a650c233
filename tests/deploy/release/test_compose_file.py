"""What the laptop says of a compose file that Compose would refuse."""

import re
from pathlib import Path

import pytest
from tests.deploy.conftest import ROOT
from tests.deploy.servers import GOOD

from vru.deploy.checks.check import problems
from vru.deploy.checks.validation import check_project
from vru.deploy.pipeline.inspection import Target, fit_release
from vru.deploy.release.compose_file import ComposeFileError, Fault, check
from vru.deploy.settings.environment import Environment

TEXT = (ROOT / "docker-compose.production.yml").read_text()


REDIS = "  redis:\n    <<: *hardened\n"


def line_of(text: str, words: str) -> int:
    return text[: text.index(words)].count("\n") + 1


def only(text: str) -> Fault:
    [fault] = check(text.encode())
    return fault


def test_the_projects_own_file_has_no_fault() -> None:
    assert check(TEXT.encode()) == []


def test_a_sixth_service_is_nobodys_fault() -> None:
    assert check(TEXT.replace("  frontend:\n", "  sixth: {image: alpine}\n\n  frontend:\n", 1).encode()) == []


@pytest.mark.parametrize(
    ("old", "new", "service", "message", "fix"),
    [
        ("image: ${VRU_REDIS_IMAGE:?}", "imagee: ${VRU_REDIS_IMAGE:?}", "redis", "does not know imagee", "image?"),
        ("image: ${VRU_REDIS_IMAGE:?}", "image: ${VRU_REDIS_IMGAE:?}", "redis", "VRU_REDIS_IMGAE is not", "IMAGE?"),
        (f"{REDIS}    image: ${{VRU_REDIS_IMAGE:?}}\n", REDIS, "redis", "neither an image nor a build", "image"),
        ("image: ${VRU_REDIS_IMAGE:?}", "image: [redis", "redis", "This is no YAML", "Correct the line"),
        ("    entrypoint: [redis-server]", "<<<<<<< HEAD", "redis", "A merge marker stands here", "Resolve"),
        ("  redis:\n", "  rediss:\n", "redis", "Service redis is missing", "as it was"),
        ("shm_size: 256m", "user: nobody", "postgres", "user stands here again, first on line", "Keep one"),
        ("networks: [edge, internal]", "networks: [edge, intern]", "nginx", "no network intern", "internal?"),
        ("build: {context: ., target: ml_", "build: {contxt: ., target: ml_", "ml_engine", "contxt", "context?"),
        ("networks:\n  # Between", "networkss:\n  # Between", "", "not know networkss", "networks?"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_line_and_service(old: str, new: str, service: str, message: str, fix: str) -> None:
    changed = TEXT.replace(old, new, 1)
    assert changed != TEXT
    fault = check(changed.encode())[0] if service != "" else next(f for f in check(changed.encode()) if not f.service)
    assert fault.service == service
    assert message in fault.message
    assert fix in fault.fix
    # Of a sequence that is not closed, YAML says where it noticed.
    assert fault.line - line_of(changed, new) in ((0, 1) if "no YAML" in message else (0,))


def test_a_renamed_service_names_what_it_was() -> None:
    first = check(TEXT.replace("  camera_service:\n", "  camera-service:\n", 1).encode())[0]
    assert first.service == "camera_service"
    assert "is camera-service meant?" in first.message


def test_all_faults_are_said_at_once_and_a_shared_one_once() -> None:
    text = TEXT.replace("read_only: true", "readonly: true", 1).replace("shm_size:", "shmsize:", 1)
    assert [fault.message for fault in check(text.encode())] == [
        "Compose does not know readonly.",
        "Compose does not know shmsize.",
    ]


@pytest.mark.parametrize("raw", [b"", b"just words\n", b"services:\n", b"services: {a: \xff}\n"])
def test_what_is_no_compose_file_at_all_is_one_sentence(raw: bytes) -> None:
    assert len(check(raw)) == 1


def test_validate_plan_and_deploy_stop_for_it(project: Path, example: Environment) -> None:
    file = project / "docker-compose.production.yml"
    file.write_text(TEXT.replace("image: ${VRU_REDIS_IMAGE:?}", "imagee: x", 1))
    [found] = problems(check_project(project))
    assert re.fullmatch(r"docker-compose\.production\.yml, line \d+, service redis", found.name)
    with pytest.raises(ComposeFileError, match=r"line \d+, service redis: Compose does not know imagee"):
        fit_release(Target(project, example, pytest.fail), GOOD)
