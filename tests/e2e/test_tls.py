"""TLS on a real server: turned on by one setting, told to users, proved from outside, and turned off again."""

import http.client
import json
import ssl
from collections.abc import Iterator

import pytest
from tests.e2e.bareserver.server import docker
from tests.e2e.laptop import ADDRESS, Laptop, on_server
from tests.e2e.test_firewall import OPEN, Internet

from vru.deploy.release import certificates
from vru.deploy.settings import environment


def set_tls(laptop: Laptop, value: str) -> None:
    file = laptop.root / ".env.production"
    lines = [f"VRU_TLS={value}" if line.startswith("VRU_TLS=") else line for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def encrypted(deployed: Laptop) -> Iterator[Laptop]:
    set_tls(deployed, "selfsigned")
    try:
        deployed.outputs["plan tls"] = deployed.vru("plan")
        deployed.outputs["tls"] = deployed.vru("deploy")
        yield deployed
    finally:
        set_tls(deployed, "off")
        deployed.vru("deploy")
        assert json.loads(_ask(80, "/health", None)[2])["status"] == "ok"


def _ask(
    port: int,
    path: str,
    context: ssl.SSLContext | None,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    connection = (
        http.client.HTTPConnection(ADDRESS, port, timeout=30)
        if context is None
        else http.client.HTTPSConnection(ADDRESS, port, timeout=30, context=context)
    )
    try:
        connection.request("GET" if body is None else "POST", path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def trusting(laptop: Laptop) -> ssl.SSLContext:
    """Trusts the certificate that this laptop makes, and no other."""
    context = certificates.client_context(environment.load(laptop.root / ".env.production"))
    assert context is not None
    return context


def test_the_plan_shows_the_certificate_and_not_its_key(encrypted: Laptop) -> None:
    shown = encrypted.outputs["plan tls"].stdout
    assert "nginx-tls/key.pem" in shown
    assert "PRIVATE KEY" not in shown
    _, key = certificates.self_signed(environment.load(encrypted.root / ".env.production"))
    for line in key.decode().splitlines()[1:-1]:
        assert line not in shown


def test_users_are_told_the_encrypted_address_and_all_addresses_answer(encrypted: Laptop) -> None:
    assert f"https://{ADDRESS}" in encrypted.outputs["tls"].stdout
    context = trusting(encrypted)
    for port, path in ((443, "/"), (443, "/health"), (3000, "/"), (8000, "/docs"), (3001, "/api/health")):
        status, headers, _ = _ask(port, path, context)
        # Grafana is for the operators' networks only, and this test is not in one.
        assert status in ((200, 403) if port == 3001 else (200,)), (port, path)
        assert "strict-transport-security" not in headers
    assert _ask(80, "/projects", None)[0] == 307
    assert _ask(80, "/projects", None)[1]["location"] == f"https://{ADDRESS}/projects"
    assert _ask(8000, "/docs", None)[1]["location"] == f"https://{ADDRESS}:8000/docs"


def test_a_login_s_cookie_is_bound_to_this_host_and_to_tls(encrypted: Laptop) -> None:
    context, known = trusting(encrypted), encrypted.environment
    account = {"email": known["VRU_ADMIN_EMAIL"], "password": known["VRU_ADMIN_PASSWORD"]}
    status, headers, body = _ask(
        443, "/api/v1/auth/login", context, json.dumps(account).encode(), {"Content-Type": "application/json"}
    )
    assert status == 200, body
    cookie = headers["set-cookie"]
    assert cookie.startswith("__Host-vru_session=")
    assert "; Secure" in cookie
    name_and_value = cookie.partition(";")[0]
    assert _ask(443, "/api/v1/auth/me", context, headers={"Cookie": name_and_value})[0] == 200


def test_verify_proves_it_and_nothing_is_left_to_change(encrypted: Laptop) -> None:
    checks = {one["name"]: one for one in encrypted.vru_json("verify")["checks"]}
    assert checks["certificate"]["state"] == "ok"
    assert "self-signed" in checks["certificate"]["detail"]
    assert checks["page with TLS"]["state"] == "ok"
    assert checks["redirect to HTTPS"]["state"] == "ok"
    assert encrypted.vru_json("plan")["changes"] == []


def test_the_key_is_for_root_and_nginx_and_no_service_can_read_it(encrypted: Laptop) -> None:
    key = "/opt/vru-platform/config/production/nginx-tls/key.pem"
    assert on_server(encrypted, f"stat -c '%a %u %g' {key}").split() == ["640", "0", "101"]
    for service in ("ml_engine", "validation_worker", "postgres", "redis", "grafana"):
        name = on_server(encrypted, f"docker ps --format '{{{{.Names}}}}' | grep -m1 -- '-{service}-'").strip()
        said = on_server(encrypted, f"docker exec {name} cat /etc/vru/nginx-tls/key.pem 2>&1; true")
        assert "PRIVATE" not in said
        assert "denied" in said, (service, said)


def test_one_port_more_is_open_and_no_other(encrypted: Laptop) -> None:
    stranger = Internet(f"{encrypted.server.name}-tls-stranger")
    try:
        address = encrypted.server.inner_address()
        assert stranger.scan(address) == {address: sorted([*OPEN, 443])}
    finally:
        docker("rm", "--force", stranger.name, check=False)
