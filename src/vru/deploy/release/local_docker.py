"""The laptop's own Docker, for `--build local`: building the images, and reading what `docker save` wrote of them."""

import io
import json
import os
import posixpath
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vru.deploy.console import log_file
from vru.deploy.console.errors import DeploymentFailedError
from vru.deploy.release.images import Image, source_files
from vru.domain import VruError
from vru.host.base.disk import human_size

_USE_SERVER = "Leave --build local out: then the server builds the images."
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BUILD_S = 3600
_LOG_INTERVAL_S = 0.2
# From this version on the command line builds with the plugin only.
_WITHOUT_OWN_BUILDKIT = 23

# What `uname -m` says, in Docker's words.
_PLATFORMS: Mapping[str, str] = {
    "x86_64": "linux/amd64",
    "aarch64": "linux/arm64",
    "armv7l": "linux/arm/v7",
    "ppc64le": "linux/ppc64le",
    "riscv64": "linux/riscv64",
    "s390x": "linux/s390x",
}


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a file that is content by itself: a layer inside the archive that `docker save` wrote."""

    sha256: str
    size: int
    file: Path
    start: int

    def open(self) -> "io.BufferedReader":
        """The bytes, as a file that begins and ends with the part."""
        return io.BufferedReader(_Window(self.file, self.start, self.size))


class _Window(io.RawIOBase):
    def __init__(self, file: Path, start: int, size: int) -> None:
        self._file = file.open("rb", buffering=0)
        self._start, self._size, self._at = start, size, 0
        self._file.seek(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = min(max(base + offset, 0), self._size)
        self._file.seek(self._start + self._at)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._size - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: the digest of what it unpacks to, and the bytes that were saved of it."""

    diff_id: str
    content: Slice


@dataclass(frozen=True, slots=True)
class SavedImage:
    """One image as `docker save` wrote it. ``config`` is named by the image's id on a classic engine."""

    name: str
    config: Slice
    layers: tuple[Layer, ...]


class LocalDocker:
    """The engine behind this machine's `docker` command, which builds for servers of one kind (``machine``).

    Raises:
        VruError: there is none, it does not answer, or it knows no images for such a machine.
    """

    def __init__(self, machine: str) -> None:
        client = shutil.which("docker")
        if client is None:
            raise VruError("--build local needs Docker on this machine, and there is none.", _USE_SERVER)
        self._client = client
        told = self._run("version", "--format", "{{.Server.Os}}/{{.Server.Arch}} {{.Client.Version}}")
        if told.returncode != 0:
            raise VruError(
                f"--build local needs Docker on this machine, and it does not answer: {_last_line(told.stderr)}",
                f"Start it, or look after your right to use it (docker info). {_USE_SERVER}",
            )
        if machine not in _PLATFORMS:
            raise VruError(f"Docker has no name for the server's processor ({machine}).", _USE_SERVER)
        self.own_platform, _, version = told.stdout.strip().partition(" ")
        self.platform = _PLATFORMS[machine]
        self._buildx = self._run("buildx", "version").returncode == 0
        if not self._buildx and int(version.split(".")[0] or 0) >= _WITHOUT_OWN_BUILDKIT:
            raise VruError(
                "Docker on this machine cannot build these images: its plugin buildx is missing.",
                f"Install docker-buildx (of Debian, Ubuntu) or docker-buildx-plugin (of Docker). {_USE_SERVER}",
            )

    def has(self, image: str) -> bool:
        """Whether the image was built here before, for servers of this kind."""
        told = self._run(
            "image", "inspect", "--format", "{{.Os}}/{{.Architecture}}{{with .Variant}}/{{.}}{{end}}", image
        )
        return told.returncode == 0 and _same(told.stdout.strip(), self.platform)

    def build(self, root: Path, image: Image, arguments: Mapping[str, str], on_line: Callable[[str], None]) -> None:
        """Build one image from the very files that a server would build it from: nothing else is in the context.

        Raises:
            DeploymentFailedError: the build failed; its last lines are in the error.
        """
        builder = ["buildx", "build", "--load", "--provenance=false"] if self._buildx else ["build"]
        foreign = [] if _same(self.own_platform, self.platform) else [f"--platform={self.platform}"]
        values = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        command = [
            *builder,
            "--progress=plain",
            f"--target={image.target}",
            f"--tag={image.image}",
            *foreign,
            *values,
            "-",
        ]
        with tempfile.TemporaryFile() as context:
            write_context(root, context)
            context.seek(0)
            code, lines = self._follow(command, context, on_line)
        output = "\n".join(lines)
        if code != 0 and foreign and "exec format error" in output:
            raise DeploymentFailedError(
                f"This machine ({self.own_platform}) cannot run the programs of the server's kind ({self.platform}).",
                f"Install the emulation (docker run --privileged --rm tonistiigi/binfmt --install all). {_USE_SERVER}",
                tuple(lines[-5:]),
            )
        if code != 0:
            raise DeploymentFailedError(
                f"Building {image.service} on this machine failed: {_reason(lines)}",
                "Read the lines above; the build runs from the project's Dockerfile.",
                tuple(lines[-20:]),
            )
        if not self.has(image.image):
            raise VruError(f"Building {image.service} made no image for {self.platform}.", _USE_SERVER)

    @contextmanager
    def saved(self, names: Sequence[str], folder: Path) -> Iterator[tuple[SavedImage, ...]]:
        """The images in an archive that is removed afterwards.

        Raises:
            VruError: they could not be saved (the disk is full, say), or the archive cannot be read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix="images-", suffix=".tar")
        file = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as archive:
                done = subprocess.run(
                    [self._client, "save", *names], stdout=archive, stderr=subprocess.PIPE, text=True, check=False
                )
            if done.returncode != 0:
                free = human_size(shutil.disk_usage(folder).free)
                raise VruError(
                    f"The images cannot be saved to {folder}: {_last_line(done.stderr)}", f"{free} are free there."
                )
            yield read_archive(file)
        finally:
            file.unlink(missing_ok=True)

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self._client, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def _follow(self, arguments: Sequence[str], stdin: Any, on_line: Callable[[str], None]) -> tuple[int, list[str]]:
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        kept: list[str] = []
        last = 0.0
        with subprocess.Popen(
            [self._client, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        ) as process:
            try:
                for raw in process.stdout or ():
                    line = raw.decode(errors="replace").rstrip()
                    if not line:
                        continue
                    kept.append(line)
                    del kept[:-200]
                    if time.monotonic() - last >= _LOG_INTERVAL_S:
                        last = time.monotonic()
                        on_line(line)
                code = process.wait(timeout=_BUILD_S)
            except BaseException:
                process.kill()
                raise
        return code, kept


def write_context(root: Path, target: Any) -> None:
    """The build context as a tar archive: the allow-listed files of the images, all alike in owner, mode and time."""
    with tarfile.open(fileobj=target, mode="w") as archive:
        for path in source_files(root):
            if path == "docker-compose.production.yml" or path.startswith("models/"):
                continue
            data = (root / path).read_bytes()
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))


def read_archive(file: Path) -> tuple[SavedImage, ...]:
    """What is in an archive of `docker save`, of old engines and of new ones.

    Raises:
        VruError: it is none.
    """
    try:
        with tarfile.open(file) as archive:
            members = {member.name: member for member in archive.getmembers()}
            listed = archive.extractfile("manifest.json")
            assert listed is not None  # noqa: S101 - KeyError where it is absent, None for a folder only
            return tuple(_image(entry, members, archive, file) for entry in json.load(listed))
    except (tarfile.TarError, KeyError, ValueError, TypeError) as error:
        log_file.append(f"{file}, which `docker save` wrote, is no image archive: {error!r}")
        raise VruError("What `docker save` wrote is no image archive.", _USE_SERVER) from error


def _image(
    entry: Mapping[str, Any], members: Mapping[str, tarfile.TarInfo], archive: tarfile.TarFile, file: Path
) -> SavedImage:
    source = archive.extractfile(entry["Config"])
    assert source is not None  # noqa: S101 - as above
    diff_ids: list[str] = json.loads(source.read())["rootfs"]["diff_ids"]
    layers = []
    for diff_id, path in zip(diff_ids, entry["Layers"], strict=True):
        member = members[path]
        while member.issym():
            # Old engines write a layer that two images share once, and links to it.
            member = members[posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))]
        layers.append(Layer(diff_id, _slice(member, file, otherwise=diff_id)))
    name = entry["RepoTags"][0]
    return SavedImage(name, _slice(members[entry["Config"]], file, otherwise=""), tuple(layers))


def _slice(member: tarfile.TarInfo, file: Path, *, otherwise: str) -> Slice:
    """The content of a member: its path names its digest, or else it is what a layer unpacks to."""
    named = _DIGEST.search(posixpath.basename(member.name))
    digest = named[0] if named else otherwise.removeprefix("sha256:")
    return Slice(digest, member.size, file, member.offset_data)


def _same(one: str, other: str) -> bool:
    """Whether two platforms run the same programs: arm64 and arm64/v8 do."""
    return one.removesuffix("/v8") == other.removesuffix("/v8")


def _reason(lines: Sequence[str]) -> str:
    errors = [line for line in lines if re.search(r"\b(ERROR|error|failed to solve)\b", line)]
    return errors[-1] if errors else (lines or ["it said nothing"])[-1]


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
