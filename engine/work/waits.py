"""Long waits in which somebody is given signs of life.

async with beside(work()) as task:
    while not await soon(task):
        yield ""
use(task.result())
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

PROOF_OF_LIFE_S = 3.0
T = TypeVar("T")


@asynccontextmanager
async def beside(awaited: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """What is awaited, as a task for as long as the context is open; leaving ends it."""
    task = asyncio.create_task(awaited)
    try:
        yield task
    finally:
        if task.cancel():
            # That only asks: it may hold a turn, which is given back before this is left.
            await asyncio.wait({task})


async def soon(task: asyncio.Task[Any]) -> bool:
    """Wait for a task as long as may pass without a sign of life; whether it is done."""
    return bool((await asyncio.wait({task}, timeout=PROOF_OF_LIFE_S))[0])
