"""Search: find the stretches of an index's media that fit words, pictures, or both.

    visual         words against what was measured of the picture; images against its sketches
    audio          words against what was measured of the sound
    transcription  words against what was understood of the speech, by form and by meaning

Every hit is a stretch that an examination found. Lists of different kinds are joined by
reciprocal rank, because a match of words and a likeness of colours have no common scale.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ApiError
from engine.facts.job import Sketch
from engine.facts.words import word_query
from engine.store.indexed import Indexed
from engine.store.indexes import Index
from engine.store.library import Incoming
from engine.store.store import Store
from engine.store.where import Where
from engine.work.fetch import Fetcher, check_url
from engine.work.hits import Hit, joined
from engine.work.pool import Pool
from engine.work.vectors import Vectors

OPTIONS = ("visual", "audio", "transcription")
WAYS = ("lexical", "semantic")
# Farther apart than this, two pictures do not look alike (docs/engine.md: how it was found).
LOOK_ALIKE = 0.2
_MOST_HITS = 1000


@dataclass(frozen=True, slots=True)
class Query:
    """A search that has the right form.

    Attributes:
        ways: how words are searched among what was said: ``lexical`` by form, ``semantic`` by meaning.
    """

    options: tuple[str, ...]
    ways: tuple[str, ...]
    text: str
    entities: tuple[str, ...]
    image_urls: tuple[str, ...]
    group_by: str
    operator: str
    page_limit: int
    filter: Where
    include_user_metadata: bool


@dataclass(frozen=True, slots=True)
class SearchPool:
    """The media that a search looks through, by id, and the number and length of all that are ready."""

    rows: dict[str, Indexed]
    total: int
    duration: float

    @property
    def by_content(self) -> dict[str, list[str]]:
        """The ids of those that consist of the same bytes, by their hash."""
        idents: dict[str, list[str]] = {}
        for ident, row in self.rows.items():
            idents.setdefault(row.content, []).append(ident)
        return idents

    @property
    def pictured(self) -> list[str]:
        """The ids of those that have a picture."""
        return [ident for ident, row in self.rows.items() if row.width is not None]


class Searcher:
    """Look through what was measured."""

    def __init__(self, store: Store, pool: Pool, fetcher: Fetcher, vectors: Vectors) -> None:
        self._library = store.library
        self._indexed = store.indexed
        self._records = store.records
        self._pool = pool
        self._fetcher = fetcher
        self._vectors = vectors

    async def pool_of(self, index: Index, wanted: Where) -> SearchPool:
        """Return what a search of an index looks through."""
        ready = await self._indexed.ready_in(index.id, wanted)
        return SearchPool({row.id: row for row in ready.rows}, ready.total, round(ready.duration, 3))

    async def sketches(self, uploads: Sequence[Incoming], urls: Sequence[str]) -> list[bytes]:
        """Have workers look at a query's images.

        Raises:
            ApiError: one is none, or cannot be fetched.
        """
        sketches = []
        for upload in uploads:
            await asyncio.to_thread(upload.finish)
            sketches.append(await self._sketch(upload.path))
        for url in urls:
            check_url(url)
            incoming = self._library.incoming()
            try:
                await self._fetcher.fetch(url, incoming.write)
                await asyncio.to_thread(incoming.finish)
                sketches.append(await self._sketch(incoming.path))
            finally:
                incoming.discard()
        return sketches

    async def find(self, query: Query, images: list[bytes], searched: SearchPool) -> list[Hit]:
        """Return the hits, best first."""
        lists: dict[str, list[list[Hit]]] = {}
        for option in query.options:
            lists[option] = []
            if query.text and (option != "transcription" or "lexical" in query.ways):
                lists[option].append(await self._by_words(option, query.text, searched))
            if query.text and option == "transcription" and "semantic" in query.ways:
                lists[option].append(await self._by_meaning(query.text, searched))
        if images:
            lists["visual"].append(await self._by_looks(images, searched))
        return joined(lists, query.operator)[:_MOST_HITS]

    async def _sketch(self, path: Path) -> bytes:
        async with self._pool.probe() as worker:
            await worker.give(Sketch(path))
            return bytes.fromhex((await worker.receive())["sketch"])

    async def _by_words(self, option: str, text: str, searched: SearchPool) -> list[Hit]:
        named = searched.by_content
        rows = await self._records.by_words(word_query(text), option, named, _MOST_HITS)
        return [
            Hit(ident, row.start, row.end, row.text if option == "transcription" else None)
            for row in rows
            for ident in named[row.sha256]
        ]

    async def _by_meaning(self, text: str, searched: SearchPool) -> list[Hit]:
        named = searched.by_content
        rows = await self._vectors.nearest(text, list(named))
        return [Hit(ident, row.start, row.end, row.text) for row in rows[:_MOST_HITS] for ident in named[row.sha256]]

    async def _by_looks(self, images: list[bytes], searched: SearchPool) -> list[Hit]:
        """Return the shots that look like all of the images, the nearest first."""
        named = searched.by_content
        rows = await self._records.sketches_of(list(named))
        measured = await asyncio.to_thread(_likeness, images, [row.sketch for row in rows])
        order = sorted(range(len(rows)), key=lambda place: measured[place])
        return [
            Hit(ident, rows[place].start, rows[place].end)
            for place in order
            if measured[place] <= LOOK_ALIKE
            for ident in named[rows[place].sha256]
        ]


def check_index(index: Index, query: Query) -> None:
    """Refuse what the index was not made for.

    Raises:
        ApiError: ``index_not_supported_for_search`` or ``search_option_not_supported``.
    """
    options = index.options_of("marengo")
    if options is None:
        raise ApiError("index_not_supported_for_search", "The index has no Marengo model.")
    for option in query.options:
        needed = "visual" if option == "visual" else "audio"
        if needed not in options:
            raise ApiError("search_option_not_supported", f"The index was made without {needed}, which {option} needs.")


def _likeness(images: list[bytes], packed: list[bytes]) -> list[float]:
    """Return for each shot how far its nearest picture is from each image, in the mean."""
    # Numbers are loaded for the first search that needs them, not while the engine starts.
    from engine.facts.sketches import distances, unpack

    wanted = [unpack(image)[0] for image in images]
    measured = []
    for raw in packed:
        sketches = unpack(raw)
        measured.append(sum(float(distances(image, sketches).min()) for image in wanted) / len(wanted))
    return measured
