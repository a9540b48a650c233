"""Going back to a release that the server still has: nothing is built, nothing is sent."""

from typing import Any

from vru.deploy.console.reporter import Reporter
from vru.deploy.pipeline.phases import Target
from vru.deploy.remote import integration, orchestration
from vru.deploy.ssh.connection import ConnectionFailedError

_BEFORE_ORCHESTRATION = 4


def rollback(target: Target, release: str | None, report: Reporter, *, watch_s: float) -> dict[str, Any]:
    """Have the server go back to a release, and watch.

    Args:
        target: the server.
        release: its id, or the beginning of it; None for the one that was deployed before the live one.
        report: told of each step.
        watch_s: for so many seconds the newer containers stand by while the older ones are watched.

    Returns:
        ``release``, which is live now; ``changed``, the number of changes; ``message``, if there was nothing to do.

    Raises:
        DeploymentFailedError: there is no such release, its images are gone, or it did not become healthy.
        ConnectionFailedError: the connection broke. The change goes on without it.
    """
    arguments = ["rollback", "--json", "--watch", f"{watch_s:g}", *([release] if release else [])]
    with target.connect() as server:
        try:
            end = orchestration.watch(
                server,
                arguments,
                report,
                phase=_BEFORE_ORCHESTRATION,
                on_firewall=lambda: integration.confirm_firewall(target.connect, report),
            )
        except ConnectionFailedError as error:
            raise ConnectionFailedError(
                f"{error.message} The change goes on on the server.",
                "Run the same command again to watch it to its end.",
            ) from error
    return {"release": end.release, "changed": end.changed} | ({"message": end.message} if end.message else {})
