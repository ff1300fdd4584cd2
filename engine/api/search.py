"""Routes of search: find the stretches of an index's media that fit words, pictures, or both.

    visual         words against what was measured of the picture; images against its sketches
    audio          words against what was measured of the sound
    transcription  words against what was understood of the speech, by form and by meaning

Every hit is a stretch that an examination found. Lists of different kinds are joined by
reciprocal rank, because a match of words and a likeness of colours have no common scale.
The whole outcome is kept for an hour, so that its pages fit together.
"""

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from engine.api.filters import Where
from engine.api.forms import Form, read_form
from engine.api.search_query import Hit, Query, grouped, joined, read_query
from engine.api.thumbnails import Thumbnails
from engine.api.web import origin
from engine.errors import ApiError, invalid, unknown
from engine.facts.words import word_query
from engine.sentences.meaning import Meaning
from engine.store.indexes import Index, find_index
from engine.store.library import Library
from engine.work.fetch import Fetcher, check_url
from engine.work.pool import Pool
from engine.work.tokens import Expired, Forged, Tokens
from engine.work.vectors import Vectors

PAGE_LIFETIME_S = 3600.0
# Farther apart than this, two pictures do not look alike (docs/engine.md: how it was found).
LOOK_ALIKE = 0.2
_MOST_HITS = 1000


@dataclass(frozen=True, slots=True)
class SearchPool:
    """The media that a search looks through: rows of ``indexed``, by id, and their number."""

    rows: dict[str, dict[str, Any]]
    total: int
    duration: float

    @property
    def by_content(self) -> dict[str, list[str]]:
        """The ids of those that consist of the same bytes, by their hash."""
        idents: dict[str, list[str]] = {}
        for ident, row in self.rows.items():
            idents.setdefault(row["sha256"], []).append(ident)
        return idents

    @property
    def pictured(self) -> list[str]:
        """The ids of those that have a picture."""
        return [ident for ident, row in self.rows.items() if row["width"] is not None]


class SearchRoutes:
    """Search, and keep what was found for its further pages.

    Args:
        clock: seconds since 1970.
    """

    def __init__(
        self,
        library: Library,
        pool: Pool,
        fetcher: Fetcher,
        thumbnails: Thumbnails,
        meaning: Meaning,
        vectors: Vectors,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._library = library
        self._pool = pool
        self._fetcher = fetcher
        self._thumbnails = thumbnails
        self._meaning = meaning
        self._vectors = vectors
        self._clock = clock
        self._tokens: Tokens | None = None

    async def open(self) -> None:
        self._tokens = Tokens(await self._library.secret("searches"), "page", self._clock)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1.3/search", self.create),
            web.get("/v1.3/search/{page_token}", self.retrieve, allow_head=False),
        ]

    async def create(self, request: web.Request) -> web.Response:
        async with read_form(request, self._library, "query_media_file") as form:
            query = read_query(form)
            if query.ways == ("semantic",):
                self._need_meaning()
            index = await find_index(self._library, form.needed("index_id"))
            _check_index(index, query)
            images = await self._images(form, query)
        for entity in query.entities:
            await self._refuse_entity(entity)
        searched = await self._pool_of(index, query.filter)
        hits = await self._find(query, images, searched)
        found = {
            "index_id": index.id,
            "total": searched.total,
            "duration": searched.duration,
            "group_by": query.group_by,
            "user_metadata": query.include_user_metadata,
            "thumbnails": searched.pictured if "thumbnail" in index.addons else [],
            "items": grouped(hits) if query.group_by == "video" else [hit.told() for hit in hits],
            "inner": len(hits),
        }
        return web.json_response(await self._keep(origin(request), found, query.page_limit))

    async def retrieve(self, request: web.Request) -> web.Response:
        assert self._tokens is not None
        try:
            ident, _, number = self._tokens.read(request.match_info["page_token"]).partition("/")
        except Expired as exc:
            raise ApiError("search_page_token_expired", "The page token has expired; search again.") from exc
        except Forged as exc:
            raise invalid("The page_token parameter is not a page token.") from exc
        row = await self._library.row("SELECT * FROM searches WHERE id = ?", [ident])
        if row is None:
            raise ApiError("search_page_token_expired", "The page token has expired; search again.")
        found = json.loads(row["found"])
        wants = request.query.get("include_user_metadata")
        if wants is not None:
            if wants.lower() not in ("true", "false"):
                raise invalid("The include_user_metadata parameter must be true or false.")
            found["user_metadata"] = wants.lower() == "true"
        return web.json_response(await self._page(origin(request), row, found, int(number)))

    # -- what is looked through ---------------------------------------------

    async def _pool_of(self, index: Index, wanted: dict[str, Any]) -> SearchPool:
        where = Where()
        where.equal("index_id", index.id)
        where.equal("status", "ready")
        total = await self._library.row(
            f"SELECT count(*) AS n, coalesce(sum(duration), 0) AS s FROM indexed WHERE {where.sql}",  # noqa: S608
            where.values,
        )
        assert total is not None
        where.search(wanted)
        rows = await self._library.rows(f"SELECT * FROM indexed WHERE {where.sql}", where.values)  # noqa: S608
        return SearchPool({row["id"]: row for row in rows}, total["n"], round(total["s"], 3))

    async def _images(self, form: Form, query: Query) -> list[bytes]:
        """Have workers look at the query's images."""
        sketches = []
        for upload in form.files.get("query_media_file", []):
            await asyncio.to_thread(upload.incoming.finish)
            sketches.append(await self._sketch(str(upload.incoming.path)))
        for url in query.image_urls:
            check_url(url)
            incoming = self._library.incoming()
            try:
                await self._fetcher.fetch(url, incoming.write)
                await asyncio.to_thread(incoming.finish)
                sketches.append(await self._sketch(str(incoming.path)))
            finally:
                incoming.discard()
        return sketches

    async def _sketch(self, path: str) -> bytes:
        async with self._pool.probe() as worker:
            await worker.give({"kind": "sketch", "path": path})
            return bytes.fromhex((await worker.receive())["sketch"])

    def _need_meaning(self) -> None:
        if not self._meaning.available:
            raise ApiError(
                "search_option_not_supported",
                "This engine was started without weights, so it finds words by their form, not by their meaning;"
                " `make meaning` fetches them, and the next start finds them.",
            )

    async def _refuse_entity(self, ident: str) -> None:
        if not await self._library.row("SELECT 1 FROM entities WHERE id = ?", [ident]):
            raise unknown("entity", ident)
        raise ApiError(
            "search_option_not_supported",
            "Entities are kept, but this engine cannot find them: it recognises no faces and no things.",
        )

    # -- looking -----------------------------------------------------------

    async def _find(self, query: Query, images: list[bytes], searched: SearchPool) -> list[Hit]:
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

    async def _by_words(self, option: str, text: str, searched: SearchPool) -> list[Hit]:
        sql = (
            'SELECT passages.sha256, start, "end", passages.text, bm25(passage_words) AS score FROM passage_words'
            " JOIN passages ON passages.rowid = passage_words.rowid"
            " WHERE passage_words MATCH ? AND kind = ? AND passages.sha256 IN (SELECT value FROM json_each(?))"
            " ORDER BY score, passages.rowid LIMIT ?"
        )
        named = searched.by_content
        rows = await self._library.rows(sql, [word_query(text), option, json.dumps(list(named)), _MOST_HITS])
        return [
            Hit(ident, row["start"], row["end"], row["text"] if option == "transcription" else None)
            for row in rows
            for ident in named[row["sha256"]]
        ]

    async def _by_meaning(self, text: str, searched: SearchPool) -> list[Hit]:
        named = searched.by_content
        rows = await self._vectors.nearest(text, list(named))
        return [
            Hit(ident, row["start"], row["end"], row["text"])
            for row in rows[:_MOST_HITS]
            for ident in named[row["sha256"]]
        ]

    async def _by_looks(self, images: list[bytes], searched: SearchPool) -> list[Hit]:
        """Return the shots that look like all of the images, the nearest first."""
        named = searched.by_content
        sql = 'SELECT sha256, start, "end", sketch FROM sketches WHERE sha256 IN (SELECT value FROM json_each(?))'
        rows = await self._library.rows(sql, [json.dumps(list(named))])
        measured = await asyncio.to_thread(_likeness, images, [row["sketch"] for row in rows])
        order = sorted(range(len(rows)), key=lambda place: measured[place])
        return [
            Hit(ident, rows[place]["start"], rows[place]["end"])
            for place in order
            if measured[place] <= LOOK_ALIKE
            for ident in named[rows[place]["sha256"]]
        ]

    # -- pages -------------------------------------------------------------

    async def _keep(self, base: str, found: dict[str, Any], page_limit: int) -> dict[str, Any]:
        row = {
            "id": secrets.token_hex(12),
            "expires_at": self._instant(PAGE_LIFETIME_S),
            "page_limit": page_limit,
            "found": json.dumps(found),
        }
        if len(found["items"]) > page_limit:
            moment = self._instant(0)

            def write(db: sqlite3.Connection) -> None:
                db.execute("DELETE FROM searches WHERE expires_at <= ?", [moment])
                db.execute("INSERT INTO searches VALUES (:id, :expires_at, :page_limit, :found)", row)

            await self._library.together(write)
        return await self._page(base, row, found, 1)

    async def _page(self, base: str, row: dict[str, Any], found: dict[str, Any], number: int) -> dict[str, Any]:
        limit, items = row["page_limit"], found["items"]
        shown = items[(number - 1) * limit : number * limit]
        if found["thumbnails"]:
            shown = [self._with_thumbnails(base, item, found["thumbnails"]) for item in shown]
        info: dict[str, Any] = {
            "limit_per_page": limit,
            "total_results": len(items),
            "page_expires_at": row["expires_at"],
        }
        if found["group_by"] == "video":
            info["total_inner_matches"] = found["inner"]
        if number * limit < len(items):
            info["next_page_token"] = self._token(row, number + 1)
        if number > 1:
            info["prev_page_token"] = self._token(row, number - 1)
        return {
            "data": await self._with_metadata(shown) if found["user_metadata"] else shown,
            "page_info": info,
            "search_pool": {
                "total_count": found["total"],
                "total_duration": found["duration"],
                "index_id": found["index_id"],
            },
        }

    def _with_thumbnails(self, base: str, item: dict[str, Any], pictured: list[str]) -> dict[str, Any]:
        """Add the picture in the middle of each stretch; a recording of sound has none."""
        if "clips" in item:
            return {**item, "clips": [self._with_thumbnails(base, clip, pictured) for clip in item["clips"]]}
        if item["video_id"] not in pictured:
            return item
        at = (item["start"] + item["end"]) / 2
        return {**item, "thumbnail_url": self._thumbnails.url(base, item["video_id"], at)}

    def _token(self, row: dict[str, Any], number: int) -> str:
        """Return the token of another page; it lives as long as the outcome is kept."""
        assert self._tokens is not None
        until = datetime.fromisoformat(row["expires_at"]).timestamp()
        return self._tokens.make(f"{row['id']}/{number}", until - self._clock())

    async def _with_metadata(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        idents = json.dumps(sorted({item.get("video_id") or item["id"] for item in items}))
        sql = "SELECT id, user_metadata FROM indexed WHERE id IN (SELECT value FROM json_each(?))"
        kept = {row["id"]: json.loads(row["user_metadata"]) for row in await self._library.rows(sql, [idents])}
        told = []
        for item in items:
            metadata = kept.get(item.get("video_id") or item["id"], {})
            clips = (
                {"clips": [{**clip, "user_metadata": metadata} for clip in item["clips"]]} if "clips" in item else {}
            )
            told.append({**item, **clips, "user_metadata": metadata})
        return told

    def _instant(self, ahead_s: float) -> str:
        moment = datetime.fromtimestamp(self._clock() + ahead_s, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _check_index(index: Index, query: Query) -> None:
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
