"""What a child cannot do, whoever has taken it over: each thing is really tried in a child."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sandbox.conftest import MODULES

# Raw system calls of x86_64 as well: who has taken a decoder over does not call Python's functions.
_ATTEMPTS = {
    "a socket of the internet": "import socket; socket.socket(socket.AF_INET)",
    "a socket of IPv6": "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "a local socket": "import socket; socket.socket(socket.AF_UNIX)",
    "a netlink socket": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "a program": "import os; os.execv('/bin/true', ['true'])",
    "a process": "import os; os.fork()",
    "its parent's environment": "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "its own environment's file": "open('/proc/self/environ', 'rb').read()",
    "a file of the system": "open('/etc/passwd').read()",
    "a new file": "open('/tmp/vru-sandbox-was-here', 'w')",
    "a file's end": "os.unlink('/tmp/vru-sandbox-target')",
    "a file's mode": "os.chmod('/tmp', 0o777)",
    "a new folder": "os.mkdir('/tmp/vru-sandbox-folder')",
    "a link": "os.symlink('/etc/passwd', '/tmp/vru-sandbox-link')",
    "its parent's death": "import signal; os.kill(os.getppid(), signal.SIGTERM)",
    "another thread's death": "system_call(234, os.getppid(), os.getppid(), 9)",
    "a signal to its parent through a file": "import fcntl; fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
    "more memory": "system_call(302, 0, 9, bytes([255] * 16), 0)",
    "more processor time": "system_call(160, 0, bytes([255] * 16))",
    "more memory, from an address whose low half is 0": "more_memory()",
    "its parent's memory": "system_call(310, os.getppid(), 0, 0, 0, 0, 0)",
    "to trace its parent": "system_call(101, 16, os.getppid(), 0, 0)",
    "a ring of system calls": "system_call(425, 8, ctypes.create_string_buffer(200))",
    "another namespace": "system_call(272, 0x10000000)",
    "a mount": "system_call(165, b'none', b'/tmp', b'tmpfs', 0, 0)",
    "a program of the kernel's": "system_call(321, 0, 0, 0)",
    "a key": "system_call(250, 0, -3, 0)",
    "another process's files": "system_call(434, os.getppid(), 0)",
    "to outlive its service": "system_call(157, 1, 0, 0, 0, 0)",
    "a file by its handle": "system_call(304, -100, 0, 0)",
    "shared memory of others": "system_call(29, 1, 4096, 0o1600)",
}
_PRELUDE = """
import ctypes, os
def system_call(*numbers):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*numbers) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def more_memory():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(ctypes.c_void_p(1 << 32), ctypes.c_size_t(4096), 3, 0x32, -1, ctypes.c_long(0))
    assert address == 1 << 32
    ctypes.memset(ctypes.c_void_p(address), 255, 16)
    system_call(302, 0, 9, ctypes.c_void_p(address), None)
"""
_REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS}


def _attempt(statement: str) -> str:
    return _PRELUDE + f"\ntry:\n    {statement}\nexcept OSError as error:\n    found = error.errno\n"


@pytest.mark.parametrize("what", _ATTEMPTS)
async def test_refused(execute, what):
    assert await execute(_attempt(_ATTEMPTS[what])) in _REFUSED


async def test_the_attempts_succeed_without_barriers():
    """Else the test above would show nothing."""
    harmless = (
        "a socket of the internet",
        "a local socket",
        "a process",
        "a file of the system",
        "its own environment's file",
    )
    for what in harmless:
        done = subprocess.run([sys.executable, "-c", _PRELUDE + _ATTEMPTS[what]], capture_output=True, text=True)
        assert done.returncode == 0, f"{what}: {done.stderr}"


async def test_the_environment_is_empty(execute, monkeypatch):
    monkeypatch.setenv("VRU_SECRET_KEY", "never to be seen")
    found = await execute("import os\nfound = dict(os.environ)")
    assert "VRU_SECRET_KEY" not in found
    of_memory = {"MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
    assert set(found) <= {"LANG", "LC_CTYPE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", *of_memory}


async def test_no_descriptor_of_the_service_comes_along(execute):
    with open("/etc/hostname") as secret:
        os.set_inheritable(secret.fileno(), True)
        found = await execute(
            "import os\nfound = []\n"
            "for number in range(64):\n"
            "    try: found.append(os.readlink(f'/proc/self/fd/{number}'))\n"
            "    except OSError: pass\n"
        )
    assert len(found) == 4, found  # in, out, error, and the channel
    assert not any("hostname" in name for name in found)


async def test_no_new_privileges_and_a_session_of_its_own(execute):
    found = await execute(
        "import os, ctypes\nfound = [os.getpid(), os.getpgrp(), ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)]"
    )
    assert found[0] == found[1]
    status = Path(f"/proc/{found[0]}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


async def test_threads_still_work(execute):
    """FFmpeg decodes in several."""
    statements = (
        "import threading\nnumbers = []\n"
        "threads = [threading.Thread(target=numbers.append, args=(n,)) for n in range(4)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\nfound = sorted(numbers)"
    )
    assert await execute(statements) == [0, 1, 2, 3]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to become another user")
def test_all_barriers_stand_for_a_user_without_privileges():
    """As in a container: uid 10001, no capability, no new privileges."""
    program = (
        "import asyncio, json\nfrom vru.sandbox.pool import Sandbox\n"
        "async def main():\n"
        f"    sandbox = Sandbox({MODULES!r}, children=1)\n"
        "    print(json.dumps([await sandbox.start(), await sandbox.read('os:getuid', None, int)]))\n"
        "    sandbox.close()\n"
        "asyncio.run(main())"
    )
    # One capability is left, so that Python can be read wherever it is installed. No barrier needs it.
    left = ("--bounding-set=-all,+dac_read_search", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    user = ("setpriv", "--reuid", "10001", "--regid", "10001", "--clear-groups", "--no-new-privs", *left)
    done = subprocess.run([*user, sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{}, 10001]


@pytest.mark.skipif(not shutil.which("setarch"), reason="needs setarch, to make the machine's name another")
def test_a_barrier_that_does_not_stand_is_told():
    """On a machine without a table of system calls: the log says so, and files are read all the same."""
    program = (
        "import asyncio, json, logging\nfrom vru.sandbox.pool import Sandbox\nlogging.basicConfig()\n"
        "async def main():\n"
        "    sandbox = Sandbox(['os'], children=1)\n"
        "    missing = await sandbox.start()\n"
        "    print(json.dumps([missing, await sandbox.read('os:getppid', None, int)]))\n"
        "    sandbox.close()\n"
        "asyncio.run(main())"
    )
    done = subprocess.run(["setarch", "i686", sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    missing, parent = json.loads(done.stdout)
    assert missing == {"system_calls": "no table of system calls for i686"}
    assert parent > 0
    assert "lacks a barrier: system_calls: no table of system calls for i686" in done.stderr
