"""Docker's own API, for questions only: one connection answers many while the command line would still be starting.

Whatever changes something goes through the ``docker`` command, so that an administrator can repeat it by hand.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode

from ..base.errors import plain

SOCKET = "/var/run/docker.sock"
_TIMEOUT_S = 60.0
# The kernel cuts a process's name after 15 characters: `containerd-shim-runc-v2`.
_SHIM = "containerd-shim"


class EngineError(Exception):
    """Docker does not answer, or not with what was asked for."""


def away(path: str = SOCKET, processes: Path = Path("/proc")) -> str | None:
    """One sentence where Docker does not run: what that means for the containers. None where it answers."""
    try:
        with Engine(path) as engine:
            engine.version()
    except EngineError:
        # Each container's own supervisor, which lives on without Docker.
        count = sum(_name_of(entry) == _SHIM for entry in processes.glob("[0-9]*/comm"))
        there = (
            f"{count} containers run on without it (live-restore), and how they are cannot be asked"
            if count
            else "no container runs either"
        )
        return f"Docker does not run on this server; {there}. Start it: systemctl start docker"
    return None


def _name_of(entry: Path) -> str:
    try:
        return entry.read_text().strip()
    except OSError:  # a process that has just ended
        return ""


def _said(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return "it gives no reason"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


class Engine:
    """An open connection to the engine. Use as a context manager; not to be shared between threads."""

    def __init__(self, path: str = SOCKET) -> None:
        self._connection = _Connection(path)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def version(self) -> str:
        """Docker's version.

        Raises:
            EngineError: Docker does not answer.
        """
        return str(self._get("/version")["Version"])

    def containers(self, labels: Iterable[str]) -> list[str]:
        """The ids of all containers, running or not, that carry every one of some labels (``name=value``).

        Raises:
            EngineError: Docker does not answer.
        """
        filters = json.dumps({"label": list(labels)})
        return [str(one["Id"]) for one in self._get("/containers/json", all="true", filters=filters) or ()]

    def container(self, name: str) -> Mapping[str, Any] | None:
        """What ``docker inspect`` shows of one container; None if there is none of that name or id.

        Raises:
            EngineError: Docker does not answer.
        """
        found: Mapping[str, Any] | None = self._get(f"/containers/{quote(name, safe='')}/json")
        return found

    def names(self) -> dict[str, str]:
        """The id of every container on this server, whosever it is, by name.

        Raises:
            EngineError: Docker does not answer.
        """
        listed = self._get("/containers/json", all="true") or ()
        return {name.lstrip("/"): str(one["Id"]) for one in listed for name in one.get("Names") or ()}

    def images(self) -> dict[str, str]:
        """The id of every image by that id, by each of its tags, and by each ``name@digest``.

        Raises:
            EngineError: Docker does not answer.
        """
        found: dict[str, str] = {}
        for image in self._get("/images/json") or ():
            for name in (image["Id"], *(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())):
                found[name] = str(image["Id"])
        return found

    def build_cache(self) -> list[Mapping[str, Any]]:
        """Every record of the build cache: ``ID``, ``Size``, ``Shared``, ``InUse``, ``LastUsedAt``...

        Raises:
            EngineError: Docker does not answer.
        """
        answer = self._get("/system/df", type="build-cache") or {}
        return list(answer.get("BuildCache") or ())

    def _get(self, path: str, **parameters: str) -> Any:
        try:
            self._connection.request("GET", f"{path}?{urlencode(parameters)}")
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise EngineError(f"Docker does not answer: {plain(error)}.") from error
        if answer.status == http.client.NOT_FOUND:
            return None
        if answer.status != http.client.OK:
            raise EngineError(f"Docker refuses a question ({answer.status}, {path}): {_said(body)}")
        try:
            return json.loads(body)
        except ValueError as error:
            raise EngineError(f"Docker's answer to {path} is no JSON.") from error
