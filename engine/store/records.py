"""What was measured in media, by the hash of their bytes: a record, and what of it can be searched."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.store.library import Library
from engine.store.rows import as_value

PassageRow = tuple[str, float, float, str]  # kind, start, end, text
SketchRow = tuple[float, float, bytes]  # start, end, sketches in a row

_BY_WORDS = """
SELECT passages.sha256, start, "end", passages.text FROM passage_words
JOIN passages ON passages.rowid = passage_words.rowid
WHERE passage_words MATCH ? AND kind = ? AND passages.sha256 IN (SELECT value FROM json_each(?))
ORDER BY bm25(passage_words), passages.rowid LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that was found."""

    sha256: str
    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Sketched:
    """A shot, and its sketches in a row."""

    sha256: str
    start: float
    end: float
    sketch: bytes


class Records:
    """The rows of ``records``, ``passages`` and ``sketches``."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def get(self, sha256: str) -> str | None:
        """Return the record of a file as JSON, if there is one."""
        row = await self._library.row("SELECT record FROM records WHERE sha256 = ?", [sha256])
        return None if row is None else str(row["record"])

    async def keep(
        self, sha256: str, record: str, passages: Iterable[PassageRow], sketches: Iterable[SketchRow]
    ) -> None:
        """Keep what was measured of a file, in place of what was kept of it before."""

        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "DELETE FROM passage_words WHERE rowid IN (SELECT rowid FROM passages WHERE sha256 = ?)", [sha256]
            )
            db.execute("DELETE FROM passages WHERE sha256 = ?", [sha256])
            db.execute("DELETE FROM sketches WHERE sha256 = ?", [sha256])
            db.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", [sha256, record])
            for kind, start, end, text in passages:
                row = db.execute(
                    'INSERT INTO passages (sha256, kind, start, "end", text) VALUES (?, ?, ?, ?, ?)',
                    [sha256, kind, start, end, text],
                )
                db.execute("INSERT INTO passage_words (rowid, text) VALUES (?, ?)", [row.lastrowid, text])
            db.executemany("INSERT INTO sketches VALUES (?, ?, ?, ?)", [(sha256, *row) for row in sketches])

        await self._library.together(write)

    async def by_words(self, query: str, kind: str, sha256s: Iterable[str], most: int) -> list[Found]:
        """Return the passages of a kind that an FTS5 query finds, the best first."""
        rows = await self._library.rows(_BY_WORDS, [query, kind, json.dumps(list(sha256s)), most])
        return [as_value(Found, row) for row in rows]

    async def sketches_of(self, sha256s: Sequence[str]) -> list[Sketched]:
        """Return the shots of files."""
        sql = 'SELECT sha256, start, "end", sketch FROM sketches WHERE sha256 IN (SELECT value FROM json_each(?))'
        return [as_value(Sketched, row) for row in await self._library.rows(sql, [json.dumps(list(sha256s))])]
