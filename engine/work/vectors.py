"""Vectors of what was said in indexed media, kept beside the words, and the search among them.

Only what was said: the words for what was measured are few and fixed, and vectors put
them in a worse order than the words themselves do (docs/engine.md).

A vector is made when its media are indexed. It bears the name of the weights that made
it: those that are given later, or others, fill in behind, passage by passage.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from engine.sentences.meaning import AT_ONCE, Meaning
from engine.sentences.weights import VERSION
from engine.store.library import Library
from engine.store.vectors import Embedded, VectorRows
from engine.tell.retrieval import ALIKE
from engine.work.jobs import Jobs

KIND = "transcription"


class Vectors:
    """Own the rows of ``vectors``; without weights there are none, and nothing is made."""

    def __init__(self, library: Library, meaning: Meaning) -> None:
        self._rows = VectorRows(library, VERSION, KIND)
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
        while lacking := await self._rows.lacking(sha256, AT_ONCE):
            made = await self._meaning.vectors([one.text for one in lacking])
            await self._rows.fill((one, vector.tobytes()) for one, vector in zip(lacking, made, strict=True))

    async def of(self, sha256: str) -> list[Embedded]:
        """Return a media file's passages with their vectors, in order."""
        await self.fill(sha256)
        rows = [row async for page in self._rows.pages([sha256]) for row in page]
        return sorted(rows, key=lambda row: (row.start, row.end))

    async def nearest(self, text: str, sha256s: Sequence[str]) -> list[Embedded]:
        """Return the passages that mean what a text says, the nearest first; none where none is near enough."""
        if not self._meaning.available:
            return []
        [wanted] = await self._meaning.vectors([text])
        found: list[tuple[float, Embedded]] = []
        async for page in self._rows.pages(sha256s):
            near = await asyncio.to_thread(_similarities, wanted, page)
            found += [(one, row) for one, row in zip(near, page, strict=True) if one >= ALIKE]
        return [row for _, row in sorted(found, key=lambda one: (-one[0], one[1].rowid))]


def _similarities(wanted: Any, page: list[Embedded]) -> list[float]:
    """Return the cosine of each row's vector and a text's."""
    import numpy as np

    rows = np.frombuffer(b"".join(row.vector for row in page), np.float32).reshape(len(page), -1)
    near: list[float] = (rows @ wanted).tolist()
    return near
