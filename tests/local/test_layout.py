import os
import stat
import subprocess
import sys

import pytest

from vru.domain import VruError
from vru.local.layout import Layout, find_models, find_project, load_secrets, write_private


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "data")
    layout.create()
    return layout


def test_secrets_are_made_once_and_only_their_owner_can_read_them(layout):
    first = load_secrets(layout)
    assert load_secrets(layout) == first
    assert stat.S_IMODE(layout.secrets_file.stat().st_mode) == 0o600
    assert len(first.secret_key) >= 48
    assert len({first.database_password, first.redis_password, first.secret_key, first.admin_password}) == 4


def test_two_data_directories_share_no_secret(tmp_path, layout):
    other = Layout(tmp_path / "other")
    other.create()
    assert load_secrets(other).database_password != load_secrets(layout).database_password


@pytest.mark.parametrize("content", ["", "{", "[]", '{"database_password": "x"}'])
def test_damaged_secrets_are_named_and_not_replaced(layout, content):
    layout.secrets_file.write_text(content)
    with pytest.raises(VruError, match=r"secrets\.json is damaged"):
        load_secrets(layout)
    assert layout.secrets_file.read_text() == content


def test_a_private_file_that_others_could_read_is_closed_to_them(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_data_directory_has_one_holder(layout):
    assert not layout.is_locked()
    with layout.lock():
        assert layout.is_locked()
        with pytest.raises(VruError, match=rf"already runs .* \(process {os.getpid()}\)"), layout.lock():
            pass
    assert not layout.is_locked()


def test_a_killed_holder_holds_nothing(layout):
    code = (
        "import sys, time; from pathlib import Path; from vru.local.layout import Layout\n"
        "with Layout(Path(sys.argv[1])).lock():\n print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, layout.root], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    assert layout.is_locked()
    holder.kill()
    holder.wait()
    assert not layout.is_locked()


def test_the_project_is_found_from_below(tmp_path):
    (tmp_path / "models").mkdir()
    below = tmp_path / "src" / "deep"
    below.mkdir(parents=True)
    assert find_project(below) == tmp_path
    assert find_project(tmp_path) == tmp_path


def test_models_are_where_the_variable_says_or_it_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("VRU_MODELS_DIR", str(tmp_path))
    assert find_models(tmp_path) == tmp_path
    monkeypatch.setenv("VRU_MODELS_DIR", str(tmp_path / "missing"))
    with pytest.raises(VruError, match=r"No model repository at .*missing"):
        find_models(tmp_path)
