"""The end of a process, as the streams that would never end by themselves need to know it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Ending:
    """Whether this process was told to stop. Requests that end by themselves need not care."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def begin(self) -> None:
        """The process was told to stop. Call it in the event loop."""
        self._event.set()

    async def cut(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """Hand on what ``items`` yields, until its end or the process's, whichever comes first."""
        ended = asyncio.ensure_future(self._event.wait())
        try:
            while not self._event.is_set():
                coming = asyncio.ensure_future(anext(items))
                try:
                    await asyncio.wait((coming, ended), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not coming.done():
                        coming.cancel()
                        with suppress(asyncio.CancelledError, StopAsyncIteration):
                            await coming
                if coming.cancelled():
                    return
                try:
                    item = coming.result()
                except StopAsyncIteration:
                    return
                yield item
        finally:
            ended.cancel()
