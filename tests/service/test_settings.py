"""Settings from the environment."""

import pytest

from vru.service.settings import ServiceSettings


def test_urls_escape_what_the_password_holds(monkeypatch):
    monkeypatch.setenv("VRU_DATABASE_PASSWORD", "p@ss/w:rd%")
    monkeypatch.setenv("VRU_REDIS_PASSWORD", "a@b/c")
    settings = ServiceSettings()
    assert settings.database_conninfo == "postgresql://vru:p%40ss%2Fw%3Ard%25@postgres:5432/vru"
    assert settings.database_url == "postgresql+psycopg://vru:p%40ss%2Fw%3Ard%25@postgres:5432/vru"
    assert settings.redis_url == "redis://app:a%40b%2Fc@redis:6379/0"
    assert "p@ss" not in repr(settings)


def test_redis_without_a_password_has_no_credentials():
    assert ServiceSettings(redis_host="h").redis_url == "redis://h:6379/0"


@pytest.mark.parametrize("name", ["API_GATEWAY", "ML_ENGINE", "CAMERA_SERVICE", "VALIDATION_ENGINE", "FRONTEND"])
def test_ports_and_addresses_may_be_overridden(monkeypatch, name):
    monkeypatch.setenv(f"VRU_{name}_PORT", "12345")
    monkeypatch.setenv(f"VRU_{name}_URL", "http://elsewhere:1")
    settings = ServiceSettings()
    assert getattr(settings, f"{name.lower()}_port") == 12345
    assert getattr(settings, f"{name.lower()}_url") == "http://elsewhere:1"
