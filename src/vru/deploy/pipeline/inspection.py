"""Inspection, before anything is changed: the server's facts, the release that fits them, and the difference.

For a server that was seen before, one question is enough: the release is made from cached facts while the
connection is being opened. If the server turns out to be another than it was, it is asked once more.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vru.deploy.checks import validation
from vru.deploy.checks.check import ok
from vru.deploy.console.reporter import Reporter
from vru.deploy.release import compose_file, configuration
from vru.deploy.release.difference import Difference
from vru.deploy.release.manifest import Release, build
from vru.deploy.remote import orchestration, remote_setup
from vru.deploy.server import facts_cache, host_program
from vru.deploy.server.facts import gather
from vru.deploy.settings.environment import Environment
from vru.deploy.ssh.connection import Server
from vru.domain import VruError
from vru.host.wire import Check, Facts


@dataclass(frozen=True, slots=True)
class Target:
    """What is deployed where: the project's root, its environment, and how to reach the server."""

    root: Path
    environment: Environment
    connect: Callable[[], Server]


@dataclass(frozen=True, slots=True)
class FittedRelease:
    """The release that fits a server, and the generated files in it."""

    facts: Facts
    rendered: Mapping[str, bytes]
    release: Release


def fit_release(target: Target, facts: Facts) -> FittedRelease:
    """Make the release for a server.

    Raises:
        VruError: a source file is missing, the compose file or a template is wrong, or the server is too small.
    """
    compose_file.require(target.root)
    rendered = configuration.render(target.root, target.environment, facts)
    return FittedRelease(facts, rendered, build(target.root, target.environment, facts, rendered))


class Inspection:
    """One server, inspected over an open connection.

    ``facts`` are there from the beginning; ``fitted`` and :meth:`difference` are made when they are asked for.
    """

    def __init__(self, target: Target, server: Server, cached: "_Cached", *, contents: bool = False) -> None:
        self.server = server
        self._target = target
        self._contents = contents
        self._fitted = cached.fitted
        self._difference: Difference | None = None
        if cached.fitted is None:
            self.facts = gather(server)
            return
        release = cached.fitted.release
        kept = release.name == cached.kept
        self.facts, self._difference = orchestration.ask(server, release, kept=kept, contents=contents)
        if self.facts.shape != cached.fitted.facts.shape:
            self._fitted = self._difference = None

    @property
    def fitted(self) -> FittedRelease:
        """The release that fits the server.

        Raises:
            VruError: a source file is missing, a template is wrong, or the server is too small.
        """
        if self._fitted is None:
            self._fitted = fit_release(self._target, self.facts)
        return self._fitted

    def checks(self) -> list[Check]:
        """Everything that would stop a deployment, and what would not."""
        target = self._target
        found = [*validation.check_project(target.root), *validation.check_server(target.environment, self.facts)]
        if self._fitted is None:
            return [*found, *validation.check_configuration(target.root, target.environment, self.facts)]
        return [*found, ok("configuration", f"{len(self._fitted.rendered)} files render")]

    def install(self, report: Reporter) -> bool:
        """Put Python and this laptop's version of the host program on the server, where they are missing.

        Returns:
            Whether anything was changed.
        """
        if not remote_setup.bootstrap(self.server, self.facts, report):
            return False
        self.facts = replace(self.facts, programs=self.facts.programs | {host_program.program_sha256()})
        return True

    def difference(self) -> Difference:
        """What separates the server from the release. Asks once more if the first answer could not say it."""
        if self._difference is None:
            release = self.fitted.release
            if host_program.program_sha256() in self.facts.programs:
                self._difference = orchestration.plan(self.server, release, contents=self._contents)
            elif self.facts.python_version >= host_program.OLDEST_PYTHON:
                self._difference = orchestration.plan(self.server, release, contents=self._contents, in_memory=True)
            else:
                self._difference = orchestration.without_python(release, self.facts)
        return self._difference

    def cache(self, release: str) -> None:
        """Keep for the next time what the server is like, and which release it has the manifest of."""
        environment = self._target.environment
        facts_cache.store(environment.require_host(), environment.ssh_port, self.facts, release)


@dataclass(frozen=True, slots=True)
class _Cached:
    """What follows from cached facts: the release that probably fits, and the one whose manifest the server has."""

    fitted: FittedRelease | None
    kept: str


def _from_cache(target: Target) -> _Cached:
    cached = facts_cache.load(target.environment.host or "", target.environment.ssh_port)
    if cached is None:
        return _Cached(None, "")
    try:
        return _Cached(fit_release(target, cached.facts), cached.release)
    except VruError:
        # The checks say what is wrong, once the server's real facts are there.
        return _Cached(None, "")


@contextmanager
def inspect(target: Target, *, contents: bool = False) -> Iterator[Inspection]:
    """Connect, making the release meanwhile, and ask the first question.

    Args:
        target: what is deployed where.
        contents: ask for the text of files that would change, too, for people to compare.

    Raises:
        ConnectionFailedError, HostKeyError: the server cannot be reached, or is not known.
        RemoteError: the server gave no answer.
    """
    with ThreadPoolExecutor(1) as pool:
        cached = pool.submit(_from_cache, target)
        # In this thread: it may ask the user something, and Ctrl-C comes here.
        server = target.connect()
    with server:
        yield Inspection(target, server, cached.result(), contents=contents)
