"""Children are limited, killed and named, replaced, and given up."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from vru.sandbox.errors import FileRefusedError, FileUnreadableError, SandboxError
from vru.sandbox.limits import MEBIBYTE, Limits
from vru.sandbox.pool import Sandbox


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


async def _run(sandbox: Sandbox, statements: str, **limits: float) -> None:
    await sandbox.read("timeit:timeit", None, float, stmt=statements, number=1, limits=Limits(**limits))


async def test_children_are_used_again(sandbox):
    pids = [await sandbox.read("os:getpid", None, int) for _ in range(10)]
    assert len(set(pids)) <= 2
    assert os.getpid() not in pids


@pytest.mark.parametrize(
    ("statements", "limits", "said"),
    [
        ("while True: pass", {"wall_s": 0.5}, "more than 0.5 s"),
        ("while True: pass", {"cpu_s": 1.0}, "1 s of processor time"),
        ("bytearray(2 * 10**9)", {}, "more than 1024 MiB of memory"),
        ("import numpy; numpy.ones(300_000_000)", {"memory_bytes": 300 * MEBIBYTE}, "more than 300 MiB of memory"),
        ("kept = []\nwhile True: kept.append(bytearray(1000))", {"memory_bytes": 64 * MEBIBYTE}, "64 MiB of memory"),
        ("import ctypes; ctypes.string_at(0)", {}, "crashed on it (SIGSEGV)"),
        ("import os; os.abort()", {}, "crashed on it (SIGABRT)"),
        ("import os; os._exit(3)", {}, "exit code 3"),
        ("1 / 0", {}, "failed on it (ZeroDivisionError)"),
        ("raise SystemExit", {}, "failed on it (SystemExit)"),
        ("def deeper(): deeper()\ndeeper()", {}, "failed on it (RecursionError)"),
        ("int('9' * 5000)", {}, "failed on it (ValueError)"),
    ],
)
async def test_over_a_limit(sandbox, statements, limits, said):
    began = time.monotonic()
    with pytest.raises(FileUnreadableError) as caught:
        await _run(sandbox, statements, **limits)
    assert said in caught.value.message
    assert caught.value.fix
    assert time.monotonic() - began < 20
    assert await sandbox.read("os:getpid", None, int) != os.getpid()  # the next file is read


async def test_too_much_is_said(sandbox):
    with pytest.raises(FileUnreadableError, match="more than 1 MiB of facts"):
        await sandbox.read(
            "json:loads", None, list[int], s=json.dumps([0] * 2 * MEBIBYTE), limits=Limits(answer_bytes=MEBIBYTE)
        )


async def test_an_answer_of_another_type_is_not_believed(sandbox):
    with pytest.raises(FileUnreadableError, match="garbled"):
        await sandbox.read("os:getpid", None, str)


async def test_garbage_on_the_channel_is_not_believed(sandbox):
    """Who has taken a child over writes what he wants."""
    for garbage in (r"b'\xff\xff\xff\xff'", r"b'\0\0\0\5hello'", r"b'\0\0\0\1\xc1'"):
        statements = (
            "import os\nfor number in range(3, 64):\n"
            f"    try: os.write(number, {garbage})\n    except OSError: pass\nos._exit(0)"
        )
        with pytest.raises(FileUnreadableError):
            await _run(sandbox, statements)


async def test_what_the_function_says_is_told_as_it_is(sandbox):
    statements = "from vru.domain import VruError\nraise VruError('The file is \\ud800 wrong.', 'Make it right.')"
    with pytest.raises(FileRefusedError) as caught:
        await _run(sandbox, statements)
    assert caught.value.message == "The file is \\ud800 wrong."
    assert caught.value.fix == "Make it right."
    assert caught.value.status == 422


async def test_only_the_named_modules_are_called(sandbox):
    with pytest.raises(FileUnreadableError, match="LookupError"):
        await sandbox.read("subprocess:run", None, int)


async def test_the_event_loop_goes_on_meanwhile(sandbox):
    longest, before = 0.0, time.monotonic()
    busy = asyncio.ensure_future(_run(sandbox, "for _ in range(20_000_000): pass"))
    while not busy.done():
        await asyncio.sleep(0.005)
        longest, before = max(longest, time.monotonic() - before), time.monotonic()
    await busy
    assert longest < 0.5


async def test_a_cancelled_call_kills_its_child(sandbox):
    pid = await sandbox.read("os:getpid", None, int)
    calls = [asyncio.ensure_future(_run(sandbox, "while True: pass")) for _ in range(3)]  # one more than children
    await asyncio.sleep(0.3)
    for call in calls:
        call.cancel()
    assert all(
        isinstance(done, asyncio.CancelledError) for done in await asyncio.gather(*calls, return_exceptions=True)
    )
    for _ in range(200):
        if not _alive(pid):
            break
        await asyncio.sleep(0.05)
    assert not _alive(pid)
    assert await asyncio.wait_for(sandbox.read("os:getpid", None, int), 30)


async def test_a_child_is_replaced_after_many_files(monkeypatch):
    sandbox = Sandbox(["os"], children=1, files_per_child=3)
    try:
        pids = [await sandbox.read("os:getpid", None, int) for _ in range(7)]
    finally:
        sandbox.close()
    assert len(set(pids)) == 3
    assert not any(map(_alive, pids))


async def test_the_limit_of_processor_time_is_that_of_one_file(sandbox):
    """A child that has worked for long has no less time for the next one."""
    for _ in range(5):
        await _run(sandbox, "import time\nwhile time.process_time() % 1 < 0.9: pass", cpu_s=1.5)


async def test_children_end_with_their_service():
    sandbox = Sandbox(["os"], children=2)
    await sandbox.start()
    pid = await sandbox.read("os:getpid", None, int)
    sandbox.close()
    assert not _alive(pid)


def test_children_die_with_a_killed_service(tmp_path):
    import subprocess
    import sys

    program = (
        "import asyncio, os, signal\nfrom vru.sandbox.pool import Sandbox\n"
        "async def main():\n"
        "    sandbox = Sandbox(['os', 'timeit'], children=1)\n"
        "    print(await sandbox.read('os:getpid', None, int), flush=True)\n"
        "    asyncio.ensure_future(sandbox.read('timeit:timeit', None, float, stmt='while True: pass', number=1))\n"
        "    await asyncio.sleep(0.2)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    pid = int(done.stdout)
    end = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _alive(pid)


async def test_a_module_that_is_missing_is_an_error_of_the_sandbox():
    sandbox = Sandbox(["vru.no_such_module"], children=1)
    with pytest.raises(SandboxError, match="no_such_module"):
        await sandbox.start()
    sandbox.close()
