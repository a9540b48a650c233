"""Maintenance in a real nginx: who is refused and how, and what goes on."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.deploy.conftest import docker, tar_of
from tests.deploy.templates.test_nginx import Nginx, nginx

from vru.host.base.host import Host
from vru.host.operations import maintenance

__all__ = ["nginx"]


@pytest.fixture
def closed(nginx: Nginx, tmp_path: Path) -> Iterator[Nginx]:
    """nginx while the files are there that `vru-platform maintenance on` writes."""
    host = Host(tmp_path)
    (tmp_path / maintenance.DIRECTORY).mkdir(parents=True)
    maintenance.begin(host, 'A new <disk> & "more"', None)
    files = {f"/etc/vru-routes/{file.name}": file.read_bytes() for file in (tmp_path / maintenance.DIRECTORY).iterdir()}
    assert docker("cp", "-", f"{nginx.name}:/", stdin=tar_of(files)).returncode == 0
    yield nginx
    reopen(nginx)


def close(nginx: Nginx) -> None:
    assert docker("exec", "--user=0", nginx.name, "touch", "/etc/vru-routes/maintenance").returncode == 0


def reopen(nginx: Nginx) -> None:
    assert docker("exec", "--user=0", nginx.name, "rm", "-f", "/etc/vru-routes/maintenance").returncode == 0


def test_users_get_a_page_and_programs_get_a_problem(closed: Nginx) -> None:
    for port, path in ((8080, "/"), (8080, "/projects/1"), (3000, "/"), (8080, "/docs")):
        status, headers, body = closed.ask(port, path)
        assert (status, headers["content-type"]) == (503, "text/html")
        assert (headers["retry-after"], headers["x-maintenance"]) == ("60", "on")
        assert b"A new &lt;disk&gt; &amp; &quot;more&quot;" in body
        assert headers["x-content-type-options"] == "nosniff"
    for port, path in ((8080, "/api/v1/projects"), (8000, "/api/v1/runs"), (8000, "/docs"), (8080, "/openapi.json")):
        for method in ("GET", "POST", "DELETE"):
            status, headers, body = closed.ask(port, path, method)
            assert (status, headers["content-type"]) == (503, "application/problem+json")
            assert (headers["retry-after"], headers["x-maintenance"]) == ("60", "on")
            assert json.loads(body)["detail"] == 'Maintenance: A new <disk> & "more"'


def test_whoever_watches_over_the_platform_goes_on_seeing_it(closed: Nginx) -> None:
    assert closed.ask_json(8000, "/health")["port"] == 8000
    assert closed.ask_json(8080, "/health")["port"] == 8000
    assert closed.ask_json(8000, "/ready")["port"] == 8000
    assert closed.ask(3001, "/api/health")[0] == 200
    assert closed.ask(8080, "/_closed/page")[0] == 404
    assert closed.ask(8080, "/_media/videos/a.mp4")[0] == 404


def test_services_go_on_asking_each_other(closed: Nginx) -> None:
    program = (
        "import http.client as h; c = h.HTTPConnection('nginx', 8001); c.request('GET', '/api/v1/models');"
        "print(c.getresponse().status)"
    )
    code, output = closed.containers.exec(closed.upstream, "python", "-c", program)
    assert code == 0, output
    assert output.strip() in {"200", "404", "503"}
    assert "Maintenance" not in output


def test_it_begins_and_ends_without_a_reload_and_connections_stay(closed: Nginx) -> None:
    link = http.client.HTTPConnection("127.0.0.1", closed.ports[8080], timeout=30)

    def ask() -> int:
        link.request("GET", "/api/v1/x")
        answer = link.getresponse()
        answer.read()
        return answer.status

    assert ask() == 503
    began = link.sock
    reopen(closed)
    assert ask() == 200
    close(closed)
    assert ask() == 503
    assert link.sock is began, "the connection was closed"
    link.close()


def test_an_upload_that_has_begun_ends_well(nginx: Nginx) -> None:
    with socket.create_connection(("127.0.0.1", nginx.ports[8080]), timeout=30) as link:
        link.sendall(
            b"POST /api/v1/projects/1/videos HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000
        )
        time.sleep(0.5)
        close(nginx)
        try:
            assert nginx.ask(8080, "/api/v1/x")[0] == 503
            link.sendall(b"x" * 100_000)
            assert link.recv(12) == b"HTTP/1.1 200"
        finally:
            reopen(nginx)


def test_an_empty_file_made_by_hand_closes_as_well(nginx: Nginx) -> None:
    assert (
        docker("exec", "--user=0", nginx.name, "rm", "-f", "/etc/vru-routes/closed.html", "/etc/vru-routes/closed.json")
    ).returncode == 0
    close(nginx)
    try:
        status, headers, body = nginx.ask(8080, "/")
        assert (status, headers["content-type"]) == (503, "text/html")
        status, headers, body = nginx.ask(8000, "/api/v1/x")
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert json.loads(body)["status"] == 503
    finally:
        reopen(nginx)


def test_a_service_that_is_down_is_not_called_maintenance(nginx: Nginx) -> None:
    nginx.settle()
    _, headers, _ = nginx.ask(8000, "/api/v1/x")
    assert "x-maintenance" not in headers
    assert "retry-after" not in headers
