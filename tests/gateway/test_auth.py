"""Logging in and out, on a real Redis with production's access rules."""

import hmac
import json
import time

import httpx2
import psycopg
import pytest
import redis as redis_client

from vru.gateway.auth.rate_limit import network

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
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-vru_session=")
    assert "; Secure" in cookie and "; Path=/;" in cookie and "Domain" not in cookie


def test_over_https_only_the_cookie_that_nobody_else_can_set_is_a_login(client):
    token = log_in(client).json()["token"]
    client.cookies.clear()
    tls = {"X-Forwarded-Proto": "https"}
    for name, headers, status in (
        ("vru_session", tls, 401),
        ("__Host-vru_session", tls, 200),
        ("__Host-vru_session", {}, 401),
        ("vru_session", {}, 200),
    ):
        answer = client.get("/auth/me", headers={**headers, "Cookie": f"{name}={token}"})
        assert answer.status_code == status, (name, headers)
    out = client.post(
        "/auth/logout", headers={**tls, "Cookie": f"__Host-vru_session={token}", "Sec-Fetch-Site": "same-origin"}
    )
    assert out.status_code == 204
    assert out.headers["set-cookie"].startswith('__Host-vru_session="";')
    assert "; Secure" in out.headers["set-cookie"]


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


def from_address(address):
    """As nginx says it: the tests' server believes the loopback."""
    return {"X-Forwarded-For": address}


def fail_until_told_to_wait(client, tries=20, **headers):
    for _ in range(tries):
        answer = client.post("/auth/login", json={"email": EMAIL, "password": "wrong"}, headers=headers)
        if answer.status_code == 429:
            return answer
        assert answer.status_code == 401
    raise AssertionError("guessing is not slowed down")


def test_guessing_is_slowed_down_for_seconds(client):
    answer = fail_until_told_to_wait(client)
    assert 0 < int(answer.headers["retry-after"]) <= 30
    assert "Try again in" in answer.json()["fix"]
    assert log_in(client).status_code == 429  # the right password waits, too
    assert log_in(client, email="other@example.com").status_code == 401  # others do not
    time.sleep(int(answer.headers["retry-after"]))
    assert log_in(client).status_code == 200
    assert log_in(client, password="wrong").status_code == 401  # all is forgiven


def test_a_try_that_comes_too_soon_does_not_prolong_the_wait(client):
    fail_until_told_to_wait(client)
    waits = [int(log_in(client).headers["retry-after"]) for _ in range(5)]
    assert waits == sorted(waits, reverse=True)


def test_300_bad_logins_do_not_lock_the_right_password_out(client, redis):
    # Each from another network, as a botnet's are: none of them has to wait at its address.
    with redis_client.Redis.from_url(redis.admin_url, decode_responses=True) as store:
        for number in range(3):
            headers = from_address(f"2001:db8:{number}::1")
            client.post("/auth/login", json={"email": EMAIL, "password": "wrong"}, headers=headers)
        (key,) = [key for key in store.keys("vru:login:account:*") if not key.endswith(":wait")]
        assert store.get(key) == "3"
        store.set(key, 300)
    began = time.monotonic()
    assert log_in(client).status_code == 200
    assert 3.5 < time.monotonic() - began < 20  # held for 4 s


def test_successful_logins_are_no_failures(client, redis):
    for _ in range(12):
        assert log_in(client).status_code == 200
    with redis_client.Redis.from_url(redis.admin_url, decode_responses=True) as store:
        assert {store.get(key) for key in store.keys("vru:login:*")} <= {"0"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("unknown", "192.0.2.1", False),
    ],
)
def test_one_client_is_an_address_or_a_64(one, other, same):
    assert (network(one) == network(other)) is same


def test_all_addresses_of_a_64_wait_together(client):
    for number in range(30):
        headers = from_address(f"2001:db8:7:7::{number:x}")
        answer = client.post("/auth/login", json={"email": EMAIL, "password": "wrong"}, headers=headers)
        if answer.status_code == 429:
            break
    assert answer.status_code == 429
    other = client.post(
        "/auth/login", json={"email": EMAIL, "password": PASSWORD}, headers=from_address("2001:db8:7:8::1")
    )
    assert other.status_code == 200


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


def test_a_changed_address_of_the_environment_ends_the_account_before(client, start_gateway, settings):
    token = log_in(client).json()["token"]
    client.cookies.clear()
    second = start_gateway(admin_email="new@example.com", admin_password="another-password")
    with httpx2.Client(base_url=f"{second}/api/v1") as other:
        assert other.get("/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
        assert log_in(other).status_code == 401  # the old pair
        assert log_in(other, email="new@example.com", password="another-password").status_code == 200
    assert log_in(client).status_code == 401
    with psycopg.connect(settings.database_conninfo) as connection:
        assert connection.execute("SELECT email FROM users WHERE role = 'admin'").fetchall() == [("new@example.com",)]


def test_the_account_before_comes_back_with_its_environment(client, start_gateway):
    start_gateway(admin_email="new@example.com")
    back = start_gateway()
    with httpx2.Client(base_url=f"{back}/api/v1") as other:
        assert log_in(other).json()["user"]["role"] == "admin"
        assert log_in(other, email="new@example.com").status_code == 401


class TestIdle:
    @pytest.fixture
    def address(self, start_gateway):
        return start_gateway(session_idle_minutes=2 / 60, session_hours=5 / 3600)

    def me(self, client, token):
        return client.get("/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code

    def test_a_session_ends_when_nothing_was_asked_for_a_while(self, client):
        token = log_in(client).json()["token"]
        assert self.me(client, token) == 200
        time.sleep(3)
        assert self.me(client, token) == 401

    def test_use_keeps_it_alive_but_not_beyond_its_end(self, client):
        began = time.monotonic()
        token = log_in(client).json()["token"]
        alive = 0.0
        while time.monotonic() - began < 12 and self.me(client, token) == 200:
            alive = time.monotonic() - began
            time.sleep(0.3)
        assert 2.5 < alive < 8

    def test_the_end_in_a_token_cannot_be_changed(self, client):
        secret, _, ends = log_in(client).json()["token"].partition(".")
        client.cookies.clear()
        for forged in (f"{secret}.{int(ends) + 9999}", secret, f"{secret}.", f"{secret}.x"):
            assert self.me(client, forged) == 401


def test_a_session_of_the_gateway_before_goes_on(client, settings, redis):
    user = log_in(client).json()["user"]
    client.cookies.clear()
    key = f"vru:session:{hmac.digest(b'k' * 40, b'old-token', 'sha256').hex()}"
    with redis_client.Redis.from_url(redis.admin_url, decode_responses=True) as store:
        store.set(key, json.dumps(user), ex=100)
        assert client.get("/auth/me", headers={"Authorization": "Bearer old-token"}).json() == user
        assert store.ttl(key) <= 100  # it ends when it was to end


OWN_PAGE = "https://other.example.com"


class TestWhoseForm:
    """A state-changing request with the cookie, as a browser sends it from some page."""

    @pytest.fixture
    def address(self, start_gateway):
        return start_gateway(cors_origins=OWN_PAGE)

    @pytest.fixture
    def logged_in(self, client):
        assert log_in(client).status_code == 200
        return client

    def create(self, client, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post("/projects", json={"name": str(time.monotonic_ns())}, headers=named)

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"},
            {"Origin": "http://127.0.0.1:9999", "Sec_Fetch_Site": "same-site"},  # SameSite lets this cookie through
            {"Origin": "http://127.0.0.1:9999"},
            {"Origin": "null"},
            {"Sec_Fetch_Site": "same-site"},
            {},
        ],
    )
    def test_other_pages_are_refused(self, logged_in, headers):
        answer = self.create(logged_in, **headers)
        assert answer.status_code == 403
        assert "Bearer" in answer.json()["fix"]
        assert logged_in.get("/projects").json()["total"] == 0

    def test_own_pages_and_listed_ones_are_not(self, logged_in, address):
        assert self.create(logged_in, Origin=address, Sec_Fetch_Site="same-origin").status_code == 201
        assert self.create(logged_in, Origin=address).status_code == 201
        assert self.create(logged_in, Origin=OWN_PAGE, Sec_Fetch_Site="cross-site").status_code == 201
        assert self.create(logged_in, Origin="http://page", X_Forwarded_Host="page").status_code == 201

    def test_every_method_that_changes_is_checked(self, logged_in):
        headers = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
        routes = [("POST", "/auth/logout"), ("DELETE", "/cameras/6f1c1f0e-3d0e-4f0a-9d5c-0d9c3c7e8a11")]
        routes += [("PATCH", "/runs/6f1c1f0e-3d0e-4f0a-9d5c-0d9c3c7e8a11"), ("POST", "/runs")]
        for method, path in routes:
            assert logged_in.request(method, path, headers=headers).status_code == 403, path

    def test_reading_and_the_bearer_token_are_free(self, logged_in):
        token = log_in(logged_in).json()["token"]
        assert logged_in.get("/projects", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
        logged_in.cookies.clear()
        bearer = {"Authorization": f"Bearer {token}", "Sec_Fetch_Site": "cross-site"}
        assert self.create(logged_in, **bearer).status_code == 201


def test_same_password_keeps_sessions(client, start_gateway):
    token = log_in(client).json()["token"]
    start_gateway()
    assert client.get("/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_another_secret_key_does_not_accept_old_tokens(client, start_gateway):
    token = log_in(client).json()["token"]
    other = start_gateway(secret_key="z" * 40)
    answer = httpx2.get(f"{other}/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
