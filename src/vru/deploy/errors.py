"""What can go wrong between the laptop and the server."""

from vru.domain import VruError


class ConnectionFailedError(VruError):
    """The server cannot be reached, or it does not let us in."""


class RemoteError(VruError):
    """A command on the server failed."""
