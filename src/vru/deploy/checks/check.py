"""Findings, as :class:`~vru.host.wire.Check`, and what they come to."""

from collections.abc import Iterable

from vru.host.wire import Check


def ok(name: str, detail: str = "") -> Check:
    """It is as it should be."""
    return Check(name, "ok", detail)


def warning(name: str, detail: str, fix: str = "") -> Check:
    """It is not as it should be, but nothing has to stop for it."""
    return Check(name, "warning", detail, fix)


def problem(name: str, detail: str, fix: str = "") -> Check:
    """It is not as it must be."""
    return Check(name, "problem", detail, fix)


def unknown(name: str, detail: str) -> Check:
    """It could not be looked at."""
    return Check(name, "unknown", detail)


def problems(checks: Iterable[Check]) -> list[Check]:
    """Only those that stop a deployment."""
    return [check for check in checks if check.state == "problem"]
