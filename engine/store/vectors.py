"""Vectors of passages, each by the weights that made it; one goes with its passage."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from engine.store.library import Library
from engine.store.rows import as_value

# Rows read in one turn of the database's thread: 3 MB.
PAGE = 2048

_LACKING = """
SELECT passages.rowid, text FROM passages LEFT JOIN vectors ON passage = passages.rowid AND weights = :weights
WHERE kind = :kind AND passage IS NULL AND (:sha256 IS NULL OR sha256 = :sha256) ORDER BY passages.rowid LIMIT :most
"""
# A passage may have gone meanwhile, and another have its number.
_FILL = "INSERT OR REPLACE INTO vectors SELECT rowid, ?, ? FROM passages WHERE rowid = ? AND text = ?"
_PAGE_OF = """
SELECT passages.rowid, sha256, start, "end", text, vector FROM passages
JOIN vectors ON passage = passages.rowid AND weights = :weights
WHERE kind = :kind AND sha256 IN (SELECT value FROM json_each(:sha256s)) AND passages.rowid > :after
ORDER BY passages.rowid LIMIT :most
"""


@dataclass(frozen=True, slots=True)
class Lacking:
    """A passage that has no vector."""

    rowid: int
    text: str


@dataclass(frozen=True, slots=True)
class Embedded:
    """A passage with its vector, packed."""

    rowid: int
    sha256: str
    start: float
    end: float
    text: str
    vector: bytes


class VectorRows:
    """The rows of ``vectors`` that some weights made of passages of a kind."""

    def __init__(self, library: Library, weights: str, kind: str) -> None:
        self._library = library
        self._mine = {"weights": weights, "kind": kind}

    async def lacking(self, sha256: str | None, most: int) -> list[Lacking]:
        """Return passages that have no vector, of one media file or of all."""
        rows = await self._library.rows(_LACKING, {**self._mine, "sha256": sha256, "most": most})
        return [as_value(Lacking, row) for row in rows]

    async def fill(self, made: Iterable[tuple[Lacking, bytes]]) -> None:
        """Keep the vectors of passages that are still what they were."""
        rows = [(self._mine["weights"], vector, one.rowid, one.text) for one, vector in made]

        def write(db: sqlite3.Connection) -> None:
            db.executemany(_FILL, rows)

        await self._library.together(write)

    async def pages(self, sha256s: Sequence[str]) -> AsyncIterator[list[Embedded]]:
        """Yield the passages of files with their vectors, so many at a time."""
        wanted = {**self._mine, "sha256s": json.dumps(list(sha256s)), "most": PAGE, "after": 0}
        while rows := await self._library.rows(_PAGE_OF, wanted):
            yield [as_value(Embedded, row) for row in rows]
            wanted["after"] = rows[-1]["rowid"]
