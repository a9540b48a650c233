"""Parts of a file on request (RFC 9110, section 14)."""

import re

from fastapi import Request

from vru.service.errors import RangeNotSatisfiableError

_PART = re.compile(r"\s*(\d*)-(\d*)\s*", re.ASCII)
# More digits than any size has.
_DIGITS = 18


def check_range(request: Request, size: int) -> None:
    """Take a ``Range`` that is none out of the request, so that the whole file is sent, as the standard asks.

    Raises:
        RangeNotSatisfiableError: it is one, but no part of it lies inside of a file of ``size`` bytes.
    """
    text = request.headers.get("range")
    if text is None:
        return
    unit, _, listed = text.partition("=")
    parts = [_PART.fullmatch(part) for part in listed.split(",")]
    ends = [(part[1], part[2]) for part in parts if part and len(part[0]) <= 2 * _DIGITS]
    valid = len(ends) == len(parts) and all(
        (first or last) and not (first and last and int(first) > int(last)) for first, last in ends
    )
    if unit.strip().lower() != "bytes" or not valid:
        headers = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
        request.scope["headers"] = headers
        return
    if not any(int(first) < size if first else int(last) > 0 for first, last in ends):
        raise RangeNotSatisfiableError(size)
