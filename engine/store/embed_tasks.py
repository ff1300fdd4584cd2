"""Embeddings that are asked for now and fetched later, of both generations."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import unknown
from engine.store.library import Incoming, Library
from engine.store.paging import Page, Paging, page_of
from engine.store.rows import as_value, is_id, new_id, now
from engine.store.where import Where


@dataclass(frozen=True, slots=True)
class EmbedTask:
    """An embedding: what was asked, and what came of it.

    Attributes:
        sha256: of media that came with the request, until it is over.
    """

    id: str
    generation: int
    status: str
    asked: dict[str, Any]
    created_at: str
    updated_at: str
    sha256: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class EmbedTasks:
    """The rows of ``embed_tasks``."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def add(self, generation: int, asked: dict[str, Any], incoming: Incoming | None = None) -> EmbedTask:
        """Add a task that is being processed, with its media where they came along."""
        moment = now()
        task = EmbedTask(new_id(), generation, "processing", asked, moment, moment)
        row = asdict(task) | {"asked": json.dumps(asked)}
        if incoming is None:
            await self._library.insert("embed_tasks", row)
        else:
            await self._library.insert_with_content("embed_tasks", row, incoming)
        return task

    async def get(self, ident: str) -> EmbedTask | None:
        row = await self._library.row("SELECT * FROM embed_tasks WHERE id = ?", [ident]) if is_id(ident) else None
        return None if row is None else _task(row)

    async def find(self, ident: str, generation: int, since: str) -> EmbedTask:
        """Return a task of a generation that is young enough.

        Raises:
            ApiError: ``resource_not_exist``.
        """
        sql = "SELECT * FROM embed_tasks WHERE id = ? AND generation = ? AND created_at >= ?"
        row = await self._library.row(sql, [ident, generation, since]) if is_id(ident) else None
        if row is None:
            raise unknown("task", ident)
        return _task(row)

    async def processing(self) -> list[EmbedTask]:
        sql = "SELECT * FROM embed_tasks WHERE status = 'processing' ORDER BY seq"
        return [_task(row) for row in await self._library.rows(sql)]

    async def page(self, paging: Paging, where: Where) -> Page[EmbedTask]:
        return await page_of(self._library, "embed_tasks", paging, where, _task)

    async def end(self, ident: str, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None) -> None:
        """Write how a task ended: with a result or an error; its media are not its own any more."""
        sql = "UPDATE embed_tasks SET status = ?, result = ?, error = ?, updated_at = ?, sha256 = NULL WHERE id = ?"
        status = "failed" if result is None else "ready"
        told = [None if one is None else json.dumps(one) for one in (result, error)]
        await self._library.write(sql, [status, *told, now(), ident])

    async def forget_before(self, moment: str) -> None:
        await self._library.write("DELETE FROM embed_tasks WHERE created_at < ?", [moment])


def _task(row: dict[str, Any]) -> EmbedTask:
    decoded = {name: row[name] and json.loads(row[name]) for name in ("asked", "result", "error")}
    return as_value(EmbedTask, row, **decoded)
