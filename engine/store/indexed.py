"""Media in indexes, and the tasks that brought some of them.

What a task says of its media is written together with what the media's row says: both
are true, or neither is.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.errors import unknown
from engine.store.library import Incoming, Library, insert_all
from engine.store.paging import Page, Paging, page_of
from engine.store.rows import as_value, is_id, new_id, now
from engine.store.tasks import Task
from engine.store.where import Where

FINAL = ("ready", "failed")
_GONE = """
UPDATE tasks SET status = 'failed', error_code = 'request_canceled_or_timed_out',
error_message = 'The video was deleted before it was indexed.', updated_at = ?
WHERE status NOT IN ('ready', 'failed')
"""
_WITH_INDEX = "(SELECT indexed.*, index_name FROM indexed JOIN indexes ON indexes.id = index_id)"
# What a task says of its media, too.
_TOLD_BY_TASKS = ("status", "duration", "width", "height", "error_code", "error_message")


@dataclass(frozen=True, slots=True)
class Indexed:
    """Media in an index: an indexed asset, or a video that a task brings.

    Attributes:
        touched_at: when a caller last changed its metadata.
        index_name: only in lists over all indexes.
    """

    id: str
    index_id: str
    status: str
    filename: str | None
    created_at: str
    updated_at: str
    asset_id: str | None = None
    url: str | None = None
    sha256: str | None = None
    duration: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    size: int | None = None
    user_metadata: dict[str, Any] = field(default_factory=dict)
    indexed_at: str | None = None
    touched_at: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    index_name: str | None = None

    @classmethod
    def new(cls, index_id: str, status: str, filename: str | None, **more: Any) -> "Indexed":
        """Return a row that is not kept yet."""
        moment = now()
        return cls(new_id(), index_id, status, filename, moment, moment, **more)

    @property
    def content(self) -> str:
        """The hash of its bytes, which it has at the latest when it is ready."""
        assert self.sha256 is not None
        return self.sha256


@dataclass(frozen=True, slots=True)
class Ready:
    """What an index holds that is ready: the rows that are asked for, and the number and length of all."""

    rows: list[Indexed]
    total: int
    duration: float


class IndexedMedia:
    """The rows of ``indexed``, with what their tasks say of them."""

    def __init__(self, library: Library) -> None:
        self._library = library

    # -- add ---------------------------------------------------------------

    async def add_of_asset(self, row: Indexed) -> None:
        """Add a row that consists of an asset's bytes.

        Raises:
            ApiError: ``resource_not_exist``; the asset was deleted meanwhile, and the bytes with it.
        """
        assert row.asset_id is not None
        asset_id = row.asset_id

        def write(db: sqlite3.Connection) -> None:
            if db.execute("SELECT 1 FROM assets WHERE id = ?", [asset_id]).fetchone() is None:
                raise unknown("asset", asset_id)
            insert_all(db, [("indexed", _columns(row))])

        await self._library.together(write)

    async def add_with_task(self, row: Indexed, task: Task) -> None:
        """Add a row whose bytes are still to come, and the task that brings it."""
        await self._library.insert_all([("indexed", _columns(row)), ("tasks", asdict(task))])

    async def add_with_content(self, row: Indexed, task: Task, incoming: Incoming) -> Indexed:
        """Add a row together with its bytes, and the task that brought it; return it with their hash."""
        also = [("tasks", asdict(task))]
        kept = await self._library.insert_with_content("indexed", _columns(row), incoming, also)
        return replace(row, sha256=kept["sha256"])

    # -- look up -----------------------------------------------------------

    async def get(self, ident: str) -> Indexed | None:
        row = await self._library.row("SELECT * FROM indexed WHERE id = ?", [ident]) if is_id(ident) else None
        return None if row is None else _indexed(row)

    async def unfinished(self) -> list[Indexed]:
        """Return the rows that are neither ready nor failed."""
        sql = "SELECT * FROM indexed WHERE status NOT IN ('ready', 'failed') ORDER BY seq"
        return [_indexed(row) for row in await self._library.rows(sql)]

    async def page(self, paging: Paging, where: Where) -> Page[Indexed]:
        return await page_of(self._library, "indexed", paging, where, _indexed)

    async def page_with_index(self, paging: Paging, where: Where) -> Page[Indexed]:
        """Return a page of rows, each with the name of its index."""
        return await page_of(self._library, _WITH_INDEX, paging, where, _indexed)

    async def ready_in(self, index_id: str, wanted: Where) -> Ready:
        """Return what is ready in an index, as far as it is asked for."""
        where = Where()
        where.equal("index_id", index_id)
        where.equal("status", "ready")
        sql = f"SELECT count(*) AS n, coalesce(sum(duration), 0) AS s FROM indexed WHERE {where.sql}"  # noqa: S608
        total = await self._library.row(sql, where.values)
        assert total is not None
        where.also(wanted)
        rows = await self._library.rows(f"SELECT * FROM indexed WHERE {where.sql}", where.values)  # noqa: S608
        return Ready([_indexed(row) for row in rows], total["n"], total["s"])

    async def metadata_of(self, idents: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the metadata of rows, by id."""
        sql = "SELECT id, user_metadata FROM indexed WHERE id IN (SELECT value FROM json_each(?))"
        rows = await self._library.rows(sql, [json.dumps(sorted(idents))])
        return {row["id"]: json.loads(row["user_metadata"]) for row in rows}

    # -- change ------------------------------------------------------------

    async def set(self, ident: str, **values: Any) -> None:
        """Write values of a row, and of its task where that has them too: both end, or neither does."""

        def write(db: sqlite3.Connection) -> None:
            _update(db, "indexed", "id", ident, values)
            told = {name: value for name, value in values.items() if name in _TOLD_BY_TASKS}
            _update(db, "tasks", "video_id", ident, told)

        await self._library.together(write)

    async def set_content(self, ident: str, incoming: Incoming) -> str:
        """Give a row its bytes; return their hash."""
        return await self._library.set_row_content("indexed", ident, incoming)

    async def set_metadata(self, ident: str, metadata: dict[str, Any]) -> None:
        """Write the metadata that a row comes with."""
        sql = "UPDATE indexed SET user_metadata = ? WHERE id = ?"
        await self._library.write(sql, [json.dumps(metadata), ident])

    async def change_metadata(self, ident: str, metadata: dict[str, Any]) -> None:
        """Write metadata that a caller has changed."""
        sql = "UPDATE indexed SET user_metadata = ?, updated_at = ?, touched_at = ? WHERE id = ?"
        moment = now()
        await self._library.write(sql, [json.dumps(metadata), moment, moment, ident])

    async def delete(self, row: Indexed) -> None:
        """Take a row out of its index; its task stays, and says how it ended."""

        def forget(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM indexed WHERE id = ?", [row.id])
            db.execute(f"{_GONE} AND video_id = ?", [now(), row.id])

        await self._library.together(forget)
        await self._library.drop_unused([row.sha256])

    async def delete_index(self, index_id: str) -> list[tuple[str, str | None]]:
        """Delete an index and the rows in it; return their ids and hashes, whose bytes are still there."""

        def forget(db: sqlite3.Connection) -> list[tuple[str, str | None]]:
            gone = db.execute("SELECT id, sha256 FROM indexed WHERE index_id = ?", [index_id]).fetchall()
            db.execute(f"{_GONE} AND index_id = ?", [now(), index_id])
            db.execute("DELETE FROM indexes WHERE id = ?", [index_id])  # its rows go along
            return gone

        return await self._library.together(forget)


def _indexed(row: dict[str, Any]) -> Indexed:
    return as_value(Indexed, row, user_metadata=json.loads(row["user_metadata"]))


def _columns(row: Indexed) -> dict[str, Any]:
    columns = asdict(row) | {"user_metadata": json.dumps(row.user_metadata)}
    del columns["index_name"]
    return columns


def _update(db: sqlite3.Connection, table: str, column: str, ident: str, values: dict[str, Any]) -> None:
    values = {**values, "updated_at": now()}
    sets = ", ".join(f"{name} = ?" for name in values)
    sql = f"UPDATE {table} SET {sets} WHERE {column} = ?"  # noqa: S608 -- names from our code
    db.execute(sql, [*values.values(), ident])
