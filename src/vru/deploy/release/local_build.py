"""`--build local`: build the images on this machine, and send the server the layers that it lacks. No registry."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vru.deploy.console.reporter import Reporter, timed
from vru.deploy.release import transfer
from vru.deploy.release.difference import Difference
from vru.deploy.release.images import Image, base_images, build_arguments
from vru.deploy.release.local_docker import LocalDocker, SavedImage, Slice
from vru.deploy.server import host_program
from vru.deploy.settings.environment import Environment
from vru.deploy.ssh.connection import RemoteError, Server
from vru.host.release.image_transfer import chain_ids

# How a plan calls an image that is to be built.
BUILD = ("image", "build")
# Docker unpacks the archive beside its layers before it makes them.
_ENGINE_COPIES = 2


def provide(
    server: Server, root: Path, environment: Environment, machine: str, images: Sequence[Image], report: Reporter
) -> None:
    """Make the server's engine have ``images``, built here.

    Args:
        server: where to.
        root: the project's root.
        environment: names the images that are built upon.
        machine: the server's processor, as `uname -m` has it.
        images: those that the server lacks.
        report: told of each step.

    Raises:
        VruError: there is no Docker here, a build failed, or the server did not take the layers.
    """
    docker = LocalDocker(machine)
    arguments = build_arguments(environment)
    for image in images:
        if docker.has(image.image):
            report.done(f"build {image.service} here", "was built before")
            continue
        with timed(report, f"build {image.service} here", docker.platform):
            docker.build(root, image, arguments, report.log)
    report.step("save images", ", ".join(image.service for image in images))
    # Not in /tmp, which is memory on many machines.
    with docker.saved([image.image for image in images], root / ".vru") as saved:
        report.done("save images", f"{len(saved)} images")
        _send(server, saved, report)


def as_local(difference: Difference, environment: Environment) -> Difference:
    """The same plan, saying what is built here; the server pulls nothing to build upon."""
    bases = set(base_images(environment))
    changes = [
        replace(change, detail=f"{change.detail}, on this machine; the layers that the server lacks are sent")
        if (change.resource, change.action) == BUILD
        else change
        for change in difference.changes
        if not (change.resource == "image" and change.action == "pull" and change.name in bases)
    ]
    return replace(difference, changes=tuple(changes))


def _send(server: Server, saved: Sequence[SavedImage], report: Reporter) -> None:
    told = _ask(server, "layers", {"objects": sorted(_pieces(saved))})
    chains = frozenset(told["chains"])
    try:
        _send_lacking(server, saved, lacking(saved, chains), told, report)
    except RemoteError as error:
        if not chains:
            raise
        # An engine that takes whole images only, or one whose layers were removed in this very moment.
        report.warn(f"{error.message} All layers are sent.")
        told = _ask(server, "layers", {"objects": sorted(_pieces(saved))})
        _send_lacking(server, saved, set(_pieces(saved)), told, report)


def _send_lacking(
    server: Server,
    saved: Sequence[SavedImage],
    needed: set[str],
    told: Mapping[str, dict[str, int]],
    report: Reporter,
) -> None:
    pieces = {name: piece for name, piece in _pieces(saved).items() if name in needed}
    missing = [name for name in pieces if name not in told["stored"]]
    total = len({layer.diff_id for image in saved for layer in image.layers})
    name = f"send {len(missing)} pieces of {total} layers"
    if missing:
        report.step(name)
        sent = transfer.send(
            server,
            pieces,
            missing,
            there=told["partial"],
            report=report,
            engine=_ENGINE_COPIES * sum(piece.size for piece in pieces.values()),
        )
        report.done(name, str(sent), sent.seconds)
    with timed(report, "load images", ", ".join(image.name for image in saved)):
        _ask(server, "load-images", {"images": [_entry(image, needed) for image in saved]})


def lacking(saved: Sequence[SavedImage], chains: frozenset[str]) -> set[str]:
    """The content that has to be sent: every config, and the layers whose chain the engine does not have."""
    needed = {image.config.sha256 for image in saved}
    for image in saved:
        for layer, chain in zip(image.layers, chain_ids([layer.diff_id for layer in image.layers]), strict=True):
            if chain not in chains:
                needed.add(layer.content.sha256)
    return needed


def _pieces(saved: Sequence[SavedImage]) -> dict[str, Slice]:
    pieces = {image.config.sha256: image.config for image in saved}
    pieces |= {layer.content.sha256: layer.content for image in saved for layer in image.layers}
    return pieces


def _entry(image: SavedImage, needed: set[str]) -> Mapping[str, object]:
    return {
        "name": image.name,
        "config": image.config.sha256,
        "layers": [
            {"diff_id": layer.diff_id, "object": layer.content.sha256 if layer.content.sha256 in needed else None}
            for layer in image.layers
        ],
    }


def _ask(server: Server, verb: str, question: Mapping[str, object]) -> Mapping[str, dict[str, int]]:
    completed = host_program.run(server, verb, stdin=json.dumps(question).encode(), check=False)
    try:
        answer: dict[str, dict[str, int]] = json.loads(completed.stdout)
    except ValueError as error:
        last = (completed.stderr.strip() or completed.stdout.strip() or "no output").splitlines()[-1]
        raise RemoteError(f"The server could not be asked for its layers ({completed.exit_code}): {last}") from error
    if "error" in answer:
        raise RemoteError(str(answer["error"]), str(answer.get("fix", "")))
    return answer
