"""One child process, as its parent sees it."""

import contextlib
import logging
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import msgspec

from vru.domain import VruError
from vru.sandbox import wire
from vru.sandbox.errors import FileRefusedError, FileUnreadableError, SandboxError
from vru.sandbox.limits import MEBIBYTE, Limits
from vru.sandbox.shared import Picture, SharedMemory

log = logging.getLogger("vru.sandbox")

# Nothing of the service's own environment. One thread a library, few heaps: each costs address space. Memory for
# pictures is kept for the next one: fetching each anew from the kernel takes a third of the time of decoding.
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 * MEBIBYTE),
    "MALLOC_TRIM_THRESHOLD_": str(128 * MEBIBYTE),
}
_START_S = 60.0
_LAST_WORDS_S = 5.0
_STOP_S = 2.0
_LARGEST_GREETING = 64 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_SHOWN_BYTES = 2000
_GARBLED = "its reader's answer is garbled"
_ENDED = (BrokenPipeError, ConnectionResetError, ProcessLookupError, FileNotFoundError)
# Statuses as which a child may have its refusal answered; 422 for any other.
_STATUSES = (404, 413, 422)


class Child:
    """A child that has imported ``modules`` and waits for files. One thread at a time may give it one.

    ``kill`` may be called from any thread.
    """

    def __init__(self, modules: Sequence[str], niceness: int) -> None:
        """Start it, and wait until it is ready.

        Raises:
            SandboxError: it does not start.
        """
        ours, theirs = socket.socketpair()
        errors, child_errors = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        command = [sys.executable, "-I", "-B", "-m", "vru.sandbox.child", str(theirs.fileno()), str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                [*command, str(niceness), *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=child_errors,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=_ENVIRONMENT,
                cwd="/",
            )
        except BaseException:
            ours.close()
            os.close(errors)
            raise
        finally:
            theirs.close()
            os.close(child_errors)
        self._line, self._errors, self._heard = ours, errors, wire.Receiver(ours)
        self._sane = True
        self.files = 0
        self.missing = self._greeting()
        self._idle_bytes = self._size_bytes()

    def _greeting(self) -> dict[str, str]:
        self._line.settimeout(_START_S)
        try:
            body = self._heard.next(_LARGEST_GREETING)
            if body is not None:
                return wire.decode(body, wire.Ready).missing
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LAST_WORDS_S)
            why = self._last_words() or "it ended"
        except (OSError, wire.TooLongError, msgspec.MsgspecError) as error:
            why = str(error) or type(error).__name__
        except BaseException:
            self.close()
            raise
        self.close()
        raise SandboxError(f"The sandbox's child does not start: {why}.", "See the service's log.")

    def _last_words(self) -> str:
        try:
            said = os.read(self._errors, 64 * 1024)
        except BlockingIOError:
            return ""
        return wire.text(said[-_SHOWN_BYTES:].decode(errors="replace").strip())

    @property
    def usable(self) -> bool:
        """Whether it may get another file: it lives, and nothing went wrong in it."""
        return self._sane and self._process.poll() is None

    def call(self, job: wire.Job, file: int | None, limits: Limits) -> msgspec.Raw:
        """Have one file read: the function's value, still encoded.

        Raises:
            FileRefusedError: the function says what is wrong with the file.
            FileUnreadableError: the function failed, or went over a limit; this child is of no use any more.
        """
        end = time.monotonic() + limits.wall_s
        self._begin(job, [] if file is None else [file], limits)
        reply = self._reply(limits, end)
        if isinstance(reply, wire.Value):
            return reply.value
        raise self._over(_GARBLED)

    def stream(
        self, job: wire.Job, file: int, memory: SharedMemory, limits: Limits
    ) -> Generator[tuple[msgspec.Raw, Picture], None, None]:
        """Have pictures made of one file: each with what the function says of it, still encoded.

        Closing it stops the child, or kills it if it does not stop soon. Raises as ``call`` does.
        """
        self._begin(job, [file, memory.descriptor], limits)
        at_work = False
        try:
            while True:
                if freed := memory.freed():
                    self._say(wire.Free(freed), limits)
                at_work = False
                reply = self._reply(limits, time.monotonic() + limits.wall_s)
                if not isinstance(reply, wire.Laid):
                    return
                at_work = True
                try:
                    picture = memory.look(reply.place, reply.height, reply.width, reply.slots)
                except ValueError:
                    raise self._over(_GARBLED) from None
                yield reply.value, picture
        finally:
            if at_work and self.usable:
                self._stop(limits)

    def _begin(self, job: wire.Job, descriptors: list[int], limits: Limits) -> None:
        self.files += 1
        try:
            self._limit(limits, job.shared_bytes)
            self._line.settimeout(limits.wall_s)
            self._line.sendall(wire.encode(job))
            if descriptors:
                socket.send_fds(self._line, [b"\0"], descriptors)
        except TimeoutError:
            raise self._over(_too_slow(limits)) from None
        except _ENDED:
            raise self._over(self._end_of_process(limits)) from None

    def _say(self, order: wire.Free | wire.Stop, limits: Limits) -> None:
        try:
            self._line.sendall(wire.encode(order))
        except _ENDED:
            raise self._over(self._end_of_process(limits)) from None

    def _reply(self, limits: Limits, end: float) -> wire.Value | wire.Laid:
        """The next thing that the child says, until ``end`` (monotonic seconds)."""
        try:
            self._line.settimeout(max(0.001, end - time.monotonic()))
            body = self._heard.next(limits.answer_bytes)
        except TimeoutError:
            raise self._over(_too_slow(limits)) from None
        except wire.TooLongError:
            raise self._over(f"what it holds is more than {limits.answer_bytes // MEBIBYTE} MiB of facts") from None
        except _ENDED:
            body = None  # it ended before, or in the middle
        if body is None:
            raise self._over(self._end_of_process(limits))
        return self._understood(body, limits)

    def _stop(self, limits: Limits) -> None:
        """Have it make no more pictures, and wait until it waits for the next file."""
        end = time.monotonic() + _STOP_S
        try:
            self._say(wire.Stop(), limits)
            while isinstance(self._reply(limits, end), wire.Laid):
                pass
        except VruError as error:
            log.info("a child did not stop: %s", error)

    def _limit(self, limits: Limits, shared_bytes: int) -> None:
        pid = self._process.pid
        seconds = math.ceil(self._cpu_s() + limits.cpu_s)
        for kind, most in (
            (resource.RLIMIT_AS, self._idle_bytes + limits.memory_bytes + shared_bytes),
            (resource.RLIMIT_CPU, max(1, seconds)),
        ):
            hard = resource.prlimit(pid, kind)[1]
            resource.prlimit(pid, kind, (most if hard < 0 else min(most, hard), hard))

    def _understood(self, body: bytes, limits: Limits) -> wire.Value | wire.Laid:
        try:
            reply = wire.decode_reply(body)
        except msgspec.MsgspecError:
            raise self._over(_GARBLED) from None
        match reply:
            case wire.Laid():
                return reply
            case wire.Value():
                # A parser that kept much of a file is replaced before it fills the memory.
                self._sane = self._size_bytes() < self._idle_bytes + limits.memory_bytes // 2
                return reply
            case wire.Refused(message, fix, status):
                raise FileRefusedError(message, fix, status if status in _STATUSES else _STATUSES[-1])
            case wire.Failed(_, True, _):
                raise self._over(_too_much_memory(limits))
            case wire.Failed(name, _, trace):
                raise self._over(f"its reader failed on it ({name})", trace)
        raise self._over(_GARBLED)

    def _over(self, why: str, trace: str = "") -> FileUnreadableError:
        self._sane = False
        self.kill()
        error = FileUnreadableError(
            f"The file cannot be read: {why}.",
            "Is it whole, and what it should be? Make it smaller, or export it again.",
        )
        # What people read does not say it all: a reader that fails is ours to mend.
        log.error("a file could not be read: %s %s", why, trace, extra={"pid": self._process.pid})
        return error

    def _end_of_process(self, limits: Limits) -> str:
        """Why the child has ended."""
        try:
            code = self._process.wait(_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            return "its reader hung up"
        if code == -signal.SIGXCPU:
            return f"reading it took more than {limits.cpu_s:g} s of processor time"
        if code == -signal.SIGKILL:
            return "its reader was killed; the machine's memory may be full"
        if code < 0:
            return f"its reader crashed on it ({signal.Signals(-code).name})"
        return f"its reader ended with exit code {code}"

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def _size_bytes(self) -> int:
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[0]) * _PAGE
        except (OSError, IndexError):  # it has just ended
            return 0

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._sane = False
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """End it, and forget it."""
        self.kill()
        self._process.wait()
        self._line.close()
        os.close(self._errors)


def _too_slow(limits: Limits) -> str:
    return f"reading it took more than {limits.wall_s:g} s"


def _too_much_memory(limits: Limits) -> str:
    return f"reading it takes more than {limits.memory_bytes // MEBIBYTE} MiB of memory"
