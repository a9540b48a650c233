"""What a plan may show of a server's files."""

import hashlib

import pytest

from vru.host.release.masking import MASK, Mask, compare, is_secret, is_shown
from vru.host.wire import Variable

ENV = {"VRU_DATABASE_PASSWORD": "first-Password_1", "VRU_SECRET_KEY": "key-of-many-characters", "VRU_LOG_LEVEL": "INFO"}


@pytest.mark.parametrize(
    "name", ["VRU_DATABASE_PASSWORD", "SECRET_KEY", "GF_TOKEN", "VRU_ALERT_WEBHOOK_URL", "api_key"]
)
def test_secrets_are_known_by_their_names(name):
    assert is_secret(name)
    assert not is_secret("VRU_LOG_LEVEL")


def test_values_and_their_hashes_are_masked_wherever_they_stand():
    mask = Mask(ENV)
    digest = hashlib.sha256(b"first-Password_1").hexdigest()
    assert mask(f"user app on #{digest} ~vru:*") == f"user app on #{MASK} ~vru:*"
    assert mask("x=first-Password_1;INFO") == f"x={MASK};INFO"
    assert mask("postgresql://vru:another@postgres/vru") == f"postgresql://{MASK}@postgres/vru"


def test_nothing_is_masked_where_nothing_is_secret():
    assert Mask({"A": "INFO", "PASSWORD": ""})("INFO and more") == "INFO and more"


def test_variables_are_compared_without_showing_secrets():
    after = {**ENV, "VRU_DATABASE_PASSWORD": "second-Password_2", "VRU_LOG_LEVEL": "DEBUG", "NEW": "1"}
    assert compare(ENV, after, Mask(ENV, after)) == [
        Variable("NEW", None, "1"),
        Variable("VRU_DATABASE_PASSWORD", MASK, MASK),
        Variable("VRU_LOG_LEVEL", "INFO", "DEBUG"),
    ]


def test_sources_and_env_are_not_shown_as_text():
    assert is_shown("config/production/nginx.conf")
    assert is_shown("/etc/systemd/system/x.service")
    assert not is_shown(".env")
    assert not is_shown("src/vru/gateway/app.py")
