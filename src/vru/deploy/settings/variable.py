"""What a variable of ``.env.production`` is: its name, what it is for, who sets it, and what it may hold."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Who sets a variable."""

    OPERATOR = "operator"  # in .env.production
    CONTAINER = "container"  # fixed by docker-compose.production.yml inside the containers; `vru local` sets its own
    GENERATED = "generated"  # computed by vru for the server's .env


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable. ``check`` raises ValueError, with what is allowed, for a value that cannot be."""

    name: str
    about: str
    default: str = ""
    required: bool = False
    secret: bool = False
    scope: Scope = Scope.OPERATOR
    check: Callable[[str], object] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Variables that belong together, under one heading."""

    title: str
    variables: tuple[Variable, ...]
