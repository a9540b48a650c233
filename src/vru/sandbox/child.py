"""The program of a child: ``python -m vru.sandbox.child CHANNEL PARENT NICE MODULE...``. Only ``pool`` starts it."""

import importlib
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec

from vru.domain import VruError
from vru.sandbox import kernel, wire
from vru.sandbox.files import open_file

if TYPE_CHECKING:
    from vru.sandbox.shared import Picture

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
        while (order := _next(line)) is not None:
            line.sendall(_do(line, *order, set(modules)))


def _next(line: socket.socket) -> tuple[wire.Job, list[int]] | None:
    """The next job and the descriptors that come along; None at the end."""
    while (body := wire.receive(line, wire.LARGEST_JOB)) is not None:
        order = wire.decode_order(body)
        if isinstance(order, wire.Job):
            wanted = order.with_file + (order.shared_bytes > 0)
            return order, socket.recv_fds(line, 1, wanted)[1] if wanted else []
        # Else it is about a stream that has ended.
    return None


def _do(line: socket.socket, job: wire.Job, descriptors: list[int], modules: set[str]) -> bytes:
    """The last answer, encoded."""
    try:
        function = _function(job.function, modules)
        files = (open_file(descriptors[0]),) if job.with_file else ()
        value = None
        if job.shared_bytes:
            _lay(line, function(*files, **job.arguments), descriptors[-1], job)
        else:
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
        for descriptor in descriptors:
            os.close(descriptor)


def _lay(line: socket.socket, pictures: Iterator[tuple[Any, "Picture"]], descriptor: int, job: wire.Job) -> None:
    """Lay pictures into the shared memory, one after the other, until there is none or no more are wanted."""
    # Whoever makes pictures has imported it: children that make none do without numpy.
    from vru.sandbox.shared import Slots, mapped

    slots = Slots(mapped(descriptor, job.shared_bytes), job.slots)
    with closing(pictures):  # type: ignore[type-var]
        for value, picture in pictures:
            while not slots.has_room():
                body = wire.receive(line, wire.LARGEST_JOB)
                order = None if body is None else wire.decode_order(body)
                if not isinstance(order, wire.Free):
                    return
                slots.free(order.places)
            place = slots.lay(picture)
            height, width = picture.shape[:2]
            encoded = msgspec.Raw(msgspec.msgpack.encode(value))
            line.sendall(wire.encode(wire.Laid(encoded, place, height, width, slots.count)))


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
