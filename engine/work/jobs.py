"""Work behind answers: one owner for the tasks of a kind, by the id of what they work on."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger()


class Jobs:
    """Own background tasks; at most one for each id.

    The coroutines write their own failures down; one that breaks is logged here, never lost.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, ident: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._logged(ident, work))
        self._tasks[ident] = task
        task.add_done_callback(lambda _: self._tasks.pop(ident, None))

    def get(self, ident: str) -> asyncio.Task[None] | None:
        return self._tasks.get(ident)

    def cancel(self, ident: str) -> None:
        """Stop working on what is being deleted."""
        if task := self._tasks.get(ident):
            task.cancel()

    async def close(self) -> None:
        """Stop all; what is in the middle is taken up at the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    async def _logged(ident: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("job_broke", id=ident)
