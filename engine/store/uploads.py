"""Uploads in chunks: sessions, and the chunks that have arrived.

A chunk's row is there only together with the bytes that its ETag names.
"""

import os
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import ApiError, invalid
from engine.store.assets import Asset
from engine.store.library import Incoming, Library
from engine.store.paging import Page, Paging, page_of
from engine.store.rows import as_value, is_id, now
from engine.store.where import Where

Proof = tuple[int, str, int]  # a chunk's number, the ETag and the size that the caller names

_COMPLETE = """
SELECT uploads.* FROM uploads JOIN assets ON assets.id = asset_id WHERE uploads.status = 'completed'
AND assets.status = 'processing' AND sha256 IS NULL
"""
# Other bytes under the same number have to be reported anew.
_KEEP = """
INSERT INTO chunks VALUES (?, ?, ?, ?, 0, ?, ?) ON CONFLICT (upload_id, chunk_index) DO UPDATE SET
reported = reported AND etag = excluded.etag, etag = excluded.etag, updated_at = excluded.updated_at
"""


@dataclass(frozen=True, slots=True)
class Upload:
    """A session: ``active``, ``completed`` or ``expired``."""

    id: str
    asset_id: str
    filename: str
    status: str
    total_size: int
    chunk_size: int
    total_chunks: int
    created_at: str
    updated_at: str
    expires_at: str

    def size_of(self, index: int) -> int:
        """Return how many bytes a chunk must have; the last one has the rest."""
        return min(self.chunk_size, self.total_size - (index - 1) * self.chunk_size)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that has arrived."""

    chunk_index: int
    etag: str
    size: int
    reported: int
    uploaded_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Reported:
    """What a report changed.

    Attributes:
        total: the chunks that are reported by now.
        done: with this report all are; of several that say so, one has it true.
    """

    processed: int
    duplicates: int
    total: int
    done: bool


class Uploads:
    """The rows of ``uploads`` and ``chunks``, and the files of the chunks."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def add(self, asset: Asset, upload: Upload) -> None:
        """Open a session, together with the asset that it brings."""
        await self._library.insert_all([("assets", asdict(asset)), ("uploads", asdict(upload))])

    async def get(self, ident: str) -> Upload | None:
        row = await self._library.row("SELECT * FROM uploads WHERE id = ?", [ident]) if is_id(ident) else None
        return None if row is None else _upload(row)

    async def page_of_open(self, paging: Paging) -> Page[Upload]:
        """Return a page of the sessions that are not completed."""
        where = Where()
        where.differs("status", "completed")
        return await page_of(self._library, "uploads", paging, where, _upload)

    async def active(self) -> list[Upload]:
        return await self._uploads("SELECT * FROM uploads WHERE status = 'active'")

    async def overdue(self, moment: str) -> list[Upload]:
        """Return the sessions that are active and should be over."""
        return await self._uploads("SELECT * FROM uploads WHERE status = 'active' AND expires_at <= ?", [moment])

    async def unjoined(self) -> list[Upload]:
        """Return the sessions that are complete, and whose asset has no bytes yet."""
        return await self._uploads(_COMPLETE)

    async def chunks(self, upload_id: str) -> dict[int, Chunk]:
        """Return the chunks that have arrived, by number."""
        rows = await self._library.rows("SELECT * FROM chunks WHERE upload_id = ?", [upload_id])
        return {row["chunk_index"]: as_value(Chunk, row) for row in rows}

    async def expire(self, upload_id: str) -> None:
        await self._library.write("UPDATE uploads SET status = 'expired' WHERE id = ?", [upload_id])

    async def report(self, upload: Upload, proofs: Sequence[Proof]) -> Reported:
        """Take a caller's word for chunks, if it proves that the bytes here are those that were sent.

        Raises:
            ApiError: ``parameter_invalid``; then nothing is changed.
        """
        ident, total, moment = upload.id, upload.total_chunks, now()

        def write(db: sqlite3.Connection) -> Reported:
            duplicates = 0
            for index, etag, size in proofs:
                row = db.execute(
                    "SELECT etag, size, reported FROM chunks WHERE upload_id = ? AND chunk_index = ?", [ident, index]
                ).fetchone()
                if index > total or row is None:
                    raise invalid(f"Chunk {index} has not been uploaded.")
                if (row[0], row[1]) != (etag, size):
                    raise invalid(f"The proof or the size of chunk {index} is not that of the bytes that arrived.")
                duplicates += row[2]
                db.execute(
                    "UPDATE chunks SET reported = 1, updated_at = ? WHERE upload_id = ? AND chunk_index = ?",
                    [moment, ident, index],
                )
            count = db.execute("SELECT count(*) FROM chunks WHERE upload_id = ? AND reported", [ident]).fetchone()[0]
            db.execute("UPDATE uploads SET updated_at = ? WHERE id = ?", [moment, ident])
            sql = "UPDATE uploads SET status = 'completed' WHERE id = ? AND status = 'active'"
            done = count == total and db.execute(sql, [ident]).rowcount == 1  # of several who say so, one joins
            return Reported(len(proofs) - duplicates, duplicates, count, done)

        return await self._library.together(write)

    # -- bytes -------------------------------------------------------------

    async def keep(self, ident: str, index: int, etag: str, incoming: Incoming) -> None:
        """Keep a chunk's bytes: a row that is there has always the bytes that its ETag names.

        Raises:
            ApiError: the session is over.
        """
        target, moment = self.path_of(ident, index, etag), now()

        def write(db: sqlite3.Connection) -> None:
            if not db.execute("SELECT 1 FROM uploads WHERE id = ? AND status = 'active'", [ident]).fetchone():
                raise over()
            _move(incoming.path, target)
            db.execute(_KEEP, [ident, index, etag, incoming.size, moment, moment])

        def tidy(db: sqlite3.Connection) -> None:
            """Remove what was written over; another may have written meanwhile."""
            sql = "SELECT etag FROM chunks WHERE upload_id = ? AND chunk_index = ?"
            kept = self.path_of(ident, index, db.execute(sql, [ident, index]).fetchone()[0])
            for path in kept.parent.glob(f"{index:06d}-*"):
                if path != kept:
                    path.unlink()

        await self._library.together(write)
        await self._library.together(tidy)

    def path_of(self, ident: str, index: int, etag: str) -> Path:
        return self._library.uploads / ident / f"{index:06d}-{etag}"

    def remove_chunks(self, upload_id: str) -> None:
        """Remove the bytes of a session; blocks."""
        shutil.rmtree(self._library.uploads / upload_id, ignore_errors=True)

    def sweep(self, kept: set[str]) -> None:
        """Remove the bytes of all sessions but some; blocks."""
        for directory in self._library.uploads.iterdir():
            if directory.name not in kept:
                shutil.rmtree(directory, ignore_errors=True)

    async def _uploads(self, sql: str, values: Sequence[Any] = ()) -> list[Upload]:
        return [_upload(row) for row in await self._library.rows(sql, values)]


def over() -> ApiError:
    return ApiError("parameter_invalid", "This upload is over.", 403)


def _upload(row: dict[str, Any]) -> Upload:
    return as_value(Upload, row)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    source.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
