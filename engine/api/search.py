"""Routes of search. The whole outcome is kept for an hour, so that its pages fit together."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from engine.api.forms import read_form
from engine.api.search_query import read_query
from engine.api.web import origin
from engine.errors import ApiError, invalid, unknown
from engine.sentences.meaning import Meaning
from engine.store.rows import new_id, written
from engine.store.searches import Search
from engine.store.store import Store
from engine.work.hits import grouped
from engine.work.search import Searcher, check_index
from engine.work.thumbnails import Thumbnails
from engine.work.tokens import Expired, Forged, Tokens

PAGE_LIFETIME_S = 3600.0


class SearchRoutes:
    """Run searches, and answer what they found page by page.

    Args:
        clock: seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        searcher: Searcher,
        thumbnails: Thumbnails,
        meaning: Meaning,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._library = store.library
        self._indexes = store.indexes
        self._indexed = store.indexed
        self._entities = store.entities
        self._searches = store.searches
        self._searcher = searcher
        self._thumbnails = thumbnails
        self._meaning = meaning
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
            index = await self._indexes.get(form.needed("index_id"))
            check_index(index, query)
            uploads = [upload.incoming for upload in form.files.get("query_media_file", [])]
            images = await self._searcher.sketches(uploads, query.image_urls)
        for entity in query.entities:
            await self._refuse_entity(entity)
        searched = await self._searcher.pool_of(index, query.filter)
        hits = await self._searcher.find(query, images, searched)
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
            raise _expired() from exc
        except Forged as exc:
            raise invalid("The page_token parameter is not a page token.") from exc
        search = await self._searches.get(ident)
        if search is None:
            raise _expired()
        wants = request.query.get("include_user_metadata")
        if wants is not None:
            if wants.lower() not in ("true", "false"):
                raise invalid("The include_user_metadata parameter must be true or false.")
            search.found["user_metadata"] = wants.lower() == "true"
        return web.json_response(await self._page(origin(request), search, int(number)))

    def _need_meaning(self) -> None:
        if not self._meaning.available:
            raise ApiError(
                "search_option_not_supported",
                "This engine was started without weights, so it finds words by their form, not by their meaning;"
                " `fanlight models fetch meaning` fetches them, and the next start finds them.",
            )

    async def _refuse_entity(self, ident: str) -> None:
        if not await self._entities.exists(ident):
            raise unknown("entity", ident)
        raise ApiError(
            "search_option_not_supported",
            "Entities are kept, but this engine cannot find them: it recognises no faces and no things.",
        )

    # -- pages -------------------------------------------------------------

    async def _keep(self, base: str, found: dict[str, Any], page_limit: int) -> dict[str, Any]:
        search = Search(new_id(), self._instant(PAGE_LIFETIME_S), page_limit, found)
        if len(found["items"]) > page_limit:
            await self._searches.keep(search, self._instant(0))
        return await self._page(base, search, 1)

    async def _page(self, base: str, search: Search, number: int) -> dict[str, Any]:
        limit, found = search.page_limit, search.found
        items = found["items"]
        shown = items[(number - 1) * limit : number * limit]
        if found["thumbnails"]:
            shown = [self._with_thumbnails(base, item, found["thumbnails"]) for item in shown]
        info: dict[str, Any] = {
            "limit_per_page": limit,
            "total_results": len(items),
            "page_expires_at": search.expires_at,
        }
        if found["group_by"] == "video":
            info["total_inner_matches"] = found["inner"]
        if number * limit < len(items):
            info["next_page_token"] = self._token(search, number + 1)
        if number > 1:
            info["prev_page_token"] = self._token(search, number - 1)
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

    def _token(self, search: Search, number: int) -> str:
        """Return the token of another page; it lives as long as the outcome is kept."""
        assert self._tokens is not None
        until = datetime.fromisoformat(search.expires_at).timestamp()
        return self._tokens.make(f"{search.id}/{number}", until - self._clock())

    async def _with_metadata(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        kept = await self._indexed.metadata_of({item.get("video_id") or item["id"] for item in items})
        told = []
        for item in items:
            metadata = kept.get(item.get("video_id") or item["id"], {})
            clips = (
                {"clips": [{**clip, "user_metadata": metadata} for clip in item["clips"]]} if "clips" in item else {}
            )
            told.append({**item, **clips, "user_metadata": metadata})
        return told

    def _instant(self, ahead_s: float) -> str:
        return written(datetime.fromtimestamp(self._clock() + ahead_s, UTC))


def _expired() -> ApiError:
    return ApiError("search_page_token_expired", "The page token has expired; search again.")
