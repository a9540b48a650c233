"""JSON objects read strictly into frozen dataclasses, and written from them.

An unknown field, one that is missing, or one of the wrong type is one clear :class:`WireError` that names it. A field
with a default may be missing. Standard library only, Python 3.10.
"""

from __future__ import annotations

import base64
import binascii
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class WireError(ValueError):
    """A document is not what it must be; the text names the field."""


def read(kind: type[T], document: object) -> T:
    """Make a dataclass of a JSON object.

    Raises:
        WireError: a field is unknown, missing, or not what it must be.
    """
    return cast(T, _read(kind, document, ""))


def write(value: Any) -> Any:
    """The JSON of a dataclass: objects, lists, texts, numbers. A field that is None by default is left out."""
    if is_dataclass(value):
        found = {}
        for one in fields(value):
            content = getattr(value, one.name)
            if content is None and one.default is None:
                continue
            found[one.name] = f"{content:04o}" if one.metadata.get("octal") else write(content)
        return found
    if isinstance(value, Mapping):
        return {str(name): write(content) for name, content in value.items()}
    if isinstance(value, (tuple, list)):
        return [write(one) for one in value]
    if isinstance(value, frozenset):
        return sorted(write(one) for one in value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


@lru_cache(maxsize=None)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(hint: Any, value: object, where: str) -> Any:
    if is_dataclass(hint):
        return _read_object(cast(type, hint), value, where)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _read(next(one for one in arguments if one is not type(None)), value, where)
    if origin is Literal:
        if value not in arguments:
            raise WireError(f"{where} is {value!r}, not one of {', '.join(map(repr, arguments))}")
        return value
    if origin in (tuple, frozenset):
        return _read_list(origin, arguments, value, where)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise WireError(f"{where} is no object")
        key, content = arguments
        return {_read_key(key, name, where): _read(content, one, f"{where}.{name}") for name, one in value.items()}
    return _read_plain(hint, value, where)


def _read_object(kind: type, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise WireError(f"{where or 'the document'} is no object")
    prefix = f"{where}." if where else ""
    hints, known = _hints(kind), {one.name: one for one in fields(kind)}
    unknown = sorted(value.keys() - known.keys())
    if unknown:
        raise WireError(f"{prefix}{unknown[0]} is not known")
    found = {}
    for name, one in known.items():
        if name in value:
            given = _octal(value[name], f"{prefix}{name}") if one.metadata.get("octal") else value[name]
            found[name] = _read(hints[name], given, f"{prefix}{name}")
        elif one.default is MISSING and one.default_factory is MISSING:
            raise WireError(f"{prefix}{name} is missing")
    try:
        return kind(**found)
    except WireError as error:
        raise WireError(f"{where}: {error}" if where else str(error)) from error


def _read_list(origin: Any, arguments: tuple[Any, ...], value: object, where: str) -> Any:
    if not isinstance(value, list):
        raise WireError(f"{where} is no list")
    if origin is frozenset or arguments[-1] is ...:
        return origin(_read(arguments[0], one, f"{where}[{number}]") for number, one in enumerate(value))
    if len(value) != len(arguments):
        raise WireError(f"{where} has {len(value)} entries, not {len(arguments)}")
    return tuple(
        _read(one, given, f"{where}[{n}]") for n, (one, given) in enumerate(zip(arguments, value, strict=True))
    )


def _read_key(kind: Any, name: str, where: str) -> Any:
    if kind is int:
        if not name.isdecimal():
            raise WireError(f"{where}: {name!r} is no whole number")
        return int(name)
    return name


_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def _read_plain(hint: Any, value: object, where: str) -> Any:
    if hint is Any:
        return value
    if hint is bytes:
        try:
            return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
        except (binascii.Error, ValueError) as error:
            raise WireError(f"{where} is no base64") from error
    if hint is float and type(value) is int:
        return float(value)
    # A bool is an int in Python, but not on the wire.
    if type(value) is not hint:
        raise WireError(f"{where} is {value!r}: no {_NAMES[hint]}")
    return value


def _octal(value: object, where: str) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"[0-7]{1,4}", value):
        raise WireError(f"{where} is {value!r}: no mode")
    return int(value, 8)
