"""System integration, seen from the laptop: prove that new firewall rules let us in again."""

from collections.abc import Callable

from vru.deploy.console.reporter import Reporter
from vru.deploy.server import host_program
from vru.deploy.ssh.connection import ConnectionFailedError, Server


def confirm_firewall(connect_again: Callable[[], Server], report: Reporter) -> None:
    """Confirm the rules over a *new* connection: the old one would live on even if the door were shut.

    Raises:
        ConnectionFailedError: no new connection can be opened; the server takes the rules back by itself.
    """
    try:
        with connect_again() as fresh:
            host_program.run(fresh, "firewall-confirm")
    except ConnectionFailedError as error:
        raise ConnectionFailedError(
            f"The new firewall rules shut us out ({error.message}); the server takes them back by itself.",
            "Check VRU_SSH_PORT and the networks in VRU_MONITORING_ALLOW, then deploy again.",
        ) from error
    report.done("firewall confirmed", "over a new connection")
