"""What a child gives up for good, with nothing but system calls: no library, no privilege.

A seccomp filter lets through the system calls that computing needs, and refuses all others: no socket, no program, no
process, no file that is written. Once everything is imported, a second filter refuses opening any file at all.
Linux, ``Documentation/userspace-api/seccomp_filter.rst``; numbers of x86_64 and of the generic table (arm64).
"""

import ctypes
import errno
import fcntl
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SECCOMP_SET_MODE_FILTER, _FOR_ALL_THREADS = 1, 1
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
# Offsets in struct seccomp_data: the number, the architecture, and the low half of each argument.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_CLONE_THREAD = 0x10000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MOST_FILES = 64
# Others make the kernel send signals to another process.
_FCNTL = (fcntl.F_DUPFD, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_DUPFD_CLOEXEC)
# From here on all architectures have the same numbers. The C library takes an older call if told that one is unknown.
_RECENT = 424
_X32 = 0x40000000

# name:number on x86_64:number on arm64
_ALLOWED = """
    read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 lseek:8:62 close:3:57 fstat:5:80
    stat:4:- lstat:6:- newfstatat:262:79 statx:332:291 poll:7:- ppoll:271:73 select:23:- pselect6:270:72 mmap:9:222
    mprotect:10:226 munmap:11:215 mremap:25:216 madvise:28:233 brk:12:214 msync:26:227 mincore:27:232
    rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136 rt_sigtimedwait:128:137
    sigaltstack:131:132 restart_syscall:219:128 access:21:- faccessat:269:48 faccessat2:439:439 readlink:89:-
    readlinkat:267:78 getdents64:217:61 getcwd:79:17 dup:32:23 dup2:33:- dup3:292:24 pipe2:293:59
    fadvise64:221:223 futex:202:98 set_robust_list:273:99 get_robust_list:274:100 rseq:334:293 sched_yield:24:124
    sched_getaffinity:204:123 sched_getparam:143:121 sched_getscheduler:145:120 membarrier:324:283
    set_tid_address:218:96 arch_prctl:158:- getcpu:309:168 getpid:39:172 getppid:110:173 gettid:186:178
    getuid:102:174 geteuid:107:175 getgid:104:176 getegid:108:177 getpgrp:111:- clock_gettime:228:113
    clock_getres:229:114 clock_nanosleep:230:115 nanosleep:35:101 gettimeofday:96:169 time:201:- times:100:153
    getrusage:98:165 sysinfo:99:179 uname:63:160 getrandom:318:278 getrlimit:97:- recvmsg:47:212 recvfrom:45:207
    sendmsg:46:211 sendto:44:206 shutdown:48:210 exit:60:93 exit_group:231:94
"""
# Let through with certain arguments only.
_CONDITIONAL = {
    "clone": (56, 220),
    "tgkill": (234, 131),
    "openat": (257, 56),
    "open": (2, None),
    "prlimit64": (302, 261),
    "seccomp": (317, 277),
    "fcntl": (72, 25),
}
# machine: (position in the tables, AUDIT_ARCH, number of seccomp)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

Instruction = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class BarrierError(OSError):
    """The kernel does not give a barrier."""


def give_up(parent: int) -> dict[str, str]:
    """Give up all that importing does not need. Call it while there is one thread.

    Returns:
        What the kernel does not give, by name, and why; empty if all barriers stand.
    """
    for limit, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, _MOST_FILES)):
        resource.setrlimit(limit, (most, most))
    missing: dict[str, str] = {}
    # Where memory runs out, this process goes before the service.
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError as error:
        missing["first_to_go"] = str(error.strerror)
    for name, option, value in (
        ("dies_with_its_service", _PR_SET_PDEATHSIG, int(signal.SIGKILL)),
        ("no_new_privileges", _PR_SET_NO_NEW_PRIVS, 1),
    ):
        if _libc().prctl(option, value, 0, 0, 0):
            missing[name] = os.strerror(ctypes.get_errno())
    if os.getppid() != parent:
        raise SystemExit(1)
    try:
        _install(list(_computing_and_reading()))
    except BarrierError as error:
        missing["system_calls"] = str(error)
    return missing


def give_up_opening() -> None:
    """Give up opening files, and being told of more filters. Only what is open already can be read from then on.

    Raises:
        BarrierError: the kernel does not let.
    """
    _install(list(_nothing_opened()))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _machine() -> tuple[int, int]:
    name = platform.machine()
    if name not in _MACHINES:
        raise BarrierError(f"no table of system calls for {name}")
    return _MACHINES[name]


def _conditional(name: str) -> int | None:
    return _CONDITIONAL[name][_machine()[0]]


def _head() -> Iterator[Instruction]:
    yield (_LOAD, 0, 0, _ARCHITECTURE)
    yield (_EQUAL, 1, 0, _machine()[1])
    yield (_RETURN, 0, 0, _KILL_PROCESS)
    yield (_LOAD, 0, 0, _NUMBER)
    yield (_AT_LEAST, 0, 1, _X32)
    yield (_RETURN, 0, 0, _KILL_PROCESS)


def _case(name: str, *body: Instruction) -> Iterator[Instruction]:
    """``body`` for one system call, which must end in a return; the next case for all others."""
    number = _conditional(name)
    if number is not None:
        yield (_EQUAL, 0, len(body), number)
        yield from body


def _low(argument: int) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)


def _high(argument: int) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument + 4)


def _computing_and_reading() -> Iterator[Instruction]:
    place, _ = _machine()
    allow, refuse = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    yield from _head()
    for entry in _ALLOWED.split():
        number = entry.split(":")[1 + place]
        if number != "-":
            yield (_EQUAL, 0, 1, int(number))
            yield allow
    yield from _case("seccomp", allow)
    yield from _case("clone", _low(0), (_ANY_BIT, 0, 1, _CLONE_THREAD), allow, refuse)
    yield from _case("tgkill", _low(0), (_EQUAL, 0, 1, os.getpid()), allow, refuse)
    yield from _case("open", _low(1), (_ANY_BIT, 1, 0, _WRITING), allow, refuse)
    yield from _case("openat", _low(2), (_ANY_BIT, 1, 0, _WRITING), allow, refuse)
    commands = [(_EQUAL, len(_FCNTL) - at, 0, command) for at, command in enumerate(_FCNTL)]
    yield from _case("fcntl", _low(1), *commands, refuse, allow)
    # Limits may be read, not set: the address of new ones must be 0.
    yield from _case("prlimit64", _low(2), (_EQUAL, 0, 3, 0), _high(2), (_EQUAL, 0, 1, 0), allow, refuse)
    yield (_AT_LEAST, 0, 1, _RECENT)
    yield (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
    yield refuse


def _nothing_opened() -> Iterator[Instruction]:
    yield from _head()
    for name in ("open", "openat", "seccomp"):
        yield from _case(name, (_RETURN, 0, 0, _ERRNO | errno.EACCES))
    yield (_RETURN, 0, 0, _ALLOW)


def _install(program: list[Instruction]) -> None:
    instructions = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    filter_ = _Program(len(program), instructions)
    number = _conditional("seccomp")
    failed = _libc().syscall(number, _SECCOMP_SET_MODE_FILTER, _FOR_ALL_THREADS, ctypes.byref(filter_))
    if failed:
        raise BarrierError(os.strerror(ctypes.get_errno()) if failed < 0 else "a thread does not follow")
