"""What can go wrong between the laptop and the server."""

from vru.domain import VruError


class ConnectionFailedError(VruError):
    """The server cannot be reached, or it does not let us in."""


class RemoteError(VruError):
    """A command on the server failed."""


class DeploymentFailedError(VruError):
    """The change did not succeed on the server. ``logs`` are the last lines of the container that failed."""

    def __init__(self, message: str, fix: str, logs: tuple[str, ...]) -> None:
        super().__init__(message, fix)
        self.logs = logs
