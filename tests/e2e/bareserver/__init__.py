"""A bare Debian 13 server in a container: what the end-to-end tests deploy to."""

from .server import BareServer, ServerError, docker_answers

__all__ = ["BareServer", "ServerError", "docker_answers"]
