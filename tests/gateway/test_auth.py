"""Logging in and out, on a real Redis with production's access rules."""

import httpx2
import psycopg
import pytest
import redis as redis_client

EMAIL, PASSWORD = "admin@example.com", "a-long-password"  # as in conftest.py


@pytest.fixture
def address(start_gateway) -> str:
    return start_gateway()


@pytest.fixture
def client(address):
    with httpx2.Client(base_url=f"{address}/api/v1") as made:
        yield made


def log_in(client, email=EMAIL, password=PASSWORD):
    return client.post("/auth/login", json={"email": email, "password": password})


def test_token_works_as_bearer(client):
    answer = log_in(client)
    assert answer.status_code == 200
    body = answer.json()
    assert body["user"] == {"id": body["user"]["id"], "email": EMAIL, "role": "admin"}
    assert answer.headers["cache-control"] == "no-store"
    client.cookies.clear()
    me = client.get("/auth/me", headers={"Authorization": f"Bearer {body['token']}"})
    assert me.status_code == 200
    assert me.json() == body["user"]


def test_cookie_works_and_is_locked_down(client):
    answer = log_in(client)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("vru_session=")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie
    assert client.get("/auth/me").status_code == 200


def test_cookie_is_secure_behind_https(client):
    answer = client.post(
        "/auth/login", json={"email": EMAIL, "password": PASSWORD}, headers={"X-Forwarded-Proto": "https"}
    )
    assert "Secure" in answer.headers["set-cookie"]


def test_e_mail_s_case_does_not_matter(client):
    assert log_in(client, email=" Admin@Example.COM ").status_code == 200


@pytest.mark.parametrize(
    ("email", "password"), [(EMAIL, "wrong"), ("nobody@example.com", PASSWORD), ("", ""), (EMAIL, "")]
)
def test_wrong_credentials_all_say_the_same(client, email, password):
    answer = log_in(client, email, password)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "The e-mail address or the password is wrong."
    assert "set-cookie" not in answer.headers


def test_nul_and_overlong_input_is_refused(client):
    assert log_in(client, email="a\x00@example.com").status_code == 422
    assert log_in(client, password="x" * 300).status_code == 422


def test_logout_ends_the_session(client):
    token = log_in(client).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert client.post("/auth/logout", headers=headers).status_code == 204
    client.cookies.clear()
    assert client.get("/auth/me", headers=headers).status_code == 401


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eA=="}])
def test_without_a_session_nothing_is_shown(client, headers):
    for method, path in [
        ("GET", "/auth/me"),
        ("GET", "/projects"),
        ("POST", "/projects"),
        ("GET", "/models"),
        ("POST", "/runs"),
        ("GET", "/cameras"),
        ("GET", "/videos/6f1c1f0e-3d0e-4f0a-9d5c-0d9c3c7e8a11/file"),
    ]:
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "log in" in answer.json()["fix"].lower()


def test_token_itself_is_not_in_redis(client, redis):
    token = log_in(client).json()["token"]
    with redis_client.Redis.from_url(redis.admin_url, decode_responses=True) as store:
        keys = store.keys("*")
        assert any(key.startswith("vru:session:") for key in keys)
        assert not any(token in key or token in str(store.get(key)) for key in keys if store.type(key) == "string")
        assert all(0 < store.ttl(key) <= 12 * 3600 for key in keys if key.startswith("vru:session"))


def test_guessing_is_slowed_down(client):
    answers = [log_in(client, password=f"wrong-{number}") for number in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert "Try again in" in answers[-1].json()["fix"]
    assert log_in(client).status_code == 429  # the right password does not help now
    assert log_in(client, email="other@example.com").status_code == 401  # others are not locked out


def test_success_forgets_earlier_failures(client):
    for _ in range(3):
        for _ in range(6):
            assert log_in(client, password="wrong").status_code == 401
        assert log_in(client).status_code == 200


def test_password_is_hashed_with_argon2(client, settings):
    with psycopg.connect(settings.database_conninfo) as connection:
        (stored,) = connection.execute("SELECT password_hash FROM users").fetchone()
    assert stored.startswith("$argon2id$")


def test_changed_password_of_the_environment_replaces_the_old_one_and_ends_sessions(client, start_gateway):
    token = log_in(client).json()["token"]
    client.cookies.clear()
    second = start_gateway(admin_password="another-password")
    assert client.get("/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert log_in(client).status_code == 401
    with httpx2.Client(base_url=f"{second}/api/v1") as other:
        assert log_in(other, password="another-password").status_code == 200


def test_same_password_keeps_sessions(client, start_gateway):
    token = log_in(client).json()["token"]
    start_gateway()
    assert client.get("/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_another_secret_key_does_not_accept_old_tokens(client, start_gateway):
    token = log_in(client).json()["token"]
    other = start_gateway(secret_key="z" * 40)
    answer = httpx2.get(f"{other}/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
