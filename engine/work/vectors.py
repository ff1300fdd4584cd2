"""Vectors of what was said in indexed media, kept beside the words, and the search among them.

Only what was said: the words for what was measured are few and fixed, and vectors put
them in a worse order than the words themselves do (docs/engine.md).

A vector is made when its media are indexed. It bears the name of the weights that made
it: those that are given later, or others, fill in behind, passage by passage.
"""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from engine.sentences.meaning import AT_ONCE, Meaning
from engine.sentences.weights import VERSION
from engine.store.library import Library
from engine.tell.retrieval import ALIKE
from engine.work.jobs import Jobs

KIND = "transcription"
# A question waits for no more than these to be made.
_AT_ONCE = 8
# Rows read in one turn of the database's thread: 3 MB.
_PAGE = 2048

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


class Vectors:
    """Own the rows of ``vectors``; without weights there are none, and nothing is made."""

    def __init__(self, library: Library, meaning: Meaning) -> None:
        self._library = library
        self._meaning = meaning
        self._jobs = Jobs()

    async def open(self) -> None:
        """Fill in, behind the server, what was indexed without these weights."""
        if self._meaning.available:
            self._jobs.start("all", self.fill(None))

    async def close(self) -> None:
        await self._jobs.close()

    async def fill(self, sha256: str | None) -> None:
        """Make the vectors that are lacking, of one media file or of all."""
        if not self._meaning.available:
            return
        wanted = {"weights": VERSION, "kind": KIND, "sha256": sha256, "most": AT_ONCE}
        while rows := await self._library.rows(_LACKING, wanted):
            made = await self._meaning.vectors([row["text"] for row in rows])
            filled = [
                (VERSION, vector.tobytes(), row["rowid"], row["text"]) for row, vector in zip(rows, made, strict=True)
            ]

            def write(db: sqlite3.Connection, filled: list[tuple[Any, ...]] = filled) -> None:
                db.executemany(_FILL, filled)

            await self._library.together(write)

    async def of(self, sha256: str) -> list[dict[str, Any]]:
        """Return a media file's passages, in order: ``start``, ``end``, ``text``, ``vector`` (float32, packed)."""
        await self.fill(sha256)
        rows = [row async for page in self._pages([sha256]) for row in page]
        return sorted(rows, key=lambda row: (row["start"], row["end"]))

    async def nearest(self, text: str, sha256s: Sequence[str]) -> list[dict[str, Any]]:
        """Return the passages that mean what a text says, the nearest first; none where none is near enough."""
        if not self._meaning.available:
            return []
        [wanted] = await self._meaning.vectors([text])
        found: list[tuple[float, dict[str, Any]]] = []
        async for page in self._pages(sha256s):
            near = await asyncio.to_thread(_similarities, wanted, page)
            found += [(one, row) for one, row in zip(near, page, strict=True) if one >= ALIKE]
        return [row for _, row in sorted(found, key=lambda one: (-one[0], one[1]["rowid"]))]

    async def _pages(self, sha256s: Sequence[str]) -> Any:
        wanted = {"weights": VERSION, "kind": KIND, "sha256s": json.dumps(list(sha256s)), "most": _PAGE, "after": 0}
        while page := await self._library.rows(_PAGE_OF, wanted):
            yield page
            wanted["after"] = page[-1]["rowid"]


def _similarities(wanted: Any, page: list[dict[str, Any]]) -> list[float]:
    """Return the cosine of each row's vector and a text's."""
    import numpy as np

    rows = np.frombuffer(b"".join(row["vector"] for row in page), np.float32).reshape(len(page), -1)
    near: list[float] = (rows @ wanted).tolist()
    return near
