"""Images: built on the server when their content tag is absent, pulled when the engine lacks them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..base.change import Change
from ..base.disk import read_json, write_json
from ..base.errors import HostError
from ..base.host import Host
from ..base.journal import Step
from ..docker.compose import BUILD_ENVIRONMENT, Compose, present_images
from ..release import pruning
from ..wire import ImageEntry, Manifest

_PULLS_AT_ONCE = 3
_ATTEMPTS = 4
# What Docker says when trying again cannot help.
_HOPELESS = ("manifest unknown", "not found", "denied", "invalid reference")


@dataclass(frozen=True)
class ImageFacts:
    """The release's images that the engine has, and what their tags meant at the end of the last change, by name."""

    present: Mapping[str, str]
    recorded: Mapping[str, str]
    movable: frozenset[str] = frozenset()

    @property
    def expected(self) -> dict[str, str]:
        """The image that each tag should mean: a tag that was moved by hand goes back."""
        return {name: self.recorded[name] if name in self.movable else found for name, found in self.present.items()}


def facts(host: Host, manifest: Manifest) -> ImageFacts:
    """Ask the engine for all images at once, and read what was recorded."""
    names = [*manifest.pull, *manifest.bases, *(entry.image for entry in manifest.images)]
    recorded = {name: image for name, image in read_json(_record(host), {}).items() if name in names}
    found = present_images(host, [*names, *recorded.values()])
    present = {name: found[name] for name in names if name in found}
    moved = (name for name, image in present.items() if recorded.get(name, image) != image)
    return ImageFacts(present, recorded, frozenset(name for name in moved if recorded[name] in found))


def tag_changes(host: Host, actual: ImageFacts) -> Iterator[Change]:
    """Put tags back that were moved to another image by hand. One whose image is gone means what it means now."""
    for name in sorted(actual.movable):
        now, before = (_short(image) for image in (actual.present[name], actual.recorded[name]))
        detail = f"the tag names {now} instead of {before}"
        yield Change("image", name, "update", detail, partial(_tag, host, actual.recorded[name], name))


def record(host: Host, manifest: Manifest) -> None:
    """Remember which image each of a release's tags means: from now on, another one is somebody's doing."""
    names = [*manifest.pull, *(entry.image for entry in manifest.images)]
    found = present_images(host, names)
    if read_json(_record(host), {}) != found:
        write_json(_record(host), found)


def _record(host: Host) -> Path:
    return host.state / "images.json"


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:12]


def _tag(host: Host, image: str, name: str, step: Step) -> None:
    host.run(["docker", "tag", image, name])


def pull_changes(host: Host, manifest: Manifest, present: Collection[str]) -> Iterator[Change]:
    """Pull what the engine lacks; what is only built upon, where something is to be built."""
    bases = manifest.bases if absent(manifest, present) else ()
    for image in (*manifest.pull, *bases):
        if image not in present:
            yield Change("image", image, "pull", "", partial(_pull, host, image))


def build_changes(manifest: Manifest, present: Collection[str]) -> Iterator[Change]:
    """Build what the engine lacks; `build_all` does it. Several services may share an image; it is built once."""
    for entry in absent(manifest, present):
        yield Change("image", entry.image, "build", f"for {entry.service}")


def absent(manifest: Manifest, present: Collection[str]) -> list[ImageEntry]:
    """The images to build, each once."""
    wanted: dict[str, ImageEntry] = {}
    for entry in manifest.images:
        if entry.image not in present:
            wanted.setdefault(entry.image, entry)
    return list(wanted.values())


def pull_all(changes: Sequence[Change], step: Step) -> None:
    """Pull several images at once.

    Raises:
        HostError: one could not be pulled; the others were given the time to finish.
    """
    with ThreadPoolExecutor(_PULLS_AT_ONCE) as pool:
        waiting = [pool.submit(change.apply, step) for change in changes if change.apply is not None]
    for pulled in waiting:
        pulled.result()


def note_pulled(host: Host, changes: Sequence[Change]) -> None:
    """Remember which images are here because of us: they go when no kept release runs them any more."""
    pruning.note_pulled(host, present_images(host, [change.name for change in changes]))


def _pull(host: Host, image: str, step: Step, sleep: Callable[[float], None] = time.sleep) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        done = host.run.lines(["docker", "pull", image], lambda line: step.progress(f"{image}: {line}"), timeout=1800)
        if done.ok:
            step.log(f"{image}: pulled")
            return
        said = done.last_words(1)
        if any(word in said for word in _HOPELESS):
            break
        if attempt < _ATTEMPTS:
            step.log(f"{image}: attempt {attempt} of {_ATTEMPTS} failed: {said}")
            sleep(2.0**attempt)
    raise HostError(
        f"The image {image} cannot be pulled: {said}", "Check its name and the server's way to the registry."
    )


def build_all(compose: Compose, entries: Sequence[ImageEntry], step: Step) -> None:
    """Build images side by side: they share layers, and one downloads while another compiles.

    Raises:
        HostError: one could not be built; the last lines of the build are in the error.
    """
    with pruning.building(compose.host):
        done = compose.host.run.lines(
            compose.command("--progress", "plain", "build", *(entry.service for entry in entries)),
            step.progress,
            env=BUILD_ENVIRONMENT,
            timeout=3600,
        )
    if not done.ok:
        raise HostError(
            f"The images could not be built: {_reason(done.out)}",
            "Read the lines above; the build runs from the project's Dockerfile.",
            logs=tuple(done.out.splitlines()[-20:]),
        )
    there = present_images(compose.host, [entry.image for entry in entries])
    for entry in entries:
        if entry.image not in there:
            raise HostError(
                f"Building {entry.service} did not make the image {entry.image}.",
                "The Compose file and the release name different images: deploy again.",
                service=entry.service,
            )
    pruning.note_built(compose.host, there)


def _reason(output: str) -> str:
    errors = [line for line in output.splitlines() if re.search(r"\b(ERROR|error|failed to solve)\b", line)]
    return errors[-1] if errors else (output.splitlines() or ["it said nothing"])[-1]
