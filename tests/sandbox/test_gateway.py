"""The real gateway under hostile files and texts: it refuses them, says why, and goes on answering."""

import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from tests.gateway.conftest import api, connect, gateway_settings, start_gateway  # noqa: F401 - fixtures
from tests.sandbox import corpus

_DIGITS = "9" * 5000
_PROJECT = {"name": "A project", "criteria": [{"metric": "recall", "comparator": ">=", "threshold": 0.9}]}


def _bodies() -> dict[str, bytes]:
    """JSON bodies of a new project that must be refused, whole or by one value."""
    whole = json.dumps(_PROJECT)
    bodies = {
        f"{name} with {len(_DIGITS)} digits": whole.replace(old, new)
        for name, old, new in (
            ("threshold", "0.9", _DIGITS),
            ("negative threshold", "0.9", f"-{_DIGITS}"),
            ("fraction", "0.9", f"0.{_DIGITS}e{_DIGITS}"),
            ("key", '"name"', f'"frame_rate": {_DIGITS}, "name"'),
            ("unknown key", '"name"', f'"unknown": {_DIGITS}, "name"'),
        )
    }
    for character in ("\\u0000", "\\ud800", "\\udfff\\ud800"):
        for name, old in (("name", "A project"), ("metric", "recall"), ("comparator", ">=")):
            bodies[f"{character} in {name}"] = whole.replace(old, f"{old}{character}")
        bodies[f"{character} in a key"] = whole.replace('"name"', f'"{character}": 1, "name"')
        bodies[f"{character} in a slice"] = whole.replace("0.9", f'0.9, "slice": "{character}"')
        bodies[f"{character} in a resolution"] = whole.replace('"name"', f'"resolution": "1x1{character}", "name"')
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        bodies[f"threshold {number}"] = whole.replace("0.9", number)
    for depth in (1000, 100_000):
        bodies[f"lists {depth} deep"] = whole.replace("0.9", "[" * depth + "]" * depth)
        bodies[f"objects {depth} deep"] = whole.replace("0.9", '{"a":' * depth + "1" + "}" * depth)
    encoded = {name: body.encode() for name, body in bodies.items()}
    encoded["no UTF-8"] = whole.encode().replace(b"recall", b"\xff\xfe")
    encoded["an encoded surrogate"] = whole.encode().replace(b"recall", b"\xed\xa0\x80")
    encoded["NUL bytes"] = bytes(1000)
    return encoded


def test_texts_and_numbers_that_cannot_be_are_named(api):  # noqa: F811
    answers = {}
    for name, body in _bodies().items():
        answer = api.client.post("/projects", content=body, headers={"Content-Type": "application/json"})
        answers[name] = answer.status_code
        assert answer.headers["content-type"] == "application/problem+json", name
        assert answer.json()["detail"], name
    # What is no JSON, or nested beyond reading, is 400; what cannot be stored 422.
    assert {name: status for name, status in answers.items() if status not in (400, 422)} == {}


@pytest.mark.parametrize(
    "path",
    [
        f"/projects?limit={_DIGITS}",
        f"/projects?offset=-{_DIGITS}",
        "/projects?limit=1%00",
        "/projects?limit=%D9%A3%00",
        f"/projects/{_DIGITS}",
        "/projects/%00",
        "/projects/%ED%A0%80",
        f"/ground-truths/6f1c1f0e-3d0e-4f0a-9d5c-0d9c3c7e8a11/boxes?first_frame={_DIGITS}",
    ],
)
def test_addresses_that_cannot_be_are_422(api, path):  # noqa: F811
    assert api.client.get(path).status_code == 422


def test_logins_that_cannot_be_are_told_so(api):  # noqa: F811
    for email in ("a\\u0000@example.com", "\\ud800@example.com", "a@example.com"):
        for password in ("\\u0000", "\\ud800 long enough", "x" * 200):
            body = f'{{"email": "{email}", "password": "{password}"}}'.encode()
            answer = api.client.post("/auth/login", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (401, 422, 429), body
    for token in ("\xff\xfe", "9" * 5000, "%00"):
        answer = api.client.get("/projects", headers=[(b"Authorization", b"Bearer " + token.encode("latin-1"))])
        assert answer.status_code == 401


_NASTIEST = {
    "video": (
        "four PNG frames of 8000x8000",
        "PNG of 65535x65535",
        "10000000 samples of one size",
        "boxes in boxes",
        "a zip",
    ),
    "truth": (
        "CVAT of 10000000 frames",
        "elements 100000 deep",
        "a thousand million laughs",
        "lists 1000000 deep",
        "track_id 999999999999",
        "bbox 999999999999",
        "a class with NUL",
        "200,000 attributes",
    ),
    "signals": ("a time of '999999'", "JSON 100000 deep", "a header of a million columns", "no UTF-8"),
}


def _seconds_to_answer(client: httpx2.Client) -> float:
    began = time.perf_counter()
    assert client.get("/ready").status_code == 200
    return time.perf_counter() - began


def test_it_answers_while_it_refuses_hostile_files(api, make_video, tmp_path):  # noqa: F811
    project = api.project()
    video = api.upload(project, make_video(tmp_path / "video.mp4")).json()["id"]
    addresses = {
        "video": f"/projects/{project}/videos",
        "truth": f"/videos/{video}/ground-truths",
        "signals": f"/videos/{video}/signals",
    }
    files = [item for item in corpus.CORPUS if item.name in _NASTIEST.get(item.kind, ())]
    assert len(files) == sum(map(len, _NASTIEST.values()))
    bodies = [(item, item.make()) for item in files]
    before = api.stored_files()

    def upload(item: corpus.Hostile, body: bytes) -> tuple[str, int, float]:
        began = time.monotonic()
        answer = api.client.post(addresses[item.kind], params={"name": "file"}, content=body)
        assert answer.json()["detail"], item.name
        assert answer.json()["fix"], item.name
        return item.name, answer.status_code, time.monotonic() - began

    address = str(api.client.base_url).removesuffix("/api/v1/")
    with httpx2.Client(base_url=address, timeout=30) as client, ThreadPoolExecutor(6) as pool:
        idle = statistics.median(_seconds_to_answer(client) for _ in range(20))
        uploads = [pool.submit(upload, item, body) for item, body in bodies]
        meanwhile = []
        while not all(one.done() for one in uploads):
            meanwhile.append(_seconds_to_answer(client))
            time.sleep(0.02)
        answers = [one.result() for one in uploads]
    assert [answer for answer in answers if answer[1] not in (413, 422)] == []
    # A machine that is busy with other things answers late even without uploads: then the median is asked.
    busy = os.getloadavg()[0] >= (os.cpu_count() or 1)
    slow = sorted(meanwhile)[int((0.5 if busy else 0.95) * len(meanwhile))]
    assert slow < max(0.2, 5 * idle), (idle, sorted(meanwhile))
    assert max(seconds for *_, seconds in answers) < 30
    assert api.stored_files() == before
