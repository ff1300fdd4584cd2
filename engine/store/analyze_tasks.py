"""Analyses that are asked for now and fetched later."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import unknown
from engine.store.library import Incoming, Library
from engine.store.paging import Page, Paging, page_of
from engine.store.rows import as_value, is_id, new_id, now
from engine.store.where import Where

FINAL = ("ready", "failed")


@dataclass(frozen=True, slots=True)
class AnalyzeTask:
    """An analysis: what was asked, and what came of it.

    Attributes:
        sha256: of media that came with the request, until it is over.
    """

    id: str
    status: str
    asked: dict[str, Any]
    created_at: str
    sha256: str | None = None
    completed_at: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class AnalyzeTasks:
    """The rows of ``analyze_tasks``."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def add(self, asked: dict[str, Any], incoming: Incoming | None = None) -> AnalyzeTask:
        """Add a task that is queued, with its media where they came along."""
        task = AnalyzeTask(new_id(), "queued", asked, now())
        row = asdict(task) | {"asked": json.dumps(asked)}
        if incoming is None:
            await self._library.insert("analyze_tasks", row)
        else:
            await self._library.insert_with_content("analyze_tasks", row, incoming)
        return task

    async def get(self, ident: str) -> AnalyzeTask:
        """Return a task.

        Raises:
            ApiError: ``resource_not_exist``.
        """
        row = await self._library.row("SELECT * FROM analyze_tasks WHERE id = ?", [ident]) if is_id(ident) else None
        if row is None:
            raise unknown("task", ident)
        return _task(row)

    async def unfinished(self) -> list[AnalyzeTask]:
        sql = "SELECT * FROM analyze_tasks WHERE status NOT IN ('ready', 'failed') ORDER BY seq"
        return [_task(row) for row in await self._library.rows(sql)]

    async def page(self, paging: Paging, where: Where) -> Page[AnalyzeTask]:
        return await page_of(self._library, "analyze_tasks", paging, where, _task)

    async def set_status(self, ident: str, status: str) -> None:
        await self._library.write("UPDATE analyze_tasks SET status = ? WHERE id = ?", [status, ident])

    async def end(self, ident: str, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None) -> None:
        """Write how a task ended: with a result or an error; its media are not its own any more."""
        sql = "UPDATE analyze_tasks SET status = ?, result = ?, error = ?, completed_at = ?, sha256 = NULL WHERE id = ?"
        status = "failed" if result is None else "ready"
        told = [None if one is None else json.dumps(one) for one in (result, error)]
        await self._library.write(sql, [status, *told, now(), ident])

    async def delete(self, task: AnalyzeTask) -> None:
        await self._library.write("DELETE FROM analyze_tasks WHERE id = ?", [task.id])
        await self._library.drop_unused([task.sha256])


def _task(row: dict[str, Any]) -> AnalyzeTask:
    decoded = {name: row[name] and json.loads(row[name]) for name in ("asked", "result", "error")}
    return as_value(AnalyzeTask, row, **decoded)
