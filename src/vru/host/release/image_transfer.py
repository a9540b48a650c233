"""Images that were built on the laptop: which layers the engine has, and an archive of the others for `docker load`."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from ..base.disk import CHUNK
from ..base.errors import HostError, plain
from ..base.host import Host
from . import pruning, store

_DIFF_ID = re.compile(r"sha256:[0-9a-f]{64}")
_OBJECT = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9._-]+")
_LOAD_S = 1800.0
_AGAIN = "Run the same command again: it sends what is missing. Without --build local the server builds the images."


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """How an engine names each layer: by itself and all below it."""
    chains: list[str] = []
    for diff_id in diff_ids:
        below = chains[-1] if chains else ""
        chains.append("sha256:" + hashlib.sha256(f"{below} {diff_id}".encode()).hexdigest() if below else diff_id)
    return chains


def ask(host: Host, question: dict[str, Any]) -> dict[str, Any]:
    """What need not be sent: ``chains`` of layers that the engine has, ``stored`` and ``partial`` content.

    An engine on containerd's image store takes whole images only: for it there are no chains.

    Raises:
        HostError: Docker does not answer, or the question is none.
    """
    names = [name for name in question.get("objects", ()) if isinstance(name, str) and _OBJECT.fullmatch(name)]
    stored = store.sizes(host)
    return {
        "chains": [] if _on_containerd(host) else sorted(_chains(host)),
        "stored": {name: stored[name] for name in names if name in stored},
        "partial": store.partial(host, names),
    }


def _on_containerd(host: Host) -> bool:
    told = host.run(["docker", "info", "--format", "{{json .DriverStatus}}"], fix="Run: vru setup")
    return "io.containerd.snapshotter" in told.out


def _chains(host: Host) -> set[str]:
    listed = host.run(["docker", "image", "ls", "--quiet", "--no-trunc"]).out.split()
    if not listed:
        return set()
    told = host.run(["docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", *set(listed)], check=False)
    return {chain for line in told.out.splitlines() if line for chain in chain_ids(json.loads(line) or [])}


def load(host: Host, question: dict[str, Any]) -> dict[str, Any]:
    """Make images of layers: those that were sent, from the content store, and those that the engine has.

    Returns:
        The images' ids, by name.

    Raises:
        HostError: content is missing, or the engine does not take the archive. The engine is left as it was.
    """
    images = _parse(question)
    objects = dict.fromkeys(
        name for image in images for name in (image["config"], *(layer["object"] for layer in image["layers"])) if name
    )
    for name in objects:
        if not (host.objects / name).exists():
            raise HostError(f"A part of the images ({name[:12]}) is not on the server.", _AGAIN)
    _docker_load(host, images, list(objects))
    ids = {}
    for image in images:
        told = host.run(
            ["docker", "image", "inspect", "--format", "{{.Id}} {{json .RootFS.Layers}}", image["name"]], check=False
        )
        identity, _, layers = told.out.strip().partition(" ")
        if not told.ok or json.loads(layers) != [layer["diff_id"] for layer in image["layers"]]:
            raise HostError(f"The engine did not take the image {image['name']}.", _AGAIN)
        ids[image["name"]] = identity
    pruning.note_built(host, ids)
    for name in objects:
        (host.objects / name).unlink(missing_ok=True)
    return {"images": ids}


def _parse(question: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        images = list(question["images"])
        wrong = [image for image in images if not _right(image)]
    except (KeyError, TypeError) as error:
        raise HostError(f"The list of images is wrong: {plain(error)}.") from error
    if wrong:
        raise HostError(f"The list of images is wrong: {wrong[0].get('name', 'an image without a name')}.")
    return images


def _right(image: dict[str, Any]) -> bool:
    objects = [image["config"], *(layer["object"] for layer in image["layers"] if layer["object"] is not None)]
    return (
        _NAME.fullmatch(image["name"]) is not None
        and all(_OBJECT.fullmatch(name) for name in objects)
        and all(_DIFF_ID.fullmatch(layer["diff_id"]) for layer in image["layers"])
    )


def _docker_load(host: Host, images: list[dict[str, Any]], objects: Iterable[str]) -> None:
    """Feed `docker load` with an archive that is made meanwhile: it needs no room of its own."""
    said: list[bytes] = []
    with host.run.process(["docker", "load"], stdin=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        killer = threading.Timer(_LOAD_S, process.kill)
        killer.start()
        reader = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
        reader.start()
        if process.stdin is None:
            raise HostError("The archive of images cannot be handed over.")
        try:
            _write_archive(process.stdin, host.objects, images, objects)
            process.stdin.close()
        except BrokenPipeError:
            # It stopped reading; its last words, below, say why.
            said.append(b"")
        code = process.wait()
        killer.cancel()
        reader.join(timeout=10)
    words = b"".join(said).decode(errors="replace").strip()
    if code != 0:
        full = "no space left" in words
        raise HostError(
            f"`docker load` ended with {code}: {(words.splitlines() or ['it said nothing'])[-1]}",
            "Make room for Docker (docker system df), then run the same command again." if full else _AGAIN,
        )


def _write_archive(target: IO[bytes], objects: Path, images: list[dict[str, Any]], names: Iterable[str]) -> None:
    listed = [
        {
            "Config": f"blobs/sha256/{image['config']}",
            "RepoTags": [image["name"]],
            # A classic engine looks for a layer's chain first, and opens the file only if it lacks it.
            "Layers": [f"blobs/sha256/{layer['object'] or layer['diff_id'][7:]}" for layer in image["layers"]],
        }
        for image in images
    ]
    with tarfile.open(fileobj=target, mode="w|", bufsize=CHUNK) as archive:
        for name in names:
            with (objects / name).open("rb") as file:
                archive.addfile(_member(f"blobs/sha256/{name}", (objects / name).stat().st_size), file)
        text = json.dumps(listed).encode()
        archive.addfile(_member("manifest.json", len(text)), io.BytesIO(text))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member
