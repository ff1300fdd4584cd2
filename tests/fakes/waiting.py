"""Waiting for what no event tells: looked for at a steady pace, and not for ever."""

import asyncio
from collections.abc import Callable

PACE_S = 0.005


async def until(condition: Callable[[], object], patience_s: float = 20.0) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it did not.
    """
    async with asyncio.timeout(patience_s):
        while not condition():
            await asyncio.sleep(PACE_S)
