"""The children of one service: started once, used for file after file, replaced after many and after any failure."""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from vru.sandbox import wire
from vru.sandbox.errors import FileUnreadableError
from vru.sandbox.limits import Limits
from vru.sandbox.process import Child

T = TypeVar("T")
log = logging.getLogger("vru.sandbox")
_DEFAULT = Limits()


class Sandbox:
    """Reads files in children. Every method may be called from any thread.

    Files that wait for a child take no thread of the caller's; ``read`` does not block the event loop.
    """

    def __init__(
        self, modules: Sequence[str], *, children: int = 2, files_per_child: int = 200, niceness: int = 10
    ) -> None:
        """Nothing is started before ``start`` or the first file.

        Args:
            modules: what children import before they lock themselves in; only functions of these can be called.
            children: how many files are read at once.
            files_per_child: after so many a child is replaced.
            niceness: how much children give way to the service.
        """
        self._modules = tuple(modules)
        self._files_per_child = files_per_child
        self._niceness = niceness
        self._children = children
        self._threads = ThreadPoolExecutor(children, thread_name_prefix="sandbox")
        self._lock = threading.Lock()
        self._idle: deque[Child] = deque()
        self._all: set[Child] = set()
        self._closed = False

    async def start(self) -> dict[str, str]:
        """Start all children. Returns which barriers the kernel does not give, and why; empty if all stand.

        Raises:
            SandboxError: a child does not start.
        """
        loop = asyncio.get_running_loop()
        started = [loop.run_in_executor(self._threads, self._started) for _ in range(self._children)]
        children = [await child for child in started]
        for child in children:
            self._give_back(child)
        return {name: why for child in children for name, why in child.missing.items()}

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
        for child in idle:
            self._forget(child)

    async def read(
        self, function: str, file: Path | None, returns: type[T], *, limits: Limits = _DEFAULT, **arguments: Any
    ) -> T:
        """What ``function``, like ``"package.module:name"``, returns for an open file and ``arguments``.

        Its first argument is a path whose ``open`` gives the file; the others are plain data, as is its value, which
        is checked to be of the type ``returns``. If the caller is cancelled the child is killed at once.

        Raises:
            FileRefusedError: the function raised a ``VruError``.
            FileUnreadableError: it failed in another way, or went over ``limits``.
            SandboxError: no child starts.
            OSError: the file cannot be opened.
        """
        call = _Call(wire.Job(function, arguments, file is not None), file, limits)
        future = self._threads.submit(self._do, call, returns)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            call.cancel()
            raise

    def _do(self, call: "_Call", returns: type[T]) -> T:
        try:
            return msgspec.msgpack.decode(self._answer(call), type=returns)
        except msgspec.MsgspecError as error:
            raise FileUnreadableError("The file cannot be read: its reader's facts are garbled.") from error

    def _answer(self, call: "_Call") -> msgspec.Raw:
        descriptor = None if call.file is None else os.open(call.file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            child = self._taken()
            try:
                call.begin(child)
                return child.call(call.job, descriptor, call.limits)
            finally:
                call.end()
                self._give_back(child)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _taken(self) -> Child:
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                return self._started()
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
        with self._lock:
            if child.usable and child.files < self._files_per_child and not self._closed:
                self._idle.append(child)
                return
        self._forget(child)
        with self._lock:
            if not self._closed:
                # So that the next file does not wait for the imports.
                self._threads.submit(lambda: self._give_back(self._started()))

    def _forget(self, child: Child) -> None:
        with self._lock:
            self._all.discard(child)
        child.close()


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
