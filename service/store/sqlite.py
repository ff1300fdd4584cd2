"""A store in one SQLite file: what is committed survives a kill of the process.

One thread writes, and all that a process has to say in one loop turn is one transaction; another
thread reads, over a connection of its own. With ``synchronous = NORMAL`` and a write-ahead log a
commit is in the kernel's hands: it survives the process, and a loss of power takes at most the
last commits, never the file. With ``FULL`` it takes none, and each commit waits for the disk.
"""

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog

from service.store.contract import (
    Begun,
    Change,
    Ended,
    Forgotten,
    Grown,
    Kept,
    Keyed,
    Noted,
    Renewed,
    Replaced,
    StoreFailed,
    StoreRefused,
)

log = structlog.get_logger()
Result = TypeVar("Result")

VERSION = 3
# From nothing to each version; what is listed last is the schema of today.
MIGRATIONS = (
    """
    CREATE TABLE streams (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        tenant TEXT NOT NULL,
        created REAL NOT NULL,
        meta BLOB NOT NULL,
        body BLOB,
        gen INTEGER NOT NULL DEFAULT 1,
        reason TEXT NOT NULL DEFAULT '',
        status TEXT,          -- NULL while it runs
        ending BLOB,
        at REAL NOT NULL DEFAULT 0,
        expires REAL NOT NULL DEFAULT 0,
        identity BLOB,
        bytes INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX streams_of_tenants ON streams (tenant, place);
    CREATE INDEX streams_by_identity ON streams (tenant, identity) WHERE identity IS NOT NULL;
    CREATE INDEX streams_by_expiry ON streams (expires) WHERE status IS NOT NULL;
    CREATE INDEX streams_running ON streams (place) WHERE status IS NULL;
    CREATE TABLE blocks (
        place INTEGER NOT NULL,
        n INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (place, n)
    ) WITHOUT ROWID;
    CREATE TABLE keys (
        tenant TEXT NOT NULL,
        key TEXT NOT NULL,
        stream TEXT NOT NULL,
        identity BLOB NOT NULL,
        PRIMARY KEY (tenant, key)
    ) WITHOUT ROWID;
    CREATE INDEX keys_of_streams ON keys (stream);
    CREATE TABLE totals (streams INTEGER NOT NULL, bytes INTEGER NOT NULL);
    INSERT INTO totals VALUES (0, 0);
    """,
    """
    CREATE TABLE salts (salt BLOB NOT NULL);
    INSERT INTO salts VALUES (randomblob(32));
    CREATE TABLE notes (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        told BLOB NOT NULL,
        expires REAL NOT NULL,
        PRIMARY KEY (tenant, name)
    ) WITHOUT ROWID;
    CREATE INDEX notes_by_expiry ON notes (expires);
    """,
    """
    CREATE TABLE sums (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        amount REAL NOT NULL,
        expires REAL NOT NULL,
        PRIMARY KEY (tenant, name)
    ) WITHOUT ROWID;
    """,
)
# A block grows by what comes until it has this many bytes: a token is never a row.
# A row of more than 1,002 bytes would take a page of its own besides (WITHOUT ROWID, pages of 4 KiB).
# It is written anew with each commit that grows it, so a larger one would cost more.
BLOCK_BYTES = 960
# How long another process may hold the file, as one that copies it does.
BUSY_S = 5.0
# What says that the file is not what was written, and not only that it cannot be used now.
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# What a row takes besides its columns, about.
ROW_BYTES = 400
_COLUMNS = "id, tenant, place, created, meta, body, gen, reason, ending, at, expires, status"


class SqliteStore:
    """See `service.store.contract.Store`.

    Args:
        path: of the file; its directory is made where it is not there.
        synchronous: ``normal`` or ``full``.
        guest: it may be in use by a service, beside which only notes are read and written.
    """

    durable = True
    shared = False

    def __init__(self, path: Path, *, synchronous: str = "normal", guest: bool = False) -> None:
        self._guest = guest
        self._synchronous = synchronous
        self._path = path
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self.salt = b""
        self._lock: int | None = None
        # Of each running stream: its place, the number of its last block, and what that holds.
        self._open: dict[str, tuple[int, int, bytes]] = {}

    # -- opening and closing

    async def open(self) -> None:
        """See `service.store.contract.Store.open`."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writing, self._open_writer)
        self._reader = await loop.run_in_executor(self._reading, self._connect)

    def _open_writer(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file()
            # Prompts and transcripts are in it: they are their owner's alone.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as exc:
            raise StoreRefused(f"{self._path} cannot be opened: {exc.strerror}") from exc
        try:
            self._writer = self._prepared()
        except sqlite3.DatabaseError as exc:
            if self._guest or getattr(exc, "sqlite_errorcode", 0) & 0xFF not in DAMAGED:
                # Held by somebody, no room, no right: the file may be whole, and stays where it is.
                raise StoreRefused(f"{self._path} cannot be used: {exc}") from exc
            aside = self._path.with_name(f"{self._path.name}.damaged-{int(time.time())}")
            log.error("store_set_aside", path=str(self._path), name=aside.name, fault=type(exc).__name__)
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self._path.with_name(self._path.name + suffix).rename(aside.with_name(aside.name + suffix))
            self._writer = self._prepared()

    def _lock_file(self) -> None:
        """Let no second service write the file.

        Raises:
            StoreRefused: another one does; it is named.
        """
        path = self._path.with_name(self._path.name + ".lock")
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "another process"
            os.close(self._lock)
            self._lock = None
            if self._guest:
                return
            raise StoreRefused(f"{self._path} is held by process {holder}: two services cannot share it") from exc
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def _prepared(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StoreRefused(f"{self._path} was written by a newer version of the service (schema {version})")
        if version < VERSION and self._lock is None:
            raise StoreRefused(f"{self._path} is in use by an older version of the service (schema {version})")
        # Gigabytes are not read through at each start: that the file opens is seen here, and
        # each text is held against its ending's digest when it is asked for.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        for number in range(version, VERSION):
            connection.executescript(f"BEGIN; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
        (self.salt,) = connection.execute("SELECT salt FROM salts").fetchone()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
        except BaseException:
            connection.close()
            raise
        return connection

    async def close(self) -> None:
        """See `service.store.contract.Store.close`."""
        self._writing.shutdown(wait=True)
        self._reading.shutdown(wait=True)
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- writing

    async def ready(self) -> None:
        """See `service.store.contract.Store.ready`; only a commit can tell."""

    async def commit(self, changes: Sequence[Change]) -> Collection[str]:
        """See `service.store.contract.Store.commit`."""
        await self._run(self._writing, self._commit, changes)
        return ()

    def _commit(self, changes: Sequence[Change]) -> None:
        assert self._writer is not None, "the store is not open"
        execute = self._writer.execute
        before = dict(self._open) if len(self._open) < 64 else None
        touched: dict[str, None] = {}
        if self._writer.in_transaction:  # one that could not be rolled back when it failed
            execute("ROLLBACK")
        execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                match change:
                    case Grown(stream, block):
                        self._grow(execute, stream, block)
                        touched[stream] = None
                    case _:
                        self._flush(execute, touched)
                        _WRITES[type(change)](self, execute, change)
            self._flush(execute, touched)
            execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                execute("ROLLBACK")
            # What was remembered of open blocks may be of what was rolled back.
            self._open = before if before is not None else {}
            raise

    def _grow(self, execute: Callable[..., Any], stream: str, block: bytes) -> None:
        """Add to the stream's last block in memory; `_flush` writes it."""
        known = self._open.get(stream)
        if known is None:
            row = execute("SELECT place FROM streams WHERE id = ? AND status IS NULL", (stream,)).fetchone()
            if row is None:
                return  # forgotten, or ended: nothing grows any more
            last = execute("SELECT n, data FROM blocks WHERE place = ? ORDER BY n DESC LIMIT 1", row).fetchone()
            known = (row[0], *(last or (0, b"")))
        place, n, data = known
        if len(data) + len(block) > BLOCK_BYTES and data:
            self._write_block(execute, place, n, data)
            n, data = n + 1, b""
        self._open[stream] = place, n, data + block

    def _flush(self, execute: Callable[..., Any], touched: dict[str, None]) -> None:
        for stream in touched:
            if (known := self._open.get(stream)) is not None:
                self._write_block(execute, *known)
        touched.clear()

    @staticmethod
    def _write_block(execute: Callable[..., Any], place: int, n: int, data: bytes) -> None:
        execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?)", (place, n, data))

    def _begin(self, execute: Callable[..., Any], change: Begun) -> None:
        execute(
            "INSERT OR IGNORE INTO streams (id, tenant, created, meta, body) VALUES (?, ?, ?, ?, ?)",
            (change.stream, change.tenant, change.created, change.meta, change.body),
        )

    def _note(self, execute: Callable[..., Any], change: Noted) -> None:
        execute("UPDATE streams SET meta = ? WHERE id = ?", (change.meta, change.stream))

    def _key(self, execute: Callable[..., Any], change: Keyed) -> None:
        row = (change.tenant, change.key, change.stream, change.identity)
        execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)", row)

    def _replace(self, execute: Callable[..., Any], change: Replaced) -> None:
        self._open.pop(change.stream, None)
        asked = (change.stream,)
        execute("DELETE FROM blocks WHERE place = (SELECT place FROM streams WHERE id = ? AND status IS NULL)", asked)
        self._renew(execute, change)

    def _renew(self, execute: Callable[..., Any], change: Replaced | Renewed) -> None:
        execute(
            "UPDATE streams SET gen = ?, reason = ? WHERE id = ? AND status IS NULL",
            (change.gen, change.reason, change.stream),
        )

    def _end(self, execute: Callable[..., Any], change: Ended) -> None:
        self._open.pop(change.stream, None)
        row = execute(
            "SELECT place, length(meta) FROM streams WHERE id = ? AND status IS NULL", (change.stream,)
        ).fetchone()
        if row is None:
            return  # the first ending stands
        (text,) = execute("SELECT coalesce(sum(length(data)), 0) FROM blocks WHERE place = ?", row[:1]).fetchone()
        weight = ROW_BYTES + row[1] + len(change.ending) + text
        execute(
            "UPDATE streams SET status = ?, ending = ?, at = ?, expires = ?, identity = ?, bytes = ?, body = NULL"
            " WHERE place = ?",
            (change.status, change.ending, change.at, change.expires, change.identity, weight, row[0]),
        )
        execute("UPDATE totals SET streams = streams + 1, bytes = bytes + ?", (weight,))

    def _forget(self, execute: Callable[..., Any], change: Forgotten) -> None:
        self._open.pop(change.stream, None)
        row = execute("SELECT place, bytes, status FROM streams WHERE id = ?", (change.stream,)).fetchone()
        if row is None:
            return
        place, weight, status = row
        execute("DELETE FROM blocks WHERE place = ?", (place,))
        execute("DELETE FROM keys WHERE stream = ?", (change.stream,))
        execute("DELETE FROM streams WHERE place = ?", (place,))
        if status is not None:
            execute("UPDATE totals SET streams = streams - 1, bytes = bytes - ?", (weight,))

    # -- reading

    async def find(self, stream: str) -> Kept | None:
        """See `service.store.contract.Store.find`."""
        rows = await self._rows(f"SELECT {_COLUMNS} FROM streams WHERE id = ?", (stream,))  # noqa: S608
        return Kept(*rows[0]) if rows else None

    async def blocks(self, stream: str) -> list[bytes]:
        """See `service.store.contract.Store.blocks`."""
        asked = "SELECT data FROM blocks WHERE place = (SELECT place FROM streams WHERE id = ?) ORDER BY n"
        return [data for (data,) in await self._rows(asked, (stream,))]

    async def by_key(self, tenant: str, key: str) -> tuple[str, bytes] | None:
        """See `service.store.contract.Store.by_key`."""
        rows = await self._rows("SELECT stream, identity FROM keys WHERE tenant = ? AND key = ?", (tenant, key))
        return rows[0] if rows else None

    async def by_identity(self, tenant: str, identity: bytes) -> str | None:
        """See `service.store.contract.Store.by_identity`."""
        asked = "SELECT id FROM streams WHERE tenant = ? AND identity = ? ORDER BY place DESC LIMIT 1"
        rows = await self._rows(asked, (tenant, identity))
        return rows[0][0] if rows else None

    async def page(self, tenant: str, status: str | None, before: int | None, limit: int) -> list[Kept]:
        """See `service.store.contract.Store.page`."""
        asked = f"SELECT {_COLUMNS} FROM streams WHERE tenant = ?"  # noqa: S608
        values: list[Any] = [tenant]
        if status is not None:
            asked += " AND status = ?"
            values.append(status)
        if before is not None:
            asked += " AND place < ?"
            values.append(before)
        rows = await self._rows(f"{asked} ORDER BY place DESC LIMIT ?", (*values, limit))
        return [Kept(*row) for row in rows]

    async def running(self) -> list[Kept]:
        """See `service.store.contract.Store.running`."""
        rows = await self._rows(f"SELECT {_COLUMNS} FROM streams WHERE status IS NULL ORDER BY place", ())  # noqa: S608
        return [Kept(*row) for row in rows]

    async def note(self, tenant: str, name: str, now: float) -> bytes | None:
        """See `service.store.contract.Store.note`."""
        asked = "SELECT told FROM notes WHERE tenant = ? AND name = ? AND expires > ?"
        rows = await self._rows(asked, (tenant, name, now))
        return rows[0][0] if rows else None

    async def write_note(
        self, tenant: str, name: str, before: bytes | None, told: bytes, expires: float, now: float
    ) -> bool:
        """See `service.store.contract.Store.write_note`."""
        return await self._run(self._writing, self._write_note, tenant, name, before, told, expires, now)

    def _write_note(
        self, tenant: str, name: str, before: bytes | None, told: bytes, expires: float, now: float
    ) -> bool:
        assert self._writer is not None, "the store is not open"
        if before is None:
            asked = (
                "INSERT INTO notes VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET told = excluded.told, expires = excluded.expires WHERE expires <= ?"
            )
            values: tuple[Any, ...] = (tenant, name, told, expires, now)
        else:
            asked = "UPDATE notes SET told = ?, expires = ? WHERE tenant = ? AND name = ? AND told = ?"
            values = (told, expires, tenant, name, before)
        return self._writer.execute(asked, values).rowcount == 1

    async def add(
        self, amounts: Mapping[tuple[str, str], float], expires: float, now: float
    ) -> Mapping[tuple[str, str], float]:
        """See `service.store.contract.Store.add`."""
        return await self._run(self._writing, self._add, amounts, expires, now)

    def _add(
        self, amounts: Mapping[tuple[str, str], float], expires: float, now: float
    ) -> Mapping[tuple[str, str], float]:
        assert self._writer is not None, "the store is not open"
        asked = (
            "INSERT INTO sums VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET amount = amount + excluded.amount, expires = excluded.expires RETURNING amount"
        )
        writer, found = self._writer, dict[tuple[str, str], float]()
        writer.execute("BEGIN IMMEDIATE")
        try:
            writer.execute("DELETE FROM sums WHERE expires <= ?", (now,))
            for mark, amount in amounts.items():
                ((found[mark],),) = writer.execute(asked, (*mark, amount, expires)).fetchall()
            writer.execute("COMMIT")
        except BaseException:
            writer.execute("ROLLBACK")
            raise
        return found

    async def usage(self) -> tuple[int, int]:
        """See `service.store.contract.Store.usage`."""
        ((streams, size),) = await self._rows("SELECT streams, bytes FROM totals", ())
        return int(streams), int(size)

    async def prune(self, now: float, max_bytes: int) -> list[str]:
        """See `service.store.contract.Store.prune`."""
        await self._run(self._writing, self._forget_notes, now)
        gone = [ident for (ident,) in await self._rows(
            "SELECT id FROM streams WHERE status IS NOT NULL AND expires <= ? LIMIT 1000", (now,)
        )]  # fmt: skip
        _, size = await self.usage()
        if size > max_bytes:
            rows = await self._rows(
                "SELECT id, bytes FROM streams WHERE status IS NOT NULL ORDER BY at, place LIMIT 1000", ()
            )
            for ident, weight in rows:
                if size <= max_bytes:
                    break
                size -= weight
                if ident not in gone:
                    gone.append(ident)
        if gone:
            await self.commit([Forgotten(ident) for ident in gone])
        return gone

    def _forget_notes(self, now: float) -> None:
        assert self._writer is not None, "the store is not open"
        self._writer.execute("DELETE FROM notes WHERE expires <= ?", (now,))

    async def _rows(self, asked: str, values: tuple[Any, ...]) -> list[Any]:
        return await self._run(self._reading, self._select, asked, values)

    def _select(self, asked: str, values: tuple[Any, ...]) -> list[Any]:
        assert self._reader is not None, "the store is not open"
        return self._reader.execute(asked, values).fetchall()

    async def _run(self, executor: ThreadPoolExecutor, work: Callable[..., Result], *arguments: Any) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work, *arguments)
        except (sqlite3.Error, OSError) as exc:
            raise StoreFailed(type(exc).__name__) from exc


_WRITES: dict[type, Callable[..., None]] = {
    Begun: SqliteStore._begin,
    Noted: SqliteStore._note,
    Keyed: SqliteStore._key,
    Replaced: SqliteStore._replace,
    Renewed: SqliteStore._renew,
    Ended: SqliteStore._end,
    Forgotten: SqliteStore._forget,
}
