"""Analyses that are asked for now and fetched later: the work behind them.

A task that was running when the engine was killed runs again from its beginning: nobody
has seen any of its text.
"""

import asyncio
from dataclasses import asdict
from typing import Any

import structlog

from engine.errors import ApiError
from engine.store.analyze_tasks import AnalyzeTask
from engine.store.store import Store
from engine.work.analysis import Asked, Media, MediaSources
from engine.work.answers import Answers
from engine.work.intake import decoded
from engine.work.jobs import Jobs

log = structlog.get_logger()

# No caller holds a connection open for it, so it may be longer than a direct analysis.
MAX_DURATION_S = 2 * 3600.0


class AnalyzeWork:
    """Own what is done for the rows of ``analyze_tasks``."""

    def __init__(self, store: Store, sources: MediaSources, answers: Answers) -> None:
        self._library = store.library
        self._assets = store.assets
        self._tasks = store.analyze_tasks
        self._sources = sources
        self._answers = answers
        self._jobs = Jobs()

    async def open(self) -> None:
        """Take up what an earlier run left."""
        for task in await self._tasks.unfinished():
            await self._tasks.set_status(task.id, "queued")
            self._jobs.start(task.id, self._work(task.id))

    async def close(self) -> None:
        await self._jobs.close()

    async def start(self, asked: Asked) -> AnalyzeTask:
        """Begin an analysis that goes on after the answer.

        Raises:
            ApiError: its media cannot be taken.
        """
        if asked.source == "asset_id":
            await self._assets.get(asked.value)
        if asked.source == "base64_string":
            incoming = self._library.incoming()
            try:
                await incoming.write(await asyncio.to_thread(decoded, asked.value))
                task = await self._tasks.add(_kept(asked), incoming)
            finally:
                incoming.discard()
        else:
            task = await self._tasks.add(_kept(asked))
        self._jobs.start(task.id, self._work(task.id))
        return task

    async def delete(self, task: AnalyzeTask) -> None:
        """Forget a task that is not being processed."""
        self._jobs.cancel(task.id)
        await self._tasks.delete(task)

    async def _work(self, ident: str) -> None:
        task = await self._tasks.get(ident)
        try:
            await self._tasks.end(ident, result=await self._analyse(task))
            log.info("analyze_task_ready", task=ident)
        except ApiError as exc:
            log.info("analyze_task_failed", task=ident, code=exc.code)
            await self._tasks.end(ident, error=exc.body())
        except Exception:
            log.exception("analyze_task_broke", task=ident)
            await self._tasks.end(ident, error=ApiError("internal_error", "The engine failed.").body())
        await self._library.drop_unused([task.sha256])

    async def _analyse(self, task: AnalyzeTask) -> dict[str, Any]:
        asked = Asked(**task.asked)
        if task.sha256:
            return await self._run(task.id, asked, (self._library.path_of(task.sha256), None))
        await self._tasks.set_status(task.id, "pending")
        async with self._sources.lend(asked.source, asked.value) as lent:
            return await self._run(task.id, asked, lent)

    async def _run(self, ident: str, asked: Asked, media: Media) -> dict[str, Any]:
        async with self._answers.begin(asked, media, MAX_DURATION_S, patient=True) as run:
            await self._tasks.set_status(ident, "processing")
            data = "".join([fragment async for fragment in run.fragments()])
        return {
            "generation_id": run.generation_id,
            "data": data,
            "finish_reason": run.finish_reason,
            "usage": run.usage,
            **run.told,
        }


def _kept(asked: Asked) -> dict[str, Any]:
    """Return what is asked, without the media: those are kept as a file."""
    value = "" if asked.source == "base64_string" else asked.value
    return asdict(asked) | {"value": value, "stream": False}
