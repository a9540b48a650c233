"""A small client of the platform's public API: what the demo needs."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from vru.domain import VruError
from vru.service.schemas import RunBody, RunCreate, RunEvent, run_body

Json = dict[str, Any]

_PAGE = 200


class Client:
    """Talks to one gateway as one user. Use it as a context manager.

    Every method raises ``VruError`` with the server's own words if the server refuses or cannot be reached.
    """

    def __init__(self, gateway: str) -> None:
        self._http = httpx2.Client(base_url=f"{gateway}/api/v1", timeout=httpx2.Timeout(120, connect=5))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def log_in(self, email: str, password: str) -> None:
        """From now on act as this user."""
        answer = self._send("POST", "/auth/login", json={"email": email, "password": password})
        self._http.headers["Authorization"] = f"Bearer {answer['token']}"
        # The bearer token says it all; a cookie besides would make the gateway ask where requests come from.
        self._http.cookies.clear()

    def projects(self) -> list[Json]:
        """All projects."""
        return list(self._items("/projects"))

    def create_project(self, body: Json) -> Json:
        """A new project."""
        return self._send("POST", "/projects", json=body)

    def videos(self, project_id: str) -> list[Json]:
        """All videos of a project."""
        return list(self._items(f"/projects/{project_id}/videos"))

    def upload_video(self, project_id: str, path: Path) -> Json:
        """Stream a video file to the server."""
        with path.open("rb") as file:
            return self._send("POST", f"/projects/{project_id}/videos", params={"name": path.name}, content=file)

    def ground_truths(self, video_id: str) -> list[Json]:
        """All ground truth of a video."""
        return list(self._items(f"/videos/{video_id}/ground-truths"))

    def upload_ground_truth(self, video_id: str, path: Path, source: str) -> Json:
        """Upload COCO JSON or CVAT XML."""
        with path.open("rb") as file:
            return self._send(
                "POST",
                f"/videos/{video_id}/ground-truths",
                params={"name": path.name, "source": source},
                content=file,
            )

    def approve_ground_truth(self, ground_truth_id: str) -> Json:
        """Approve ground truth in this user's name."""
        return self._send("POST", f"/ground-truths/{ground_truth_id}/approve")

    def start_run(self, request: RunCreate) -> RunBody:
        """Ask for a validation run."""
        return run_body(self._send("POST", "/runs", json=request.model_dump(mode="json")))

    def run(self, run_id: str) -> RunBody:
        """A run as it stands."""
        return run_body(self._send("GET", f"/runs/{run_id}"))

    def follow(self, run_id: str, on_event: Callable[[RunEvent], None], patience_s: float = 120.0) -> RunBody:
        """Call ``on_event`` for each change of a run until it is final, then give the run.

        The stream of events is opened again when it breaks: a service may be restarted meanwhile.

        Raises:
            VruError: nothing changed for ``patience_s`` seconds.
        """
        last, last_change = "", time.monotonic()
        while True:
            try:
                for event in self._events(f"/runs/{run_id}/events"):
                    text = event.model_dump_json()
                    if text != last:
                        last, last_change = text, time.monotonic()
                        on_event(event)
                    if event.state.is_final:
                        return self.run(run_id)
                    if time.monotonic() - last_change > patience_s:
                        break
            except (VruError, httpx2.HTTPError):
                time.sleep(0.5)
            if time.monotonic() - last_change > patience_s:
                raise VruError(
                    f"The run did not move for {patience_s:.0f} s.", "See the logs of validation_worker and ml_engine."
                )

    def _events(self, path: str) -> Iterator[RunEvent]:
        with self._http.stream("GET", path, timeout=httpx2.Timeout(30, connect=5)) as response:
            if response.is_error:
                response.read()
                raise _refusal(response)
            for event in httpx2.EventSource(response):
                if event.event == "run":
                    yield RunEvent.model_validate_json(event.data)

    def _items(self, path: str) -> Iterator[Json]:
        offset = 0
        while True:
            page = self._send("GET", path, params={"limit": _PAGE, "offset": offset})
            yield from page["items"]
            offset += len(page["items"])
            if offset >= page["total"] or not page["items"]:
                return

    def _send(self, method: str, path: str, **arguments: Any) -> Json:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx2.HTTPError as error:
            raise VruError(f"The platform's API does not answer: {error}.", "See the logs.") from None
        if response.is_error:
            raise _refusal(response)
        answer: Json = response.json()
        return answer


def _refusal(response: httpx2.Response) -> VruError:
    try:
        problem = response.json()
        return VruError(problem["detail"], problem.get("fix") or "")
    except (json.JSONDecodeError, KeyError, TypeError):
        return VruError(f"{response.request.method} {response.request.url.path} answered {response.status_code}.")
