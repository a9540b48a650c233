"""What an update has to do, from what there is; and what ends the watch, from what containers say."""

import http.server
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.host.containers import container, view_of

from vru.host.base.change import Change
from vru.host.base.errors import HostError
from vru.host.base.host import Host
from vru.host.docker.compose import Compose, Container
from vru.host.docker.topology import Topology
from vru.host.rolling import nginx, rollout
from vru.host.rolling.candidates import Candidates

VIEW = view_of("api_gateway", "validation_worker", "nginx", validation_worker=2)
GATEWAY = VIEW.services["api_gateway"]


def shift(found: Sequence[Container], again: Sequence[str] = (), name: str = "api_gateway") -> rollout.Shift:
    return next(one for one in rollout.shifts(VIEW, found, again) if one.service.name == name)


def old(number: int, **other: object) -> Container:
    return replace(container("api_gateway", number), digest="earlier", image="vru-platform/api_gateway:old", **other)  # type: ignore[arg-type]


def test_nothing_is_to_be_done_where_all_is_as_it_should_be() -> None:
    found = [container("api_gateway"), container("validation_worker", 1), container("validation_worker", 2)]
    assert not any(one.needed for one in rollout.shifts(VIEW, [*found, container("nginx")]))


def test_only_services_that_may_run_twice_are_shifted() -> None:
    assert [one.service.name for one in rollout.shifts(VIEW, [])] == ["api_gateway", "validation_worker"]


def test_a_new_kind_starts_beside_the_old_one() -> None:
    found = shift([old(4)])
    assert (found.lacking, found.new, [one.number for one in found.old]) == (1, (), [4])


def test_what_a_killed_run_left_is_gone_on_with() -> None:
    half = shift([old(4), container("api_gateway", 5)])
    assert (half.lacking, [one.number for one in half.new], [one.number for one in half.old]) == (0, [5], [4])
    assert half.needed
    other_release = shift([old(4), replace(container("api_gateway", 5), digest="a third")])
    assert (other_release.lacking, [one.number for one in other_release.old]) == (1, [4, 5])


def test_of_too_many_the_latest_stay() -> None:
    found = shift([container("api_gateway", 4), container("api_gateway", 5)])
    assert ([one.number for one in found.new], [one.number for one in found.old]) == ([5], [4])


def test_more_or_fewer_workers() -> None:
    one = shift([container("validation_worker", 1)], name="validation_worker")
    assert (one.lacking, one.old) == (1, ())
    three = shift([container("validation_worker", number) for number in (1, 2, 3)], name="validation_worker")
    assert (three.lacking, [c.number for c in three.old]) == (0, [1])


def test_a_stopped_one_is_started_and_a_paused_one_replaced() -> None:
    assert shift([container("api_gateway", state="exited")]).needed
    assert shift([container("api_gateway", state="exited")]).lacking == 0
    assert shift([container("api_gateway", state="paused")]).lacking == 1


def test_a_restart_replaces_what_is_as_it_should_be() -> None:
    mine = container("api_gateway")
    assert shift([mine], [mine.id]).lacking == 1
    after = shift([mine, container("api_gateway", 2)], [mine.id])
    assert (after.lacking, [one.number for one in after.new], [one.number for one in after.old]) == (0, [2], [1])


def test_a_name_that_means_another_image_replaces_what_looks_alike() -> None:
    changed = [Change("container", "api_gateway", "update", "runs another image")]
    assert rollout.alike_but_changed(VIEW, [container("api_gateway")], changed) == ["api_gateway"]
    assert rollout.alike_but_changed(VIEW, [old(1)], changed) == []
    assert rollout.alike_but_changed(VIEW, [container("api_gateway"), container("api_gateway", 2)], changed) == []


def test_answers_that_the_old_container_gave_are_read_from_nginx() -> None:
    line = '{"path":"/x","status":200,"upstream":"172.20.0.9:8000, 172.20.0.5:8000","upstream_status":"500, 200"}'
    assert rollout.two_answers(line) == [("172.20.0.9", 500, 200)]
    assert rollout.two_answers('{"upstream":"172.20.0.9:8000","upstream_status":"200"}') == []
    assert rollout.two_answers('{"upstream":"172.20.0.9:8000, 172.20.0.5:8000","upstream_status":"-, 200"}') == []
    assert rollout.two_answers("no JSON, at all") == []


# -- the watch ------------------------------------------------------------------------------------------------------


class Answers(http.server.BaseHTTPRequestHandler):
    status, body = 200, b"{}"

    def do_GET(self) -> None:
        self.send_response(type(self).status)
        self.end_headers()
        self.wfile.write(type(self).body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Pretended(Compose):
    """A Compose project whose containers are what a test says."""

    def __init__(self, root: Path, found: list[Container]) -> None:
        super().__init__(Host(root))
        self.found = found

    def existing(self) -> list[Container]:
        return self.found

    def last_lines(self, container: Container, count: int = 20) -> tuple[str, ...]:
        return ("its last words",)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Pretended, Candidates]]:
    """A gateway that really answers, at 127.0.0.101."""
    Answers.status, Answers.body = 200, b"{}"
    server = http.server.ThreadingHTTPServer(("127.0.0.101", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = Topology(server.server_port, "/ready", "rolling", routed=True)
    compose = Pretended(tmp_path, [container("api_gateway", topology=where)])
    yield compose, Candidates(compose, [compose.found[0].id])
    server.shutdown()
    server.server_close()


def test_a_well_one_stays(watched: tuple[Pretended, Candidates]) -> None:
    for _ in range(5):
        watched[1].watch_once([])


def test_three_bad_answers_in_a_row_end_the_watch(watched: tuple[Pretended, Candidates]) -> None:
    _, new = watched
    Answers.status, Answers.body = 503, b'{"status": "unavailable", "checks": {"database": "no answer", "redis": "ok"}}'
    new.watch_once([])
    new.watch_once([])
    Answers.status = 200
    new.watch_once([])
    Answers.status = 503
    new.watch_once([])
    new.watch_once([])
    with pytest.raises(HostError) as caught:
        new.watch_once([])
    assert caught.value.message == ("api_gateway was well, but now it answers 503 at /ready (database: no answer).")
    assert caught.value.service == "api_gateway"
    assert caught.value.logs == ("its last words",)


def test_what_users_would_have_seen_ends_the_watch(watched: tuple[Pretended, Candidates]) -> None:
    _, new = watched
    new.watch_once([("127.0.0.101", 500, 500), ("127.0.0.101", 500, 200), ("127.0.0.99", 500, 200)])
    new.watch_once([("127.0.0.101", 502, 200)])
    with pytest.raises(HostError, match="api_gateway answers users with 500, where the release before it answers 200"):
        new.watch_once([("127.0.0.101", 500, 200)])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"state": "exited", "exit_code": 3}, "api_gateway ends with exit code 3."),
        ({"state": "exited", "exit_code": 137}, "api_gateway was killed \\(exit code 137\\), as happens where memory"),
        ({"state": "exited", "exit_code": 137, "killed_for_memory": True}, "api_gateway ran out of memory and was"),
        ({"restarts": 1, "exit_code": 1}, "api_gateway ends with exit code 1."),
    ],
)
def test_an_end_is_told_in_words(watched: tuple[Pretended, Candidates], state: dict[str, object], words: str) -> None:
    compose, new = watched
    new.watch_once([])
    compose.found = [replace(compose.found[0], **state)]  # type: ignore[arg-type]
    with pytest.raises(HostError, match=words):
        new.watch_once([])


def test_one_that_somebody_removed_is_no_success(watched: tuple[Pretended, Candidates]) -> None:
    compose, new = watched
    compose.found = []
    with pytest.raises(HostError, match="removed by somebody else"):
        new.watch_once([])


# -- nginx's workers --------------------------------------------------------------------------------------------------


def process(proc: Path, pid: int, parent: int, title: str, sockets: dict[str, tuple[str, int]]) -> None:
    """A process in a made-up /proc, with its sockets: inode -> (state, remote port)."""
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "net").mkdir()
    (folder / "stat").write_text(f"{pid} (nginx (x)) S {parent} 1 1 0")
    (folder / "cmdline").write_bytes(title.encode() + b"\0")
    lines = ["  sl  local_address rem_address   st"]
    for number, (inode, (state, port)) in enumerate(sockets.items()):
        (folder / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
        lines.append(f"{number}: 0100007F:1F90 0100007F:{port:04X} {state} 0:0 0:0 0 101 0 {inode} 1 0")
    (folder / "net" / "tcp").write_text("\n".join(lines) + "\n")


def test_a_leaving_worker_is_quiet_when_each_client_has_its_service(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, "/sbin/docker-init -- nginx", {})
    process(tmp_path, 11, 10, "nginx: master process nginx -c /etc/vru/nginx.conf", {})
    process(tmp_path, 12, 11, "nginx: worker process is shutting down", {"1": ("01", 40000), "2": ("01", 8000)})
    process(tmp_path, 13, 11, "nginx: worker process", {"3": ("01", 40001)})
    process(tmp_path, 99, 1, "nginx: worker process is shutting down", {"9": ("01", 40002)})
    assert [(worker.pid, worker.leaving) for worker in nginx.workers(10, tmp_path)] == [(12, True), (13, False)]
    assert nginx.quiet(10, [8000], tmp_path)
    process(tmp_path, 14, 11, "nginx: worker process is shutting down", {"5": ("01", 40003), "6": ("06", 40004)})
    assert not nginx.quiet(10, [8000], tmp_path)
