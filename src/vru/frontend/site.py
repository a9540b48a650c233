"""The built page as files in memory: what is answered for which path, with which headers."""

import gzip
import hashlib
import mimetypes
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response

from vru.domain import VruError
from vru.service.errors import NotFoundError

NONCE_PLACE = b"__CSP_NONCE__"
_HASHED = re.compile(r"^assets/.+-[A-Za-z0-9_-]{8}\.[a-z0-9]+$")
_COMPRESSIBLE = {".js", ".css", ".html", ".svg", ".json", ".txt", ".webmanifest"}
_FOREVER = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"
# Python's table depends on the machine's; a script with the wrong type is refused by browsers (nosniff).
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def content_policy(nonce: str) -> str:
    """The Content-Security-Policy of the page: nothing from other hosts, no inline script.

    ``nonce`` admits the style elements that the dialog's scroll lock adds.
    """
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": f"'self' 'nonce-{nonce}'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' blob:",
        "connect-src": "'self'",
        "font-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    compressed: bytes | None
    media_type: str
    etag: str
    cache: str


def _load(path: Path, name: str) -> _File:
    body = path.read_bytes()
    compressed = gzip.compress(body, 9, mtime=0) if path.suffix in _COMPRESSIBLE and len(body) > 512 else None
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _File(
        body=body,
        compressed=compressed if compressed and len(compressed) < len(body) else None,
        media_type=media_type,
        etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        cache=_FOREVER if _HASHED.match(name) else _REVALIDATE,
    )


class Site:
    """The built page in ``directory``, read once.

    Raises:
        VruError: ``directory`` holds no built page.
    """

    def __init__(self, directory: Path) -> None:
        if not (directory / "index.html").is_file():
            raise VruError(f"The page was not built: {directory / 'index.html'} does not exist.", "Run `make page`.")
        names = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
        self._files = {name: _load(path, name) for name, path in names.items() if not name.startswith(".")}
        self._index = self._files.pop("index.html").body

    def answer(self, path: str, headers: Headers) -> Response:
        """The file at ``path`` (without leading slash), or the page for a path that only the page knows.

        Raises:
            NotFoundError: ``path`` looks like a file, and there is none.
        """
        file = self._files.get(path)
        if file is not None:
            return self._answer_file(file, headers)
        if path.startswith("assets/") or "." in path.rsplit("/", 1)[-1]:
            raise NotFoundError(f"There is no file /{path}.", "Reload the page: it may be from an older release.")
        return self._answer_page()

    def _answer_file(self, file: _File, headers: Headers) -> Response:
        answer_headers = _SECURITY_HEADERS | {
            "Cache-Control": file.cache,
            "ETag": file.etag,
            # An SVG opened by itself is a document: it gets no scripts.
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
        }
        if file.compressed is not None:
            answer_headers["Vary"] = "Accept-Encoding"
        if file.etag in headers.get("if-none-match", ""):
            return Response(status_code=304, headers=answer_headers)
        body = file.body
        if file.compressed is not None and "gzip" in headers.get("accept-encoding", ""):
            body = file.compressed
            answer_headers["Content-Encoding"] = "gzip"
        return Response(body, headers=answer_headers, media_type=file.media_type)

    def _answer_page(self) -> Response:
        nonce = secrets.token_urlsafe(18)
        return Response(
            self._index.replace(NONCE_PLACE, nonce.encode()),
            headers=_SECURITY_HEADERS
            # A stored copy would be matched with another answer's nonce; and a new release must show at once.
            | {"Cache-Control": "no-cache, no-store", "Content-Security-Policy": content_policy(nonce)},
            media_type="text/html; charset=utf-8",
        )
