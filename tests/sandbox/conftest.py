"""A real sandbox whose children run whatever a test wants: ``timeit`` executes the statement that it is given."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import pytest

from vru.sandbox.errors import FileRefusedError
from vru.sandbox.limits import Limits
from vru.sandbox.pool import Sandbox

MODULES = ("timeit", "json", "ctypes", "os", "socket", "resource", "fcntl", "threading", "mmap", "vru.domain", "numpy")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with two children that have started, with all barriers."""
    sandbox = Sandbox(MODULES, children=2, niceness=0)
    assert asyncio.run(sandbox.start()) == {}
    yield sandbox
    sandbox.close()


@pytest.fixture
def execute(sandbox: Sandbox) -> Callable[..., Awaitable[object]]:
    """``await execute(statements, limits=...)`` runs Python in a child; what they put into ``found`` comes back."""

    async def run(statements: str, limits: Limits | None = None) -> object:
        told = f"import json\nfrom vru.domain import VruError\nfound = None\n{statements}\n"
        told += "raise VruError(json.dumps(found))"
        with pytest.raises(FileRefusedError) as caught:
            await sandbox.read("timeit:timeit", None, float, stmt=told, number=1, limits=limits or Limits())
        return json.loads(caught.value.message)

    return run
