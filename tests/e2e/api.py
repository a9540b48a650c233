"""The platform's public API, as a test engineer's script would use it."""

import json
import time
from pathlib import Path
from typing import Any

import httpx2


class Api:
    """Logged in at one address of the platform."""

    def __init__(self, base: str, email: str, password: str) -> None:
        self.client = httpx2.Client(base_url=base, timeout=120)
        answer = self.client.post("/api/v1/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        self.client.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    @classmethod
    def like(cls, other: "Api") -> "Api":
        """The same user at the same address, for another thread."""
        made = cls.__new__(cls)
        made.client = httpx2.Client(base_url=other.client.base_url, timeout=120, headers=other.client.headers)
        return made

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.client.get(f"/api/v1{path}", params=parameters)
        assert answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def post(self, path: str, body: Any = None, *, expect: int = 201, **parameters: Any) -> Any:
        content = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        answer = self.client.post(f"/api/v1{path}", params=parameters, **content)
        assert answer.status_code == expect, f"POST {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def prepare(self, name: str, video: Path, truth: Path) -> dict[str, str]:
        """A project with a video and its approved ground truth; the ids of the three."""
        project = self.post("/projects", {"name": name})["id"]
        uploaded = self.post(f"/projects/{project}/videos", video.read_bytes(), name=video.name)["id"]
        ground_truth = self.post(
            f"/videos/{uploaded}/ground-truths", truth.read_bytes(), name=truth.name, source="manual"
        )["id"]
        self.post(f"/ground-truths/{ground_truth}/approve", expect=200)
        return {"project_id": project, "video_id": uploaded, "ground_truth_id": ground_truth}

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """All events of a run, until the platform ends the stream."""
        found = []
        with self.client.stream("GET", f"/api/v1/runs/{run_id}/events", timeout=600) as stream:
            assert stream.status_code == 200
            data = (line.removeprefix("data:") for line in stream.iter_lines() if line.startswith("data:"))
            found.extend(map(json.loads, data))
        return found

    def finish(self, run_id: str, seconds: float = 600) -> dict[str, Any]:
        """The run once it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            run: dict[str, Any] = self.get(f"/runs/{run_id}")
            if run["state"] in {"completed", "failed", "cancelled"}:
                return run
            time.sleep(1)
        raise TimeoutError(f"run {run_id} did not end: {run}")
