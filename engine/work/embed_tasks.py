"""Embeddings that are asked for now and fetched later: the work behind them, of both generations.

A task that was running when the engine was killed runs again from its beginning. Results
live for seven days, as the reference says.
"""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from engine.errors import ApiError
from engine.store.embed_tasks import EmbedTask
from engine.store.library import Incoming
from engine.store.rows import written
from engine.store.store import Store
from engine.work.embedder import Embedded, Embedder, MediaVectors
from engine.work.intake import MAX_EMBED_BASE64_BYTES, decoded
from engine.work.jobs import Jobs
from engine.work.media_query import MediaQuery, Source

log = structlog.get_logger()

_KEPT = timedelta(days=7)
_LONGEST_S = 4 * 3600.0


class EmbedWork:
    """Own what is done for the rows of ``embed_tasks``."""

    def __init__(self, store: Store, embedder: Embedder) -> None:
        self._library = store.library
        self._assets = store.assets
        self._tasks = store.embed_tasks
        self._embedder = embedder
        self._jobs = Jobs()

    async def open(self) -> None:
        """Forget what is too old, and take up what an earlier run left."""
        await self._tasks.forget_before(week_ago())
        for task in await self._tasks.processing():
            self._jobs.start(task.id, self._work(task.id))

    async def close(self) -> None:
        await self._jobs.close()

    async def start(self, generation: int, query: MediaQuery, upload: Incoming | None = None) -> EmbedTask:
        """Begin an embedding behind the answer.

        Args:
            upload: the file that is to be embedded, where it came along as one.

        Raises:
            ApiError: its media cannot be taken.
        """
        self._embedder.meaning.need(f"A task that embeds {_called(generation, query)}")
        if query.source.kind == "asset_id":
            await self._assets.get(query.source.value)
        if query.source.kind == "base64_string":
            incoming = self._library.incoming()
            try:
                await incoming.write(await asyncio.to_thread(decoded, query.source.value, MAX_EMBED_BASE64_BYTES))
                task = await self._tasks.add(generation, _kept(query), incoming)
            finally:
                incoming.discard()
        else:
            task = await self._tasks.add(generation, _kept(query), upload)
        self._jobs.start(task.id, self._work(task.id))
        return task

    async def _work(self, ident: str) -> None:
        task = await self._tasks.get(ident)
        assert task is not None
        try:
            self._embedder.meaning.need("The task")  # it may be taken up by an engine without weights
            made = await self._embed(query_of(task), task.sha256)
            await self._tasks.end(ident, result=asdict(made))
            log.info("embed_task_ready", task=ident)
        except ApiError as exc:
            log.info("embed_task_failed", task=ident, code=exc.code)
            await self._tasks.end(ident, error=exc.body())
        except Exception:
            log.exception("embed_task_broke", task=ident)
            await self._tasks.end(ident, error=ApiError("internal_error", "The engine failed.").body())
        await self._library.drop_unused([task.sha256])

    async def _embed(self, query: MediaQuery, sha256: str | None) -> MediaVectors:
        if sha256 is not None:
            path = self._library.path_of(sha256)
            return await self._embedder.media(path, None, query, _LONGEST_S)
        async with self._embedder.lend(query.source) as (path, kept):
            return await self._embedder.media(path, kept, query, _LONGEST_S)


def week_ago() -> str:
    """Return the instant before which tasks are forgotten."""
    return written(datetime.now(UTC) - _KEPT)


def query_of(task: EmbedTask) -> MediaQuery:
    """Return what a task was asked for."""
    lists = {name: tuple(task.asked[name]) for name in ("options", "scopes")}
    return MediaQuery(**{**task.asked, **lists, "source": Source(**task.asked["source"])})


def made_by(task: EmbedTask) -> MediaVectors | None:
    """Return what a task has made, once it is ready."""
    if task.result is None:
        return None
    rows = [Embedded(**one) for one in task.result["rows"]]
    return MediaVectors(rows, task.result["duration"], task.result["unheard"])


def _called(generation: int, query: MediaQuery) -> str:
    return "a video" if generation == 1 else query.kind


def _kept(query: MediaQuery) -> dict[str, Any]:
    """Return what is asked, without media that came as text: those are kept as a file."""
    asked = asdict(query)
    if query.source.kind == "base64_string":
        asked["source"]["value"] = ""
    return asked
