"""A plan as the laptop has it: read from the server's answer, named, compared with an earlier one, shown to people."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tests.deploy.servers import GOOD

from vru.deploy.pipeline import saved_plans
from vru.deploy.pipeline.phases import require_current
from vru.deploy.release import configuration, difference
from vru.deploy.release.difference import Difference
from vru.deploy.release.manifest import Release, build
from vru.deploy.settings.environment import Environment, generate
from vru.domain import VruError
from vru.host.release import masking
from vru.host.wire import Change, Plan

PLANNED = Difference(
    release="0123456789ab",
    changes=(
        Change("file", "src/vru/gateway/app.py", "update", "content"),
        Change("firewall", "rules", "update", "open: 22", ("+ IPv4 VRU-INPUT -j DROP",)),
        Change("container", "postgres", "update", "settings"),
    ),
    missing=("a" * 64,),
    notes=("a note",),
    running=None,
    state="s1",
    live="ba9876543210",
)


@pytest.fixture
def environment(project: Path) -> Environment:
    return generate(project / ".env.production", {"VRU_HOST": "server.example"})


@pytest.fixture
def release(project: Path, environment: Environment) -> Release:
    return build(project, environment, GOOD, configuration.render(project, environment, GOOD))


def plan_of(contents: dict[str, str | None]) -> Plan:
    return Plan(None, "s", (), (), {}, kept=False, running=None, contents=contents)


def test_a_plan_is_named_by_release_and_server() -> None:
    assert PLANNED.id == replace(PLANNED, notes=()).id
    assert PLANNED.id != replace(PLANNED, state="s2").id
    assert PLANNED.id != replace(PLANNED, release="f" * 12).id
    assert len(PLANNED.id) == 12


def test_files_are_compared_with_secrets_masked_on_both_sides(release: Release, environment: Environment) -> None:
    path = "config/production/users.acl"
    right = masking.Mask(release.environment)(release.text(path) or "")
    assert masking.MASK in right
    read = Difference.of_plan(plan_of({path: right, "src/a.py": "x"}), release)
    assert read.files == (difference.FileDifference(path, ()),)
    read = Difference.of_plan(plan_of({path: right + "user eve on nopass\n"}), release)
    assert [line for line in read.files[0].lines if line.startswith("-") and "eve" in line] == ["-user eve on nopass"]
    told = json.dumps(read.as_json())
    assert [secret for secret in environment.secrets() if secret in told] == []


def test_what_moved_since_a_plan_is_said() -> None:
    plan = PLANNED.as_json()
    assert difference.stale(plan, PLANNED) == []
    later = replace(
        PLANNED, state="s2", live="111111111111", changes=(*PLANNED.changes[:2], Change("unit", "x", "start"))
    )
    said = " ".join(difference.stale(plan, later))
    assert "Release 111111111111 is live on the server; it was ba9876543210." in said
    assert "Now it would also start unit x." in said
    assert "Nothing is left to update at container postgres" in said
    assert "The project has moved on" in difference.stale(plan, replace(PLANNED, release="f" * 12))[0]


def test_a_stale_plan_is_refused_in_few_words() -> None:
    many = tuple(Change("file", f"f{number}", "update") for number in range(15))
    with pytest.raises(VruError) as caught:
        require_current(PLANNED.as_json(), replace(PLANNED, state="s2", changes=(*PLANNED.changes, *many)))
    assert caught.value.message == (
        f"Plan {PLANNED.id} no longer holds; nothing was changed. Now it would also update file f0. "
        "14 more things differ."
    )
    assert caught.value.fix == "Make a new plan and look through it: vru plan"
    with pytest.raises(VruError, match=r"file f0\. Now it would also update file f1\."):
        require_current(PLANNED.as_json(), replace(PLANNED, state="s2", changes=(*PLANNED.changes, *many[:2])))


def test_a_plan_is_kept_for_its_owner_only_and_found_again(tmp_path: Path) -> None:
    file = saved_plans.save(tmp_path, PLANNED)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert saved_plans.load(tmp_path, PLANNED.id) == PLANNED.as_json()
    assert saved_plans.load(tmp_path, str(file)) == PLANNED.as_json()
    for number in range(25):
        saved_plans.save(tmp_path, replace(PLANNED, state=str(number)))
    assert len(list(file.parent.iterdir())) == 20


@pytest.mark.parametrize("given", ["000000000000", "nowhere.json"])
def test_a_plan_that_is_not_there_is_an_error_with_its_fix(tmp_path: Path, given: str) -> None:
    with pytest.raises(VruError, match="no plan") as caught:
        saved_plans.load(tmp_path, given)
    assert "vru plan" in (caught.value.fix or "")


def test_a_file_that_is_no_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"id": 1}')
    with pytest.raises(VruError, match="is no plan"):
        saved_plans.load(tmp_path, str(tmp_path / "x.json"))


def test_people_read_why_and_what_is_away_meanwhile() -> None:
    text = saved_plans.show(PLANNED, colour=False)
    assert "+ IPv4 VRU-INPUT -j DROP" in text
    assert "update postgres  settings; replaced in place: the database is away meanwhile" in text
    assert "1 source files  src/vru/gateway/app.py" in text
    assert f"vru deploy --plan {PLANNED.id}" in text
    assert "\x1b[" not in text
    assert "\x1b[" in saved_plans.show(PLANNED, colour=True)
    assert "Nothing to change" in saved_plans.show(replace(PLANNED, changes=()), colour=False)
