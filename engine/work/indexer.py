"""Media in indexes, and the work that brings them from their arrival to ``ready`` or ``failed``.

    indexed asset:          pending -> queued -> indexing -> ready | failed
    task: (validating ->)   pending -> queued -> indexing -> ready | failed

Each status is written when it is true. An engine that starts again takes up every row
that is neither ready nor failed, from the beginning of its work.
"""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from engine.errors import ApiError, unknown
from engine.store.indexes import find_index
from engine.store.library import Incoming, Library, insert_all, is_id, new_id, now
from engine.work.fetch import Fetcher
from engine.work.jobs import Jobs
from engine.work.pool import Pool
from engine.work.recorder import Recorder
from engine.work.vectors import Vectors

log = structlog.get_logger()

FINAL = ("ready", "failed")
# How long an analysis waits for a video that is still being indexed.
_PATIENCE_S = 10.0
_GONE = """
UPDATE tasks SET status = 'failed', error_code = 'request_canceled_or_timed_out',
error_message = 'The video was deleted before it was indexed.', updated_at = ?
WHERE status NOT IN ('ready', 'failed')
"""
_SYSTEM = ("filename", "duration", "fps", "width", "height", "size")


class Indexer:
    """Own the rows of ``indexed`` and ``tasks`` and what is done for them."""

    def __init__(self, library: Library, pool: Pool, fetcher: Fetcher, recorder: Recorder, vectors: Vectors) -> None:
        self._library = library
        self._pool = pool
        self._fetcher = fetcher
        self._recorder = recorder
        self._vectors = vectors
        self._jobs = Jobs()

    async def open(self) -> None:
        """Take up what an earlier run left."""
        for row in await self._library.rows(
            "SELECT * FROM indexed WHERE status NOT IN ('ready', 'failed') ORDER BY seq"
        ):
            self._jobs.start(row["id"], self._index(row))

    async def close(self) -> None:
        await self._jobs.close()

    # -- bring in ----------------------------------------------------------

    async def from_asset(self, index_id: str, asset_id: str) -> str:
        """Put a ready asset into an index; return the new id.

        Raises:
            ApiError: there is no such asset, or it is not ready.
        """
        asset = await self._library.get(asset_id)
        if asset.status == "failed":
            raise ApiError(asset.error_code or "video_file_broken", asset.error_message or "The asset failed.")
        if asset.status != "ready" or asset.sha256 is None:
            raise ApiError("video_not_ready", f"The asset {asset_id} is still being processed.")
        if (asset.file_type or "").startswith("image/"):
            raise ApiError(
                "parameter_invalid", "The asset_id parameter names an image; an index takes video and audio."
            )
        size = (await asyncio.to_thread(self._library.path_of(asset.sha256).stat)).st_size
        row = _row(index_id, "pending", asset.filename) | {"asset_id": asset_id, "sha256": asset.sha256, "size": size}
        await self._library.together(lambda db: _insert_if_kept(db, row))
        self._jobs.start(row["id"], self._index(row))
        return str(row["id"])

    async def from_upload(
        self, index_id: str, incoming: Incoming, filename: str | None, metadata: str
    ) -> tuple[str, str]:
        """Put an uploaded file into an index; return the ids of the task and of its video."""
        row = _row(index_id, "validating", filename, metadata) | {"size": incoming.size}
        task = _task_of(row)
        row = await self._library.insert_with_content("indexed", row, incoming, [("tasks", task)])
        self._jobs.start(row["id"], self._index(row))
        return str(task["id"]), str(row["id"])

    async def from_url(self, index_id: str, url: str, filename: str | None, metadata: str) -> tuple[str, str]:
        """Put what is at a URL into an index; return the ids of the task and of its video."""
        row = _row(index_id, "validating", filename, metadata) | {"url": url}
        task = _task_of(row)
        await self._library.insert_all([("indexed", row), ("tasks", task)])
        self._jobs.start(row["id"], self._index(row))
        return str(task["id"]), str(row["id"])

    # -- look up -----------------------------------------------------------

    async def find(self, index_id: str, ident: str, kind: str) -> dict[str, Any]:
        """Return a row of an index.

        Raises:
            ApiError: ``resource_not_exist``.
        """
        await find_index(self._library, index_id)
        sql = "SELECT * FROM indexed WHERE id = ? AND index_id = ?"
        row = await self._library.row(sql, [ident, index_id]) if is_id(ident) else None
        if row is None:
            raise unknown(kind, ident)
        return row

    async def for_analysis(self, ident: str) -> tuple[Path, dict[str, Any]] | None:
        """Return the file and the record of a row, after waiting a little if it is being indexed.

        None when no row has this id.

        Raises:
            ApiError: it is not ready, it failed, or its index has no model that analyses.
        """
        if not is_id(ident):
            return None
        if job := self._jobs.get(ident):
            await asyncio.wait({job}, timeout=_PATIENCE_S)
        row = await self._library.row("SELECT * FROM indexed WHERE id = ?", [ident])
        if row is None:
            return None
        index = await find_index(self._library, row["index_id"])
        if index.options_of("pegasus") is None:
            raise ApiError("index_not_supported_for_generate", "The index of this video has no Pegasus model.")
        if row["status"] == "failed":
            raise ApiError(row["error_code"], row["error_message"])
        if row["status"] != "ready":
            raise ApiError("video_not_ready", f"The video {ident} is still being indexed.")
        return self._library.path_of(row["sha256"]), await self.record(row)

    async def record(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what was measured of a ready row."""
        return await self._recorder.record_of(row["sha256"], _nothing)

    async def delete(self, row: dict[str, Any]) -> None:
        """Take a row out of its index; its task stays, and says how it ended."""
        self._jobs.cancel(row["id"])

        def forget(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM indexed WHERE id = ?", [row["id"]])
            db.execute(f"{_GONE} AND video_id = ?", [now(), row["id"]])

        await self._library.together(forget)
        await self._library.drop_unused([row["sha256"]])

    async def delete_index(self, index_id: str) -> None:
        """Delete an index and all that is in it."""

        def forget(db: sqlite3.Connection) -> list[tuple[str, str | None]]:
            gone = db.execute("SELECT id, sha256 FROM indexed WHERE index_id = ?", [index_id]).fetchall()
            db.execute(f"{_GONE} AND index_id = ?", [now(), index_id])
            db.execute("DELETE FROM indexes WHERE id = ?", [index_id])  # its rows go along
            return gone

        gone = await self._library.together(forget)
        for ident, _ in gone:
            self._jobs.cancel(ident)
        await self._library.drop_unused([sha256 for _, sha256 in gone])

    async def change_metadata(self, row: dict[str, Any], changes: dict[str, Any]) -> None:
        """Merge changes into a row's metadata; null removes a key."""
        merged = {**json.loads(row["user_metadata"]), **changes}
        kept = {key: value for key, value in merged.items() if value is not None}
        sql = "UPDATE indexed SET user_metadata = ?, updated_at = ?, touched_at = ? WHERE id = ?"
        moment = now()
        await self._library.write(sql, [json.dumps(kept), moment, moment, row["id"]])

    # -- the work ----------------------------------------------------------

    async def _index(self, row: dict[str, Any]) -> None:
        ident = row["id"]
        try:
            sha256 = row["sha256"] or await self._fetch(row)
            await self._probe(ident, sha256)
            await self._set(ident, status="pending")
            await self._recorder.record_of(sha256, lambda status: self._set(ident, status=status))
            await self._vectors.fill(sha256)
            moment = now()
            await self._set(ident, status="ready", indexed_at=moment)
            log.info("video_indexed", id=ident)
        except ApiError as exc:
            log.info("video_failed", id=ident, code=exc.code)
            await self._set(ident, status="failed", error_code=exc.code, error_message=exc.message)
        except Exception:
            log.exception("indexing_broke", id=ident)
            why = "The engine failed to index the video."
            await self._set(ident, status="failed", error_code="internal_error", error_message=why)

    async def _fetch(self, row: dict[str, Any]) -> str:
        incoming = self._library.incoming()
        try:
            await self._fetcher.fetch(row["url"], incoming.write)
            await self._set(row["id"], size=incoming.size)
            return await self._library.set_row_content("indexed", row["id"], incoming)
        finally:
            incoming.discard()

    async def _probe(self, ident: str, sha256: str) -> None:
        async with self._pool.probe() as worker:
            await worker.give({"kind": "probe", "path": str(self._library.path_of(sha256))})
            clip = (await worker.receive())["clip"]
        if clip["still_image"]:
            raise ApiError("video_file_broken", "The file is an image; an index takes video and audio.")
        await self._set(ident, **{name: clip[name] for name in ("duration", "fps", "width", "height")})

    async def _set(self, ident: str, **values: Any) -> None:
        """Write values of a row, and of its task where that has them too: both end, or neither does."""

        def write(db: sqlite3.Connection) -> None:
            for table, column, have in (
                ("indexed", "id", None),
                ("tasks", "video_id", ("status", "duration", "width", "height", "error_code", "error_message")),
            ):
                mine = {name: value for name, value in values.items() if have is None or name in have}
                mine["updated_at"] = now()
                sets = ", ".join(f"{name} = ?" for name in mine)
                sql = f"UPDATE {table} SET {sets} WHERE {column} = ?"  # noqa: S608 -- names from our code
                db.execute(sql, [*mine.values(), ident])

        await self._library.together(write)


async def _nothing(_: str) -> None:
    return None


def _row(index_id: str, status: str, filename: str | None, metadata: str = "{}") -> dict[str, Any]:
    moment = now()
    return {
        "id": new_id(), "index_id": index_id, "status": status, "filename": filename, "user_metadata": metadata,
        "created_at": moment, "updated_at": moment, "sha256": None, "url": None,
    }  # fmt: skip


def _task_of(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": new_id(), "index_id": row["index_id"], "video_id": row["id"], "status": row["status"],
        "filename": row["filename"], "created_at": row["created_at"], "updated_at": row["updated_at"],
    }  # fmt: skip


def _insert_if_kept(db: sqlite3.Connection, row: dict[str, Any]) -> None:
    """Add a row that consists of an asset's bytes, unless the asset was deleted meanwhile, and they with it."""
    if db.execute("SELECT 1 FROM assets WHERE id = ?", [row["asset_id"]]).fetchone() is None:
        raise unknown("asset", row["asset_id"])
    insert_all(db, [("indexed", row)])


def system_metadata(row: dict[str, Any], names: Sequence[str] = _SYSTEM) -> dict[str, Any]:
    """Return what is known of a file; what was not measured yet is left out."""
    return {name: row[name] for name in names if row[name] is not None}
