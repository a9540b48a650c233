"""Looking before anything is changed: the server's facts, the release that fits them, and what separates the two.

For a server that was seen before, one question is enough: the release is made from what is remembered while the
connection is being opened. If the server turns out to be another than it was, it is asked once more.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vru.deploy import compose_file, configuration, memory, orchestration, remote_setup, validation
from vru.deploy.checks import Check, ok
from vru.deploy.connection import Server
from vru.deploy.console import Reporter
from vru.deploy.differences import Difference
from vru.deploy.environment import Environment
from vru.deploy.facts import ServerFacts, gather
from vru.deploy.release import Release, build
from vru.domain import VruError


@dataclass(frozen=True, slots=True)
class Target:
    """What is deployed where: the project's root, its environment, and how to reach the server."""

    root: Path
    environment: Environment
    connect: Callable[[], Server]


@dataclass(frozen=True, slots=True)
class Draft:
    """The release that fits a server, and the generated files in it."""

    facts: ServerFacts
    rendered: Mapping[str, bytes]
    release: Release


def draft(target: Target, facts: ServerFacts) -> Draft:
    """Make the release for a server.

    Raises:
        VruError: a source file is missing, the compose file or a template is wrong, or the server is too small.
    """
    compose_file.require(target.root)
    rendered = configuration.render(target.root, target.environment, facts)
    return Draft(facts, rendered, build(target.root, target.environment, facts, rendered))


class Survey:
    """What is found out about one server over an open connection.

    ``facts`` are there from the beginning; ``draft`` and ``difference`` after :meth:`settle`.
    """

    def __init__(self, target: Target, server: Server, guess: "_Guess", *, contents: bool = False) -> None:
        self.server = server
        self._target = target
        self._contents = contents
        self._draft = guess.draft
        self._difference: Difference | None = None
        if guess.draft is None:
            self.facts, self._printed = gather(server)
            return
        release = guess.draft.release
        answer = orchestration.ask(server, release, kept=release.name == guess.kept, contents=contents)
        self.facts, self._printed, self._difference = answer.facts, answer.printed, answer.difference
        if self.facts.shape != guess.draft.facts.shape:
            self._draft = self._difference = None

    @property
    def draft(self) -> Draft:
        """The release that fits the server.

        Raises:
            VruError: a source file is missing, a template is wrong, or the server is too small.
        """
        if self._draft is None:
            self._draft = draft(self._target, self.facts)
        return self._draft

    def checks(self) -> list[Check]:
        """Everything that would stop a deployment, and what would not."""
        target = self._target
        found = [*validation.check_project(target.root), *validation.check_server(target.environment, self.facts)]
        if self._draft is None:
            return [*found, *validation.check_configuration(target.root, target.environment, self.facts)]
        return [*found, ok("configuration", f"{len(self._draft.rendered)} files render")]

    def install(self, report: Reporter) -> bool:
        """Put Python and this laptop's version of the host program on the server, where they are missing.

        Returns:
            Whether anything was changed.
        """
        if not remote_setup.bootstrap(self.server, self.facts, report):
            return False
        self.facts = replace(self.facts, programs=self.facts.programs | {remote_setup.program_sha256()})
        return True

    def settle(self) -> Difference:
        """What separates the server from the release. Asks once more if the first answer could not say it."""
        if self._difference is None:
            release = self.draft.release
            if remote_setup.program_sha256() in self.facts.programs:
                self._difference = orchestration.plan(self.server, release, contents=self._contents)
            elif self.facts.python_version >= remote_setup.OLDEST_PYTHON:
                self._difference = orchestration.plan(self.server, release, contents=self._contents, in_memory=True)
            else:
                self._difference = orchestration.without_python(release, self.facts)
        return self._difference

    def remember(self, release: str) -> None:
        """Keep for the next time what the server is like, and which release it has the manifest of."""
        environment = self._target.environment
        memory.remember(environment.require_host(), environment.ssh_port, self._printed, release)


@dataclass(frozen=True, slots=True)
class _Guess:
    """What can be made of memory alone: the release that probably fits, and the one whose manifest the server has."""

    draft: Draft | None
    kept: str


def _guess(target: Target) -> _Guess:
    remembered = memory.recall(target.environment.host or "", target.environment.ssh_port)
    if remembered is None:
        return _Guess(None, "")
    try:
        return _Guess(draft(target, remembered.facts), remembered.release)
    except VruError:
        # The checks say what is wrong, once the server's real facts are there.
        return _Guess(None, "")


@contextmanager
def opened(target: Target, *, contents: bool = False) -> Iterator[Survey]:
    """Connect, making the release meanwhile, and ask the first question.

    Args:
        target: what is deployed where.
        contents: ask for the text of files that would change, too, for people to compare.

    Raises:
        ConnectionFailedError, HostKeyError: the server cannot be reached, or is not known.
        RemoteError: the server gave no answer.
    """
    with ThreadPoolExecutor(1) as pool:
        guessing = pool.submit(_guess, target)
        # In this thread: it may ask the user something, and Ctrl-C comes here.
        server = target.connect()
    with server:
        yield Survey(target, server, guessing.result(), contents=contents)
