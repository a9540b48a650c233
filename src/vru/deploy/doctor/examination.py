"""The examination: the laptop first, then the server over one connection, in one round trip."""

import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from vru.deploy.checks import engine, installation, machine, network
from vru.deploy.checks.check import ok
from vru.deploy.checks.evidence import Evidence
from vru.deploy.checks.fault import Fault, examine
from vru.deploy.doctor import laptop
from vru.deploy.server.facts import ROOT
from vru.deploy.settings.environment import Environment, EnvironmentFileError
from vru.deploy.ssh.connection import Server
from vru.domain import VruError
from vru.host.wire import Check

LAPTOP: tuple[Fault, ...] = tuple(laptop.fault.all)
SERVER: tuple[Fault, ...] = (*machine.fault.all, *engine.fault.all, *network.fault.all, *installation.fault.all)


def examine_laptop(root: Path, settings: Environment | EnvironmentFileError) -> list[Check]:
    """Look at the laptop only."""
    return examine(LAPTOP, laptop.look(root, settings, Path.home()))


def examine_server(connect: Callable[[], Server], environment: Environment | None) -> list[Check]:
    """Look at the server; that it cannot be reached is a finding too."""
    try:
        with connect() as server:
            evidence = look(server, environment)
    except VruError as error:
        return [laptop.connection(error.message, error.fix)]
    return [ok("connection"), *examine(SERVER, evidence)]


def look(server: Server, environment: Environment | None) -> Evidence:
    """Run the probes on the server.

    Raises:
        ConnectionFailedError: the connection broke, or sudo is refused.
    """
    script = resources.files("vru.deploy.doctor").joinpath("probes.sh").read_bytes()
    before = time.time()
    # The script looks at the clock somewhere between: what it costs shows up as a second or two of skew.
    completed = server.run(["sh", "-s", "--", ROOT], stdin=script, check=False)
    evidence = Evidence.parse(completed.stdout, environment)
    if "clock" not in evidence.seen:
        return evidence
    skew = evidence.number("clock") - (before + time.time()) / 2
    return Evidence.parse(completed.stdout, environment, clock_skew=str(skew))
