from pathlib import Path

import pytest

from vru.domain import VruError
from vru.service.settings import ServiceSettings


def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    monkeypatch.setenv("VRU_CONFIG_FILE", str(file))


def test_settings_come_from_the_file_and_the_environment_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_file(tmp_path, monkeypatch, "database_pool_size: 7\ndatabase_pool_overflow: 8\n")
    monkeypatch.setenv("VRU_DATABASE_POOL_OVERFLOW", "9")
    settings = ServiceSettings()
    assert (settings.database_pool_size, settings.database_pool_overflow) == (7, 9)


def test_a_file_that_is_not_there_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VRU_CONFIG_FILE", "/nowhere/config.yaml")
    with pytest.raises(VruError, match=r"/nowhere/config\.yaml"):
        ServiceSettings()


@pytest.mark.parametrize("text", ["a: [", "database_pool_size: 7\nno_such_setting: 1\n", "- a\n"])
def test_a_file_that_says_something_else_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    settings_file(tmp_path, monkeypatch, text)
    with pytest.raises(VruError, match=r"config\.yaml"):
        ServiceSettings()
