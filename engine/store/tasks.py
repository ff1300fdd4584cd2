"""Tasks: what brings a file straight into an index. Their rows are written with those of their media (``indexed``)."""

from dataclasses import dataclass
from typing import Any

from engine.errors import unknown
from engine.store.library import Library
from engine.store.paging import Page, Paging, page_of
from engine.store.rows import as_value, is_id
from engine.store.where import Where


@dataclass(frozen=True, slots=True)
class Task:
    """What became of a file that was brought into an index; it outlives its media."""

    id: str
    index_id: str
    video_id: str
    status: str
    filename: str | None
    created_at: str
    updated_at: str
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    error_code: str | None = None
    error_message: str | None = None


class Tasks:
    """The rows of ``tasks``."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def get(self, ident: str) -> Task:
        """Return a task.

        Raises:
            ApiError: ``resource_not_exist``.
        """
        row = await self._library.row("SELECT * FROM tasks WHERE id = ?", [ident]) if is_id(ident) else None
        if row is None:
            raise unknown("task", ident)
        return _task(row)

    async def page(self, paging: Paging, where: Where) -> Page[Task]:
        return await page_of(self._library, "tasks", paging, where, _task)

    async def delete(self, ident: str) -> None:
        await self._library.write("DELETE FROM tasks WHERE id = ?", [ident])


def _task(row: dict[str, Any]) -> Task:
    return as_value(Task, row)
