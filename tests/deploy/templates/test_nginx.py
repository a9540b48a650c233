"""The generated nginx.conf in a real nginx, before an upstream that says what reached it."""

import http.client
import json
import secrets
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from tests.deploy.conftest import ROOT, ROUTED, ROUTES, Containers, configs_in_container, docker, tar_of

from vru.deploy.release.configuration import render
from vru.deploy.settings import environment
from vru.host.rolling import rollout, routes
from vru.host.rolling.routes import Route

# Stands for the gateway, the page and Grafana: echoes requests, streams events, hands files to nginx.
UPSTREAM = b"""
import json, os, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
seen = {"bytes": 0}
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status=200, body=None, **headers):
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content_Type": "application/json", "Content_Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)
    def do_GET(self):
        if self.path.endswith("/events"):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for number in range(2):
                self.wfile.write(b"data: %d\\n\\n" % number); self.wfile.flush(); time.sleep(3)
        elif self.path.endswith("/file"):
            self.answer(body=None, X_Accel_Redirect="/_media/videos/a.mp4", Content_Type="video/mp4")
        elif self.path == "/api/v1/seen":
            self.answer(body=seen)
        elif self.path == "/api/v1/role":
            self.answer(body=os.environ["ROLE"])
        elif self.path == "/api/v1/broken":
            self.answer(500 if os.environ["ROLE"] == "new" else 200, os.environ["ROLE"])
        elif self.path == "/api/v1/missing":
            self.answer(404, {"title": "the service's own"}, X_Frame_Options="SAMEORIGIN")
        else:
            self.answer(body={"path": self.path, "port": self.server.server_port, "headers": dict(self.headers)})
    def do_POST(self):
        if self.path == "/api/v1/broken":
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(500 if os.environ["ROLE"] == "new" else 200, os.environ["ROLE"])
            return
        left = int(self.headers["Content-Length"])
        seen["bytes"] = 0
        while left:
            part = self.rfile.read1(min(left, 65536))
            if not part: return
            left -= len(part); seen["bytes"] += len(part)
        self.answer(body=seen)
    def log_message(self, *args): pass
servers = [ThreadingHTTPServer(("0.0.0.0", port), Handler) for port in (8000, 3000, 8001, 8002, 8003)]
for server in servers: threading.Thread(target=server.serve_forever).start()
"""


@dataclass
class Nginx:
    """nginx as it runs, and its published ports."""

    containers: Containers
    name: str
    upstream: str
    ports: dict[int, int]
    networks: tuple[str, str]
    image: str

    def ask(
        self, port: int, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def ask_json(self, port: int, path: str, **headers: str) -> Any:
        status, _, body = self.ask(port, path, **headers)
        assert status == 200, body
        return json.loads(body)

    def log(self) -> list[dict[str, Any]]:
        """The lines of the access log."""
        return [json.loads(line) for line in self.containers.logs(self.name).splitlines() if line.startswith("{")]

    def lead(self, wanted: dict[str, Route], addresses: dict[str, str]) -> None:
        """Write routes as the host program does, and reload."""
        everything = {**routes.steady(ROUTED, []), **wanted}
        text = routes.render(everything, addresses).encode()
        assert docker("cp", "-", f"{self.name}:/", stdin=tar_of({ROUTES: text})).returncode == 0
        for command in ("-t", "-sreload"):
            code, output = self.containers.exec(self.name, "nginx", command, "-c", "/etc/vru/nginx.conf")
            assert code == 0, output
        time.sleep(1)

    def settle(self) -> None:
        """Let the rate limit forget."""
        time.sleep(7)


@pytest.fixture(scope="module")
def nginx(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    containers = Containers()
    network = f"vru-test-{secrets.token_hex(4)}"
    inner = f"{network}-internal"
    for made in (docker("network", "create", network), docker("network", "create", "--internal", inner)):
        assert made.returncode == 0, made.stderr.decode()
    try:
        subnet = json.loads(docker("network", "inspect", network).stdout)[0]["IPAM"]["Config"][0]["Subnet"]
        settings = environment.generate(
            tmp_path_factory.mktemp("nginx") / ".env.production", {"VRU_HOST": "h", "VRU_EDGE_SUBNET": subnet}
        )
        upstream = containers.start(
            settings["VRU_PYTHON_IMAGE"],
            {"/upstream.py": UPSTREAM},
            ["python", "-u", "/upstream.py"],
            [
                "--env=ROLE=old",
                f"--network={network}",
                *(f"--network-alias={name}" for name in (*ROUTED, "grafana")),
            ],
        )
        inside = {8080: "8080", 3000: "3000", 8000: "8000", 3001: "3001"}
        name = containers.start(
            settings["VRU_NGINX_IMAGE"],
            {
                **configs_in_container(render(ROOT, settings, None)),
                "/srv/media/videos/a.mp4": b"0123456789",
            },
            ["-c", "/etc/vru/nginx.conf", "-g", "daemon off;"],
            [
                "--user=101:101",
                "--cap-drop=ALL",
                "--entrypoint=nginx",
                f"--network={network}",
                "--network-alias=nginx",
                *(f"--publish=127.0.0.1::{port}" for port in inside),
            ],
        )
        for one in (name, upstream):
            assert docker("network", "connect", inner, one).returncode == 0
        ports = {
            port: int(docker("port", name, f"{port}/tcp").stdout.decode().splitlines()[0].rpartition(":")[2])
            for port in inside
        }
        found = Nginx(containers, name, upstream, ports, (network, inner), settings["VRU_PYTHON_IMAGE"])
        end = time.monotonic() + 60
        while True:
            try:
                if found.ask(8000, "/api/v1/x")[0] == 200:
                    break
            except OSError:
                pass
            assert time.monotonic() < end, containers.logs(name) + containers.logs(upstream)
            time.sleep(0.3)
        yield found
    finally:
        containers.remove()
        docker("network", "rm", network, inner)


def test_paths_lead_where_they_should(nginx: Nginx) -> None:
    assert nginx.ask_json(8080, "/projects/1")["port"] == 3000
    assert nginx.ask_json(3000, "/")["port"] == 3000
    for path in ("/api/v1/projects?limit=5", "/health", "/docs", "/docs/oauth2-redirect", "/openapi.json"):
        for port in (8080, 3000, 8000):
            answer = nginx.ask_json(port, path)
            assert (answer["port"], answer["path"]) == (8000, path)
    assert nginx.ask_json(8000, "/ready")["port"] == 8000
    for port in (8080, 8000):
        assert nginx.ask(port, "/metrics")[0] == 404
        assert nginx.ask(port, "/_media/videos/a.mp4")[0] == 404


def test_what_a_client_claims_of_itself_is_replaced(nginx: Nginx) -> None:
    sent = nginx.ask_json(8000, "/api/v1/x", X_Forwarded_For="1.2.3.4", X_Forwarded_Proto="https", Host="vru.example")
    headers = sent["headers"]
    assert headers["X-Forwarded-For"] != "1.2.3.4"
    assert "1.2.3.4" not in headers["X-Forwarded-For"]
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers["Host"] == "vru.example"


def test_a_sane_request_id_travels_and_another_is_replaced(nginx: Nginx) -> None:
    assert nginx.ask_json(8000, "/api/v1/x", X_Request_ID="abc-123")["headers"]["X-Request-ID"] == "abc-123"
    made = nginx.ask_json(8000, "/api/v1/x", X_Request_ID="a b\t{}")["headers"]["X-Request-ID"]
    assert len(made) == 32
    _, headers, _ = nginx.ask(8000, "/api/v1/x", X_Request_ID="abc-124")
    assert headers["x-request-id"] == "abc-124"
    end = time.monotonic() + 60
    while not (lines := [line for line in nginx.log() if line["request_id"] == "abc-123"]):
        assert time.monotonic() < end, nginx.log()[-3:]
        time.sleep(0.3)
    assert (lines[0]["path"], lines[0]["status"]) == ("/api/v1/x", 200)


def test_security_headers_are_added_but_not_over_the_services_own(nginx: Nginx) -> None:
    _, headers, _ = nginx.ask(8080, "/")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["server"] == "nginx"
    status, headers, body = nginx.ask(8080, "/api/v1/missing")
    assert (status, json.loads(body)["title"]) == (404, "the service's own")
    assert headers["x-frame-options"] == "SAMEORIGIN"


def test_only_uploads_may_be_large(nginx: Nginx) -> None:
    large = b"x" * 3_000_000
    for path in ("/api/v1/projects/1/videos?name=a.mp4", "/api/v1/videos/1/ground-truths?name=a.json"):
        status, _, body = nginx.ask(8080, path, "POST", large)
        assert (status, json.loads(body)) == (200, {"bytes": 3_000_000})
    status, headers, body = nginx.ask(8080, "/api/v1/projects", "POST", large)
    assert (status, headers["content-type"]) == (413, "application/problem+json")
    assert "500 MB" in json.loads(body)["detail"]


def test_an_upload_reaches_the_gateway_while_it_is_sent(nginx: Nginx) -> None:
    with socket.create_connection(("127.0.0.1", nginx.ports[8080]), timeout=30) as link:
        link.sendall(
            b"POST /api/v1/projects/1/videos HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000
        )
        end = time.monotonic() + 60
        while nginx.ask_json(8080, "/api/v1/seen")["bytes"] < 100_000:
            assert time.monotonic() < end, "the first half is kept back"
            time.sleep(0.2)
        link.sendall(b"x" * 100_000)
        assert link.recv(12) == b"HTTP/1.1 200"


def test_events_come_when_they_happen(nginx: Nginx) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", nginx.ports[8080], timeout=30)
    connection.request("GET", "/api/v1/runs/1/events", headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    assert answer.getheader("Content-Encoding") is None
    came = {}
    while line := answer.readline():
        if line.startswith(b"data:"):
            came[line.strip()] = time.monotonic()
    connection.close()
    assert came[b"data: 1"] - came[b"data: 0"] > 2, "the first event waited for the second"


def test_files_are_served_by_nginx_with_ranges(nginx: Nginx) -> None:
    status, headers, body = nginx.ask(8080, "/api/v1/videos/1/file", Range="bytes=2-5")
    assert (status, body) == (206, b"2345")
    assert headers["content-range"] == "bytes 2-5/10"
    assert headers["content-type"] == "video/mp4"


def test_grafana_is_for_the_server_and_the_allowed_networks(nginx: Nginx) -> None:
    assert nginx.ask(3001, "/api/health")[0] == 200  # from the server itself
    program = (
        "import http.client as h; c = h.HTTPConnection('nginx', 3001); c.request('GET', '/');"
        "print(c.getresponse().status)"
    )
    code, output = nginx.containers.exec(nginx.upstream, "python", "-c", program)
    assert code == 0, output
    assert output.strip() == "403"


def test_a_page_may_ask_many_things_at_once_but_a_flood_is_slowed(nginx: Nginx) -> None:
    nginx.settle()
    with ThreadPoolExecutor(10) as pool:
        page = list(pool.map(lambda _: nginx.ask(8080, "/api/v1/x")[0], range(40)))
        assert set(page) == {200}
        flood = list(pool.map(lambda _: nginx.ask(8080, "/api/v1/x"), range(400)))
    refused = [answer for answer in flood if answer[0] == 429]
    assert refused
    assert refused[0][1]["content-type"] == "application/problem+json"
    assert refused[0][1]["retry-after"] == "1"
    assert json.loads(refused[0][2])["status"] == 429
    nginx.settle()


def test_who_asks_for_the_health_fifty_times_a_second_is_answered(nginx: Nginx) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        answers = [answer[0] for answer in pool.map(lambda _: nginx.ask(8000, "/health"), range(150))]
    assert set(answers) == {200}, time.monotonic() - began


def test_logins_are_slowed_sooner(nginx: Nginx) -> None:
    answers = [nginx.ask(8080, "/api/v1/auth/login", "POST", b"{}")[0] for _ in range(40)]
    assert answers[:10] == [200] * 10
    assert 429 in answers


def test_a_slow_header_is_cut_off(nginx: Nginx) -> None:
    with socket.create_connection(("127.0.0.1", nginx.ports[8080]), timeout=30) as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ")
        began = time.monotonic()
        link.recv(1)
        assert 8 < time.monotonic() - began < 25


def addresses(name: str) -> dict[str, str]:
    """A container's address in each of its networks."""
    found = json.loads(docker("inspect", name).stdout)[0]["NetworkSettings"]["Networks"]
    return {network: settings["IPAddress"] for network, settings in found.items()}


def test_services_ask_each_other_on_their_own_network_only(nginx: Nginx) -> None:
    program = (
        "import http.client as h, sys; c = h.HTTPConnection(sys.argv[1], int(sys.argv[2]));"
        "c.request('GET', '/models'); a = c.getresponse(); print(a.status, a.read().decode())"
    )
    edge, inner = (addresses(nginx.name)[network] for network in nginx.networks)
    for port, reached in ((8001, 8001), (8002, 8002), (8003, 8003), (8004, 3000)):
        code, output = nginx.containers.exec(nginx.upstream, "python", "-c", program, inner, str(port))
        assert code == 0, output
        status, _, body = output.partition(" ")
        assert (status, json.loads(body)["port"], json.loads(body)["path"]) == ("200", reached, "/models")
        code, output = nginx.containers.exec(nginx.upstream, "python", "-c", program, edge, str(port))
        assert output.startswith("404"), output


def test_what_a_watched_container_cannot_do_the_old_one_does(nginx: Nginx) -> None:
    nginx.settle()
    new = nginx.containers.start(
        nginx.image, {"/upstream.py": UPSTREAM}, ["python", "-u", "/upstream.py"],
        ["--env=ROLE=new", f"--network={nginx.networks[0]}"],
    )  # fmt: skip
    known = {one: addresses(one)[nginx.networks[0]] for one in (new, nginx.upstream)}
    time.sleep(1)
    nginx.lead({"api_gateway": Route(8000, (new,), (nginx.upstream,))}, known)
    assert nginx.ask_json(8080, "/api/v1/role") == "new"
    assert nginx.ask_json(8080, "/api/v1/broken") == "old"
    line = [line for line in nginx.log() if line["path"] == "/api/v1/broken"][-1]
    assert rollout.two_answers(json.dumps(line)) == [(known[new], 500, 200)]
    # What may not be asked twice is not.
    assert nginx.ask(8080, "/api/v1/broken", "POST", b"{}")[0] == 500
    assert docker("stop", "--time=1", new).returncode == 0
    assert {nginx.ask_json(8080, "/api/v1/role") for _ in range(5)} == {"old"}
    nginx.lead({}, {})
    assert nginx.ask_json(8080, "/api/v1/role") == "old"


def test_zz_while_the_services_are_away_each_is_told_in_its_own_way(nginx: Nginx) -> None:
    """The last one: it stops the upstream. nginx itself stays up and finds it again."""
    nginx.settle()
    assert docker("stop", "--time=1", nginx.upstream).returncode == 0
    status, headers, body = nginx.ask(8080, "/api/v1/x")
    assert (status, headers["content-type"]) == (503, "application/problem+json")
    assert json.loads(body)["request_id"] == headers["x-request-id"]
    status, headers, body = nginx.ask(8080, "/projects")
    assert (status, headers["content-type"]) == (503, "text/html")
    assert b"Back in a moment" in body
    assert docker("start", nginx.upstream).returncode == 0
    end = time.monotonic() + 60
    while nginx.ask(8080, "/api/v1/x")[0] != 200:
        assert time.monotonic() < end, "nginx does not find the upstream again"
        time.sleep(1)
