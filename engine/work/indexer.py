"""Media in indexes, and the work that brings them from their arrival to ``ready`` or ``failed``.

    indexed asset:          pending -> queued -> indexing -> ready | failed
    task: (validating ->)   pending -> queued -> indexing -> ready | failed

Each status is written when it is true. An engine that starts again takes up every row
that is neither ready nor failed, from the beginning of its work.
"""

import asyncio
from pathlib import Path
from typing import Any

import structlog

from engine.errors import ApiError, unknown
from engine.facts.job import Probe
from engine.store.indexed import Indexed
from engine.store.library import Incoming
from engine.store.rows import new_id, now
from engine.store.store import Store
from engine.store.tasks import Task
from engine.work.fetch import Fetcher
from engine.work.jobs import Jobs
from engine.work.pool import Pool
from engine.work.recorder import Recorder
from engine.work.vectors import Vectors

log = structlog.get_logger()

# How long an analysis waits for a video that is still being indexed.
_PATIENCE_S = 10.0


class Indexer:
    """Own what is done for media in indexes."""

    def __init__(self, store: Store, pool: Pool, fetcher: Fetcher, recorder: Recorder, vectors: Vectors) -> None:
        self._library = store.library
        self._assets = store.assets
        self._indexes = store.indexes
        self._indexed = store.indexed
        self._pool = pool
        self._fetcher = fetcher
        self._recorder = recorder
        self._vectors = vectors
        self._jobs = Jobs()

    async def open(self) -> None:
        """Take up what an earlier run left."""
        for row in await self._indexed.unfinished():
            self._jobs.start(row.id, self._index(row))

    async def close(self) -> None:
        await self._jobs.close()

    # -- bring in ----------------------------------------------------------

    async def from_asset(self, index_id: str, asset_id: str) -> str:
        """Put a ready asset into an index; return the new id.

        Raises:
            ApiError: there is no such asset, or it is not ready.
        """
        asset = await self._assets.get(asset_id)
        if asset.status == "failed":
            raise ApiError(asset.error_code or "video_file_broken", asset.error_message or "The asset failed.")
        if asset.status != "ready" or asset.sha256 is None:
            raise ApiError("video_not_ready", f"The asset {asset_id} is still being processed.")
        if (asset.file_type or "").startswith("image/"):
            raise ApiError(
                "parameter_invalid", "The asset_id parameter names an image; an index takes video and audio."
            )
        size = (await asyncio.to_thread(self._library.path_of(asset.sha256).stat)).st_size
        row = Indexed.new(index_id, "pending", asset.filename, asset_id=asset_id, sha256=asset.sha256, size=size)
        await self._indexed.add_of_asset(row)
        self._jobs.start(row.id, self._index(row))
        return row.id

    async def from_upload(
        self, index_id: str, incoming: Incoming, filename: str | None, metadata: dict[str, Any]
    ) -> tuple[str, str]:
        """Put an uploaded file into an index; return the ids of the task and of its video."""
        row = Indexed.new(index_id, "validating", filename, user_metadata=metadata, size=incoming.size)
        task = _task_of(row)
        row = await self._indexed.add_with_content(row, task, incoming)
        self._jobs.start(row.id, self._index(row))
        return task.id, row.id

    async def from_url(
        self, index_id: str, url: str, filename: str | None, metadata: dict[str, Any]
    ) -> tuple[str, str]:
        """Put what is at a URL into an index; return the ids of the task and of its video."""
        row = Indexed.new(index_id, "validating", filename, user_metadata=metadata, url=url)
        task = _task_of(row)
        await self._indexed.add_with_task(row, task)
        self._jobs.start(row.id, self._index(row))
        return task.id, row.id

    # -- look up -----------------------------------------------------------

    async def find(self, index_id: str, ident: str, kind: str) -> Indexed:
        """Return a row of an index.

        Raises:
            ApiError: ``resource_not_exist``.
        """
        await self._indexes.get(index_id)
        row = await self._indexed.get(ident)
        if row is None or row.index_id != index_id:
            raise unknown(kind, ident)
        return row

    async def for_analysis(self, ident: str) -> tuple[Path, dict[str, Any]] | None:
        """Return the file and the record of a row, after waiting a little if it is being indexed.

        None when no row has this id.

        Raises:
            ApiError: it is not ready, it failed, or its index has no model that analyses.
        """
        if job := self._jobs.get(ident):
            await asyncio.wait({job}, timeout=_PATIENCE_S)
        row = await self._indexed.get(ident)
        if row is None:
            return None
        index = await self._indexes.get(row.index_id)
        if index.options_of("pegasus") is None:
            raise ApiError("index_not_supported_for_generate", "The index of this video has no Pegasus model.")
        if row.status == "failed":
            raise ApiError(row.error_code or "video_file_broken", row.error_message or "The video failed.")
        if row.status != "ready":
            raise ApiError("video_not_ready", f"The video {ident} is still being indexed.")
        return self._library.path_of(row.content), await self.record(row)

    async def record(self, row: Indexed) -> dict[str, Any]:
        """Return what was measured of a ready row."""
        return await self._recorder.record_of(row.content, _nothing)

    async def delete(self, row: Indexed) -> None:
        """Take a row out of its index; its task stays, and says how it ended."""
        self._jobs.cancel(row.id)
        await self._indexed.delete(row)

    async def delete_index(self, index_id: str) -> None:
        """Delete an index and all that is in it."""
        gone = await self._indexed.delete_index(index_id)
        for ident, _ in gone:
            self._jobs.cancel(ident)
        await self._library.drop_unused([sha256 for _, sha256 in gone])

    async def change_metadata(self, row: Indexed, changes: dict[str, Any]) -> None:
        """Merge changes into a row's metadata; null removes a key."""
        merged = {**row.user_metadata, **changes}
        kept = {key: value for key, value in merged.items() if value is not None}
        await self._indexed.change_metadata(row.id, kept)

    # -- the work ----------------------------------------------------------

    async def _index(self, row: Indexed) -> None:
        ident = row.id
        try:
            sha256 = row.sha256 or await self._fetch(row)
            await self._probe(ident, sha256)
            await self._indexed.set(ident, status="pending")
            await self._recorder.record_of(sha256, lambda status: self._indexed.set(ident, status=status))
            await self._vectors.fill(sha256)
            moment = now()
            await self._indexed.set(ident, status="ready", indexed_at=moment)
            log.info("video_indexed", id=ident)
        except ApiError as exc:
            log.info("video_failed", id=ident, code=exc.code)
            await self._indexed.set(ident, status="failed", error_code=exc.code, error_message=exc.message)
        except Exception:
            log.exception("indexing_broke", id=ident)
            why = "The engine failed to index the video."
            await self._indexed.set(ident, status="failed", error_code="internal_error", error_message=why)

    async def _fetch(self, row: Indexed) -> str:
        assert row.url is not None
        incoming = self._library.incoming()
        try:
            await self._fetcher.fetch(row.url, incoming.write)
            await self._indexed.set(row.id, size=incoming.size)
            return await self._indexed.set_content(row.id, incoming)
        finally:
            incoming.discard()

    async def _probe(self, ident: str, sha256: str) -> None:
        async with self._pool.probe() as worker:
            await worker.give(Probe(self._library.path_of(sha256)))
            clip = (await worker.receive())["clip"]
        if clip["still_image"]:
            raise ApiError("video_file_broken", "The file is an image; an index takes video and audio.")
        await self._indexed.set(ident, **{name: clip[name] for name in ("duration", "fps", "width", "height")})


async def _nothing(_: str) -> None:
    return None


def _task_of(row: Indexed) -> Task:
    return Task(new_id(), row.index_id, row.id, row.status, row.filename, row.created_at, row.updated_at)
