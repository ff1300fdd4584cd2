"""What the engine keeps: rows in SQLite, media as files named by the hash of their bytes.

The database runs in WAL mode with full syncs, in one thread of its own: a row that was
answered is there after a crash, and no disk stalls the server's loop.
"""

import asyncio
import hashlib
import os
import secrets
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from engine.errors import ApiError
from engine.store.storage import ASK_AGAIN_BYTES, Storage
from engine.store.tables import REFERENCES, SCHEMA

T = TypeVar("T")
Values = Sequence[Any] | dict[str, Any]
Row = tuple[str, dict[str, Any]]  # the name of a table, and values by column

MAX_ASSET_BYTES = 4 * 1024**3
MAX_BYTES = 100 * 1024**3

_IS_KEPT = f"SELECT 1 FROM ({REFERENCES}) WHERE sha256 = ? LIMIT 1"  # noqa: S608


class Library:
    """The one owner of a data directory's rows and files.

    Args:
        max_bytes: what media and uploads may take in all.
    """

    def __init__(self, data_dir: Path, max_bytes: int = MAX_BYTES) -> None:
        self._media = data_dir / "media"
        self._incoming = data_dir / "incoming"
        self.uploads = data_dir / "uploads"
        self._storage = Storage([self._incoming, self._media, self.uploads], max_bytes)
        self._path = data_dir / "engine.sqlite3"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="library")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open or make the database; what was half written when the engine last ended goes."""
        await self._call(self._open)

    async def close(self) -> None:
        await self._call(self._close)
        self._thread.shutdown()

    # -- any table ---------------------------------------------------------

    async def rows(self, sql: str, values: Values = ()) -> list[dict[str, Any]]:
        """Return rows as dictionaries."""
        return await self._call(self._rows, sql, values)

    async def row(self, sql: str, values: Values = ()) -> dict[str, Any] | None:
        """Return the first row, or None."""
        rows = await self.rows(sql, values)
        return rows[0] if rows else None

    async def write(self, sql: str, values: Values = ()) -> int:
        """Write in a transaction of its own; return how many rows it changed."""
        return await self._call(self._write, sql, values)

    async def insert(self, table: str, row: dict[str, Any]) -> None:
        """Add a row.

        Raises:
            sqlite3.IntegrityError: it breaks a rule of the table.
        """
        await self._call(self._insert, table, row)

    async def together(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do several reads and writes as one: all of them are kept, or none is."""
        return await self._call(self._together, work)

    async def insert_all(self, rows: Sequence[Row]) -> None:
        """Add rows that belong together: all of them, or none.

        Raises:
            sqlite3.IntegrityError: one breaks a rule of its table.
        """
        await self.together(lambda db: insert_all(db, rows))

    async def insert_with_content(
        self, table: str, row: dict[str, Any], incoming: "Incoming", also: Sequence[Row] = ()
    ) -> dict[str, Any]:
        """Add a row together with its bytes, and other rows that belong to it; return it with their hash."""
        row = {**row, "sha256": await asyncio.to_thread(incoming.finish)}
        await self._call(self._keep, incoming, row["sha256"], lambda db: insert_all(db, [(table, row), *also]))
        return row

    async def set_row_content(self, table: str, ident: str, incoming: "Incoming") -> str:
        """Give a row of a table its bytes; return their hash."""
        sha256 = await asyncio.to_thread(incoming.finish)
        sql = f"UPDATE {table} SET sha256 = ? WHERE id = ?"  # noqa: S608 -- tables are named by our code
        await self._call(self._keep, incoming, sha256, lambda db: db.execute(sql, [sha256, ident]))
        return sha256

    async def remove(self, table: str, ident: str) -> bool:
        """Delete a row, and its bytes when no other consists of them; say whether it was there."""
        return await self._call(self._remove, table, ident)

    async def drop_unused(self, sha256s: Sequence[str | None]) -> None:
        """Remove bytes, and what was measured in them, that no row consists of any more."""
        await self._call(self._drop_unused, [one for one in sha256s if one])

    async def secret(self, name: str) -> bytes:
        """Return a secret of this data directory, made when it is first asked for."""
        fresh = secrets.token_bytes(32)
        await self.write("INSERT OR IGNORE INTO secrets VALUES (?, ?)", [name, fresh])
        row = await self.row("SELECT secret FROM secrets WHERE name = ?", [name])
        assert row is not None
        return bytes(row["secret"])

    # -- files -------------------------------------------------------------

    def path_of(self, sha256: str) -> Path:
        """Return where the bytes with this hash are kept."""
        return self._media / sha256[:2] / sha256

    def incoming(self) -> "Incoming":
        """Open a temporary file for bytes on their way in."""
        return Incoming(self._incoming, self._storage)

    async def need(self, size: int) -> None:
        """See that a file of that size may be kept.

        Raises:
            ApiError: ``usage_limit_exceeded``.
        """
        await asyncio.to_thread(self._storage.need, size)

    # -- the database's thread ---------------------------------------------

    async def _call(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    def _open(self) -> None:
        self._media.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(exist_ok=True)
        self.uploads.mkdir(exist_ok=True)
        self._db = sqlite3.connect(self._path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(SCHEMA)
        self._sweep()

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _connection(self) -> sqlite3.Connection:
        assert self._db is not None, "the library is not open"
        return self._db

    def _read(self, sql: str, values: Values) -> list[tuple[Any, ...]]:
        return self._connection().execute(sql, values).fetchall()

    def _write(self, sql: str, values: Values) -> int:
        return self._connection().execute(sql, values).rowcount

    def _rows(self, sql: str, values: Values) -> list[dict[str, Any]]:
        cursor = self._connection().execute(sql, values)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        insert_all(self._connection(), [(table, row)])

    def _together(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        return result

    def _drop_unused(self, sha256s: list[str]) -> None:
        for sha256 in sha256s:
            if not self._read(_IS_KEPT, [sha256]):
                self._forget_content(sha256)
                # A reader that has the file open keeps it until it is done.
                self.path_of(sha256).unlink(missing_ok=True)

    def _forget_content(self, sha256: str) -> None:
        def forget(db: sqlite3.Connection) -> None:
            db.execute(
                "DELETE FROM passage_words WHERE rowid IN (SELECT rowid FROM passages WHERE sha256 = ?)", [sha256]
            )
            for table in ("passages", "sketches", "records"):
                db.execute(f"DELETE FROM {table} WHERE sha256 = ?", [sha256])  # noqa: S608

        self._together(forget)

    def _keep(self, incoming: "Incoming", sha256: str, write: Callable[[sqlite3.Connection], Any]) -> None:
        """Move a finished file among the media and write its row.

        In the database's thread, so that no delete comes in between and takes the file. A
        row that was deleted before takes no file: then nothing must be left of it.
        """
        target = self.path_of(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        incoming.path.replace(target)
        _sync_directory(target.parent)
        try:
            self._together(write)
        finally:
            self._drop_unused([sha256])

    def _sweep(self) -> None:
        """Remove what an engine that was killed left without a row."""
        for leftover in self._incoming.iterdir():
            leftover.unlink()
        kept = {row[0] for row in self._read(REFERENCES, [])}
        for path in self._media.glob("*/*"):
            if path.name not in kept:
                path.unlink()
        # A record may have been written while the last row of its bytes was being deleted.
        for row in self._read("SELECT sha256 FROM records", []):
            if row[0] not in kept:
                self._forget_content(row[0])

    def _remove(self, table: str, ident: str) -> bool:
        row = self._connection().execute(f"SELECT sha256 FROM {table} WHERE id = ?", [ident]).fetchone()  # noqa: S608
        if row is None:
            return False
        self._write(f"DELETE FROM {table} WHERE id = ?", [ident])  # noqa: S608 -- tables are named by our code
        if row[0]:
            self._drop_unused([row[0]])
        return True


class Incoming:
    """A temporary file that is hashed and bounded while it is written."""

    def __init__(self, directory: Path, storage: Storage) -> None:
        descriptor, name = tempfile.mkstemp(dir=directory)
        self.path = Path(name)
        self.size = 0
        self._storage = storage
        self._asked_at = -ASK_AGAIN_BYTES
        self._file: BinaryIO = os.fdopen(descriptor, "wb")
        self._hash = hashlib.sha256()

    async def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            ApiError: the asset grows past 4 GB, or there is no room for it.
        """
        self.size += len(chunk)
        if self.size > MAX_ASSET_BYTES:
            raise ApiError("video_filesize_too_large", "The file is larger than 4 GB.")
        await asyncio.to_thread(self._write, chunk)

    def _write(self, chunk: bytes) -> None:
        if self.size - self._asked_at >= ASK_AGAIN_BYTES:
            self._asked_at = self.size
            self._storage.need(len(chunk))
        try:
            self._file.write(chunk)
        except OSError as exc:
            raise ApiError("usage_limit_exceeded", "The engine's disk is full.", 507) from exc
        self._hash.update(chunk)

    def finish(self) -> str:
        """Bring the bytes to the disk; return their hash."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._hash.hexdigest()

    def discard(self) -> None:
        """Remove the file, if it is still here."""
        with suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)


def insert_all(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Add rows, within a transaction."""
    for table, row in rows:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))  # noqa: S608


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
