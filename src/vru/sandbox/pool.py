"""The children of one service: started once, used for file after file, replaced after many and after any failure."""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from vru.sandbox import wire
from vru.sandbox.errors import FileUnreadableError, SandboxError
from vru.sandbox.limits import Limits
from vru.sandbox.process import Child
from vru.sandbox.shared import Picture, SharedMemory

T = TypeVar("T")
log = logging.getLogger("vru.sandbox")
_DEFAULT = Limits()
_STARTERS = 2


class Sandbox:
    """Reads files in children. Every method may be called from any thread.

    Files that wait for a child take no thread of ``read``'s caller, which does not block the event loop.
    """

    def __init__(
        self,
        modules: Sequence[str],
        *,
        children: int = 2,
        spare: int | None = None,
        files_per_child: int = 200,
        niceness: int = 10,
    ) -> None:
        """Nothing is started before ``start`` or the first file.

        Args:
            modules: what children import before they lock themselves in; only functions of these can be called.
            children: how many files are read at once.
            spare: how many children wait for the next file, once they were needed; all of them if it is not said.
            files_per_child: after so many a child is replaced.
            niceness: how much children give way to the service.
        """
        self._modules = tuple(modules)
        self._files_per_child = files_per_child
        self._niceness = niceness
        self._spare = children if spare is None else spare
        self._threads = ThreadPoolExecutor(children, thread_name_prefix="sandbox")
        # A child ends with the thread that started it: these stay.
        self._starters = ThreadPoolExecutor(min(children, _STARTERS), thread_name_prefix="sandbox start")
        self._turns = threading.BoundedSemaphore(children)
        self._lock = threading.Lock()
        self._idle: deque[Child] = deque()
        self._all: set[Child] = set()
        self._closed = False

    async def start(self) -> dict[str, str]:
        """Start the spare children. Returns which barriers the kernel does not give, and why; empty if all stand.

        Raises:
            SandboxError: a child does not start.
        """
        loop = asyncio.get_running_loop()
        started = [loop.run_in_executor(self._starters, self._started) for _ in range(self._spare)]
        children = [await child for child in started]
        for child in children:
            self._keep(child)
        return {name: why for child in children for name, why in child.missing.items()}

    def warm(self) -> None:
        """Start the spare children, and do not wait for them. One that does not start is told in the log."""
        for _ in range(self._spare):
            self._starters.submit(self._spared)

    def _spared(self) -> None:
        try:
            self._keep(self._started())
        except SandboxError as error:
            log.error("%s", error)  # noqa: TRY400 - the file that needs it says so again

    def close(self) -> None:
        """Kill every child, and forget the files that wait."""
        with self._lock:
            self._closed = True
            idle = tuple(self._idle)
            self._idle.clear()
            for child in self._all:
                child.kill()
        # A thread that waits for a child finds it dead, and forgets it.
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._starters.shutdown(wait=False, cancel_futures=True)
        for child in idle:
            self._forget(child)

    async def read(
        self, function: str, file: Path | None, returns: type[T], *, limits: Limits = _DEFAULT, **arguments: Any
    ) -> T:
        """As ``call``, outside of the event loop. If the caller is cancelled the child is killed at once."""
        call = _Call(wire.Job(function, arguments, file is not None), file, limits)
        future = self._threads.submit(self._do, call, returns)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            call.cancel()
            raise

    def call(
        self, function: str, file: Path | None, returns: type[T], *, limits: Limits = _DEFAULT, **arguments: Any
    ) -> T:
        """What ``function``, like ``"package.module:name"``, returns for an open file and ``arguments``.

        Its first argument is a path whose ``open`` gives the file; the others are plain data, as is its value, which
        is checked to be of the type ``returns``.

        Raises:
            FileRefusedError: the function raised a ``VruError``.
            FileUnreadableError: it failed in another way, or went over ``limits``.
            SandboxError: no child starts.
            OSError: the file cannot be opened.
        """
        return self._do(_Call(wire.Job(function, arguments, file is not None), file, limits), returns)

    def stream(
        self,
        function: str,
        file: Path | int,
        returns: type[T],
        *,
        limits: Limits = _DEFAULT,
        slots: int = 4,
        **arguments: Any,
    ) -> Generator[tuple[T, Picture], None, None]:
        """What ``function`` yields for an open file and ``arguments``: facts, checked to be ``returns``, and pictures.

        Pictures (uint8, HxWx3) are read-only. The child works ahead of the caller, who may keep them: ``slots`` lie in
        memory that both share, if ``limits.shared_bytes`` are enough for so many; what is kept beyond is copied.
        Close it, or read it to its end. Raises as ``call`` does.
        """
        descriptor = os.dup(file) if isinstance(file, int) else os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            memory = SharedMemory(limits.shared_bytes)
            try:
                job = wire.Job(function, arguments, True, limits.shared_bytes, slots)
                with self._child() as child, closing(child.stream(job, descriptor, memory, limits)) as pictures:
                    for value, picture in pictures:
                        yield _decoded(value, returns), picture
            finally:
                memory.close()
        finally:
            os.close(descriptor)

    def _do(self, call: "_Call", returns: type[T]) -> T:
        descriptor = None if call.file is None else os.open(call.file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with self._child() as child:
                try:
                    call.begin(child)
                    return _decoded(child.call(call.job, descriptor, call.limits), returns)
                finally:
                    call.end()
        finally:
            if descriptor is not None:
                os.close(descriptor)

    @contextmanager
    def _child(self) -> Iterator[Child]:
        with self._turns:
            child = self._taken()
            try:
                yield child
            finally:
                self._give_back(child)

    def _taken(self) -> Child:
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                try:
                    return self._starters.submit(self._started).result()
                except RuntimeError as error:
                    raise SandboxError("The sandbox is closed.") from error
            if child.usable:
                return child
            self._forget(child)

    def _started(self) -> Child:
        child = Child(self._modules, self._niceness)
        for name, why in child.missing.items():
            log.warning("the sandbox lacks a barrier: %s: %s", name, why)
        with self._lock:
            self._all.add(child)
            if self._closed:
                child.kill()
        return child

    def _give_back(self, child: Child) -> None:
        if self._keep(child):
            return
        with self._lock:
            wanted = not self._closed and len(self._idle) < self._spare
            if wanted:
                # So that the next file does not wait for the imports.
                self._starters.submit(self._spared)

    def _keep(self, child: Child) -> bool:
        """Let it wait for the next file, or forget it."""
        with self._lock:
            room = len(self._idle) < self._spare and not self._closed
            if room and child.usable and child.files < self._files_per_child:
                self._idle.append(child)
                return True
        self._forget(child)
        return False

    def _forget(self, child: Child) -> None:
        with self._lock:
            self._all.discard(child)
        child.close()


def _decoded(value: msgspec.Raw, returns: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(value, type=returns)
    except msgspec.MsgspecError as error:
        raise FileUnreadableError("The file cannot be read: its reader's facts are garbled.") from error


class _Call:
    """One file's reading, which its caller may give up."""

    def __init__(self, job: wire.Job, file: Path | None, limits: Limits) -> None:
        self.job, self.file, self.limits = job, file, limits
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._cancelled = False

    def begin(self, child: Child) -> None:
        """``child`` reads it from now on."""
        with self._lock:
            self._child = child
            if self._cancelled:
                child.kill()

    def end(self) -> None:
        """No child reads it any more."""
        with self._lock:
            self._child = None

    def cancel(self) -> None:
        """Kill the child that reads it."""
        with self._lock:
            self._cancelled = True
            if self._child is not None:
                self._child.kill()
