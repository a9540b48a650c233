"""The generated nginx.conf with TLS, in a real nginx: what it serves, where it sends whom, and what it says of it."""

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.deploy.conftest import ROOT, ROUTED, Containers, configs_in_container, docker, tar_of
from tests.deploy.templates.test_nginx import UPSTREAM

from vru.deploy.release import certificates
from vru.deploy.release.configuration import render
from vru.deploy.settings import environment
from vru.deploy.settings.environment import Environment
from vru.host.release.masking import TLS_CERTIFICATE, TLS_KEY

# Where nginx listens for what is published, and plainly for what watches over it.
REDIRECT, PAGE, OWN_PORT, API, GRAFANA = 8082, 8443, 3443, 8444, 3444
PLAIN = (8080, 3000, 8000, 3001)
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Door:
    """One nginx with TLS, and how to ask it."""

    containers: Containers
    name: str
    upstream: str
    ports: dict[int, int]
    context: ssl.SSLContext

    def ask(self, port: int, path: str = "/", *, tls: bool = True, **headers: str) -> Answer:
        where = "127.0.0.1", self.ports[port]
        connection = (
            http.client.HTTPSConnection(*where, timeout=30, context=self.context)
            if tls
            else http.client.HTTPConnection(*where, timeout=30)
        )
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def seen(self, port: int, path: str = "/", *, tls: bool = True, **headers: str) -> dict[str, str]:
        """The headers that reached the service."""
        status, _, body = self.ask(port, path, tls=tls, **headers)
        assert status == 200, body
        found: dict[str, str] = json.loads(body)["headers"]
        return found

    def place(self, path: str, content: bytes | None) -> None:
        if content is None:
            assert docker("exec", "--user=0", self.name, "rm", "-f", path).returncode == 0
        else:
            assert docker("cp", "-", f"{self.name}:/", stdin=tar_of({path: content})).returncode == 0


def open_door(containers: Containers, network: str, settings: Environment, trusting: Environment) -> Door:
    """``trusting``: the settings with whose certificate the client is content."""
    upstream = containers.start(
        settings["VRU_PYTHON_IMAGE"],
        {"/upstream.py": UPSTREAM},
        ["python", "-u", "/upstream.py"],
        ["--env=ROLE=old", f"--network={network}", *(f"--network-alias={name}" for name in (*ROUTED, "grafana"))],
    )
    tls = certificates.files(settings)
    inside = (REDIRECT, PAGE, OWN_PORT, API, GRAFANA, *PLAIN)
    name = containers.start(
        settings["VRU_NGINX_IMAGE"],
        configs_in_container({**render(ROOT, settings, None), **tls}),
        ["-c", "/etc/vru/nginx.conf", "-g", "daemon off;"],
        [
            "--user=101:101",
            "--cap-drop=ALL",
            "--entrypoint=nginx",
            f"--network={network}",
            *(f"--publish=127.0.0.1::{port}" for port in inside),
        ],
    )
    ports = {
        port: int(docker("port", name, f"{port}/tcp").stdout.decode().splitlines()[0].rpartition(":")[2])
        for port in inside
    }
    context = certificates.client_context(trusting)
    assert context is not None
    door = Door(containers, name, upstream, ports, context)
    end = time.monotonic() + 60
    while True:
        try:
            if door.ask(API, "/api/v1/x")[0] == 200:
                return door
        except OSError:
            pass
        assert time.monotonic() < end, containers.logs(name) + containers.logs(upstream)
        time.sleep(0.3)


@pytest.fixture(scope="module")
def network(engine: None) -> Iterator[str]:
    name = f"vru-test-{secrets.token_hex(4)}"
    made = docker("network", "create", name)
    assert made.returncode == 0, made.stderr.decode()
    yield name
    docker("network", "rm", name)


def subnet_of(network: str) -> str:
    found: str = json.loads(docker("network", "inspect", network).stdout)[0]["IPAM"]["Config"][0]["Subnet"]
    return found


@pytest.fixture(scope="module")
def door(network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    containers = Containers()
    try:
        settings = environment.generate(
            tmp_path_factory.mktemp("tls") / ".env.production",
            {"VRU_HOST": "127.0.0.1", "VRU_EDGE_SUBNET": subnet_of(network), "VRU_TLS": "selfsigned"},
        )
        yield open_door(containers, network, settings, settings)
    finally:
        containers.remove()


def test_what_is_published_speaks_tls_and_says_so_to_the_services(door: Door) -> None:
    for port in (PAGE, OWN_PORT, API, GRAFANA):
        assert door.seen(port, "/api/v1/x")["X-Forwarded-Proto"] == "https", port
    for port in PLAIN:
        assert door.seen(port, "/api/v1/x", tls=False)["X-Forwarded-Proto"] == "http", port


@pytest.mark.parametrize(
    ("host", "path", "place"),
    [
        ("vru.example.org", "/projects?x=1", "https://vru.example.org/projects?x=1"),
        ("vru.example.org:80", "/", "https://vru.example.org/"),
        ("[fd00::1]", "/api/v1/runs", "https://[fd00::1]/api/v1/runs"),
    ],
)
def test_who_comes_without_tls_is_led_to_it(door: Door, host: str, path: str, place: str) -> None:
    status, headers, _ = door.ask(REDIRECT, path, tls=False, Host=host)
    assert (status, headers["location"]) == (307, place)
    assert "strict-transport-security" not in headers


@pytest.mark.parametrize("port", [OWN_PORT, API, GRAFANA])
def test_plain_http_at_a_port_of_its_own_is_led_to_the_same_port(door: Door, port: int) -> None:
    status, headers, _ = door.ask(port, "/docs?a=b", tls=False, Host="vru.example.org:8000")
    assert (status, headers["location"]) == (307, "https://vru.example.org:8000/docs?a=b")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize(("version", "spoken"), [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)])
def test_old_tls_is_refused(door: Door, version: ssl.TLSVersion, spoken: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    connection = http.client.HTTPSConnection("127.0.0.1", door.ports[PAGE], timeout=30, context=context)
    try:
        if spoken:
            connection.request("GET", "/")
            assert connection.getresponse().status == 200
        else:
            with pytest.raises(ssl.SSLError):
                connection.request("GET", "/")
    finally:
        connection.close()


def test_a_certificate_that_browsers_do_not_trust_never_binds_them(door: Door) -> None:
    door.place("/etc/vru-routes/https-proved", b"")
    for port in (PAGE, API):
        assert "strict-transport-security" not in door.ask(port)[1]
    door.place("/etc/vru-routes/https-proved", None)


def test_grafana_gets_its_own_cookies_and_no_other_is_shown_to_it(door: Door) -> None:
    cookies = "__Host-vru_session=secret; grafana_session=mine; vru_session=old; grafana_session_expiry=7"
    for port, tls in ((GRAFANA, True), (3001, False)):
        assert door.seen(port, tls=tls, Cookie=cookies)["Cookie"] == "grafana_session=mine; grafana_session_expiry=7"
        assert "Cookie" not in door.seen(port, tls=tls, Cookie="vru_session=old; my_grafana_session=x")
    assert door.seen(PAGE, "/api/v1/x", Cookie=cookies)["Cookie"] == cookies


def test_a_renewed_certificate_is_served_after_a_reload(door: Door, tmp_path: Path) -> None:
    """As a deployment does it: files in place, `nginx -t`, reload; whoever trusts the new one alone is answered."""
    settings = environment.generate(tmp_path / ".env.production", {"VRU_HOST": "127.0.0.1", "VRU_TLS": "selfsigned"})
    context = certificates.client_context(settings)
    assert context is not None
    before, door.context = door.context, context
    old = {path: docker("exec", door.name, "cat", f"/etc/vru/nginx-tls/{path}").stdout for path in _NAMES}
    try:
        with pytest.raises(ssl.SSLCertVerificationError):
            door.ask(PAGE)
        tls = certificates.files(settings)
        _serve(door, {"certificate.pem": tls[TLS_CERTIFICATE], "key.pem": tls[TLS_KEY]})
        assert door.ask(PAGE)[0] == 200
    finally:
        door.context = before
        _serve(door, old)
    assert door.ask(PAGE)[0] == 200


_NAMES = ("certificate.pem", "key.pem")


def _serve(door: Door, found: dict[str, bytes]) -> None:
    for path, content in found.items():
        door.place(f"/etc/vru/nginx-tls/{path}", content)
    for command in ("-t", "-sreload"):
        code, output = door.containers.exec(door.name, "nginx", command, "-c", "/etc/vru/nginx.conf")
        assert code == 0, output
    time.sleep(1.5)


def test_hsts_is_sent_over_tls_once_the_certificate_was_proved(
    network: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With a certificate of the operator's; here it is the very one that was made, given as files."""
    folder = tmp_path_factory.mktemp("files")
    made = environment.generate(folder / ".env.production", {"VRU_HOST": "127.0.0.1", "VRU_TLS": "selfsigned"})
    for name, content in zip(_NAMES, certificates.self_signed(made), strict=True):
        (folder / name).write_bytes(content)
    given = made.replace(
        VRU_TLS="files",
        VRU_TLS_CERTIFICATE="certificate.pem",
        VRU_TLS_KEY="key.pem",
        VRU_EDGE_SUBNET=subnet_of(network),
    )
    containers = Containers()
    try:
        door = open_door(containers, network, given, made)
        for port in (PAGE, OWN_PORT, API, GRAFANA):
            assert "strict-transport-security" not in door.ask(port, "/api/v1/x")[1]
        door.place("/etc/vru-routes/https-proved", b"")
        for port in (PAGE, OWN_PORT, API, GRAFANA):
            assert door.ask(port, "/api/v1/x")[1]["strict-transport-security"] == "max-age=31536000"
        assert "strict-transport-security" not in door.ask(8080, "/api/v1/x", tls=False)[1]
        assert "strict-transport-security" not in door.ask(REDIRECT, tls=False)[1]
        door.place("/etc/vru-routes/https-proved", None)
        assert "strict-transport-security" not in door.ask(PAGE, "/api/v1/x")[1]
        assert "uninitialized" not in containers.logs(door.name)
    finally:
        containers.remove()


def test_behind_a_proxy_that_ends_tls_its_word_is_taken_and_nobody_elses(
    network: str, containers: Containers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The test itself is the proxy: it comes from the network's gateway."""
    subnet = subnet_of(network)
    gateway = json.loads(docker("network", "inspect", network).stdout)[0]["IPAM"]["Config"][0].get("Gateway")
    folder = tmp_path_factory.mktemp("proxy")
    base = environment.generate(folder / ".env.production", {"VRU_HOST": "127.0.0.1", "VRU_EDGE_SUBNET": subnet})
    told = {"X_Forwarded_For": "6.6.6.6, 203.0.113.9", "X_Forwarded_Proto": "https"}
    for trusted, client, scheme in ((f"{gateway}/32", "203.0.113.9", "https"), ("198.51.100.7/32", gateway, "http")):
        settings = base.replace(VRU_TRUSTED_PROXIES=trusted)
        name = containers.start(
            settings["VRU_NGINX_IMAGE"],
            configs_in_container(render(ROOT, settings, None)),
            ["-c", "/etc/vru/nginx.conf", "-g", "daemon off;"],
            ["--entrypoint=nginx", f"--network={network}", "--publish=127.0.0.1::8000", "--network-alias=nginx"],
        )
        upstream = containers.start(
            settings["VRU_PYTHON_IMAGE"], {"/upstream.py": UPSTREAM}, ["python", "-u", "/upstream.py"],
            ["--env=ROLE=old", f"--network={network}", "--network-alias=api_gateway"],
        )  # fmt: skip
        port = int(docker("port", name, "8000/tcp").stdout.decode().splitlines()[0].rpartition(":")[2])
        door = Door(containers, name, upstream, {8000: port}, ssl.create_default_context())
        end = time.monotonic() + 60
        while True:
            try:
                if door.ask(8000, "/api/v1/x", tls=False)[0] == 200:
                    break
            except OSError:
                pass
            assert time.monotonic() < end, containers.logs(name)
            time.sleep(0.3)
        headers = door.seen(8000, "/api/v1/x", tls=False, **told)
        assert (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"]) == (client, scheme)
        assert docker("rm", "--force", name, upstream).returncode == 0
