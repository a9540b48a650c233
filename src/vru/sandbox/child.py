"""The program of a child: ``python -m vru.sandbox.child CHANNEL PARENT NICE MODULE...``. Only ``pool`` starts it."""

import importlib
import os
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from vru.domain import VruError
from vru.sandbox import kernel, wire
from vru.sandbox.files import open_file

# Text in these is read now and then. Later on no module can be imported any more.
_ENCODINGS = ("utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "latin_1", "ascii", "cp1252", "idna")
_UNPROCESSABLE = 422


def main(argv: Sequence[str]) -> None:
    """Say that it is ready, then do one job after the other until the channel ends."""
    channel, parent, niceness, *modules = argv
    os.nice(int(niceness))
    with socket.socket(fileno=int(channel)) as line:
        missing = kernel.give_up(int(parent))
        for name in (*(f"encodings.{encoding}" for encoding in _ENCODINGS), *modules):
            importlib.import_module(name)
        if "system_calls" not in missing:
            kernel.give_up_opening()
        line.sendall(wire.encode(wire.Ready(missing)))
        while (job := _next(line)) is not None:
            line.sendall(_do(*job, set(modules)))


def _next(line: socket.socket) -> tuple[wire.Job, int | None] | None:
    body = wire.receive(line, wire.LARGEST_JOB)
    if body is None:
        return None
    job = wire.decode(body, wire.Job)
    if not job.with_file:
        return job, None
    _, descriptors, _, _ = socket.recv_fds(line, 1, 1)
    return job, descriptors[0]


def _do(job: wire.Job, descriptor: int | None, modules: set[str]) -> bytes:
    """The answer, encoded."""
    try:
        function = _function(job.function, modules)
        files = () if descriptor is None else (open_file(descriptor),)
        value = function(*files, **job.arguments)
        return wire.encode(wire.Value(msgspec.Raw(msgspec.msgpack.encode(value))))
    except VruError as error:
        if _out_of_memory(error):
            return _failed(error)
        status = getattr(error, "status", _UNPROCESSABLE)
        return wire.encode(wire.Refused(wire.text(error.message), wire.text(error.fix), int(status)))
    except BaseException as error:  # noqa: BLE001 - the boundary of the process: the parent says what it means
        return _failed(error)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _function(path: str, modules: set[str]) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    if module not in modules:
        raise LookupError(f"the sandbox does not know {module}")
    function: Callable[..., Any] = getattr(sys.modules[module], name)
    return function


def _out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or "insufficient memory" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def _failed(error: BaseException) -> bytes:
    trace = "".join(traceback.format_exception(error))[-4000:]
    return wire.encode(wire.Failed(type(error).__name__, _out_of_memory(error), wire.text(trace)))


if __name__ == "__main__":
    main(sys.argv[1:])
