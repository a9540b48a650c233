import gzip
import re
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from vru.domain import VruError
from vru.frontend.site import Site, content_policy
from vru.service.errors import NotFoundError

PLAIN = Headers({})


def test_a_page_that_was_not_built_is_an_error_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(VruError, match="was not built") as caught:
        Site(tmp_path)
    assert "make page" in caught.value.fix


def test_hashed_assets_are_kept_for_ever(built: Path, script: str) -> None:
    answer = Site(built).answer(script, PLAIN)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.body == (built / script).read_bytes()


def test_assets_are_compressed_for_who_can_read_it(built: Path, script: str) -> None:
    answer = Site(built).answer(script, Headers({"accept-encoding": "gzip, br"}))
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(bytes(answer.body)) == (built / script).read_bytes()


def test_what_has_no_hash_is_asked_for_again_and_not_sent_twice(built: Path) -> None:
    site = Site(built)
    first = site.answer("favicon.svg", PLAIN)
    assert first.headers["cache-control"] == "no-cache"
    second = site.answer("favicon.svg", Headers({"if-none-match": first.headers["etag"]}))
    assert (second.status_code, second.body) == (304, b"")


@pytest.mark.parametrize("path", ["", "projects", "runs/6f1c1f0e-3d0e-4f0a-9d5c-0d9c3c7e8a11", "login", "index.html"])
def test_routes_of_the_page_are_answered_with_the_page(built: Path, path: str) -> None:
    if path == "index.html":
        with pytest.raises(NotFoundError):  # has its own address, "/"
            Site(built).answer(path, PLAIN)
        return
    answer = Site(built).answer(path, PLAIN)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "no-cache" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    ["assets/index-00000000.js", "assets/nothing", "robots.txt", ".sources.sha256", "../site.py", "a/../../b.py"],
)
def test_a_missing_file_is_not_answered_with_the_page(built: Path, path: str) -> None:
    with pytest.raises(NotFoundError):
        Site(built).answer(path, PLAIN)


def test_the_policy_admits_only_this_answers_nonce(built: Path) -> None:
    site = Site(built)
    answers = [site.answer("", PLAIN) for _ in range(2)]
    nonces = [re.search(rb'content="([^"]+)"', answer.body)[1].decode() for answer in answers]  # type: ignore[index]
    assert nonces[0] != nonces[1]
    for answer, nonce in zip(answers, nonces, strict=True):
        assert answer.headers["content-security-policy"] == content_policy(nonce)


def test_the_policy_forbids_what_the_page_does_not_need() -> None:
    policy = content_policy("n")
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
