"""Routes of media in an index: ``indexed-assets``, and ``videos``, their older twin."""

from collections.abc import Sequence
from typing import Annotated, Any

from aiohttp import web
from pydantic import BeforeValidator

from engine.api.bodies import Body, Flag, Metadata, Text, metadata_or_fault, read_body
from engine.api.embed import check_options, segment
from engine.api.embed_query import GIVEN
from engine.api.filters import NUMBERS, metadata_query, number, since, statuses
from engine.api.paging import listed, read_paging
from engine.api.web import deprecated, origin, read_object
from engine.errors import invalid
from engine.store.indexed import Indexed
from engine.store.store import Store
from engine.store.tasks import Task
from engine.store.where import Where
from engine.tell.passages import passages_of
from engine.work.embedder import Embedder, models_of
from engine.work.hls import Hls
from engine.work.indexer import Indexer

STATUSES = ("ready", "pending", "queued", "indexing", "failed")
_EMBEDDING_OPTIONS = ("visual", "audio", "transcription", "visual-text")
_LIST_KEYS = (
    "page", "page_limit", "sort_by", "sort_option", "status", "filename", "created_at", "updated_at", *NUMBERS,
)  # fmt: skip

_SYSTEM = ("filename", "duration", "fps", "width", "height", "size")


class NewIndexedAsset(Body):
    """The body that puts an asset into an index."""

    asset_id: Text
    enable_video_stream: Flag | None = None
    user_metadata: Annotated[Metadata, BeforeValidator(lambda given: given or {})] | None = None


class Changes(Body):
    user_metadata: Annotated[dict[Any, Any], metadata_or_fault(nulls=True)] | None = None


class IndexedAssetRoutes:
    def __init__(self, store: Store, indexer: Indexer, embedder: Embedder, hls: Hls) -> None:
        self._assets = store.assets
        self._indexes = store.indexes
        self._indexed = store.indexed
        self._indexer = indexer
        self._embedder = embedder
        self._hls = hls

    def routes(self) -> list[web.RouteDef]:
        assets, videos = "/v1.3/indexes/{index_id}/indexed-assets", "/v1.3/indexes/{index_id}/videos"
        return [
            web.post(assets, self.create),
            web.get(assets, self.list),
            web.get(f"{assets}/{{id}}", self.retrieve, allow_head=False),
            web.patch(f"{assets}/{{id}}", self.update),
            web.delete(f"{assets}/{{id}}", self.delete),
            web.get("/v1.3/assets/{asset_id}/indexed-assets", self.list_by_asset),
            web.get(videos, deprecated(self.list_videos)),
            web.get(f"{videos}/{{id}}", deprecated(self.retrieve_video), allow_head=False),
            web.patch(f"{videos}/{{id}}", deprecated(self.update_video)),
            web.put(f"{videos}/{{id}}", deprecated(self.update_video)),
            web.delete(f"{videos}/{{id}}", deprecated(self.delete_video)),
        ]

    async def create(self, request: web.Request) -> web.Response:
        index = await self._indexes.get(request.match_info["index_id"])
        wanted = read_body(NewIndexedAsset, await read_object(request))
        ident = await self._indexer.from_asset(index.id, wanted.asset_id)
        if wanted.user_metadata:
            await self._indexed.set_metadata(ident, wanted.user_metadata)
        if wanted.enable_video_stream:
            await self._hls.wish(ident)
        return web.json_response({"_id": ident}, status=202)

    async def list(self, request: web.Request) -> web.Response:
        return await self._list(request, videos=False)

    async def list_by_asset(self, request: web.Request) -> web.Response:
        asset = await self._assets.get(request.match_info["asset_id"])
        where = Where()
        where.equal("asset_id", asset.id)
        paging = read_paging(request)
        return listed(await self._indexed.page_with_index(paging, where), paging, _placed)

    async def list_videos(self, request: web.Request) -> web.Response:
        return await self._list(request, videos=True)

    async def _list(self, request: web.Request, videos: bool) -> web.Response:
        index = await self._indexes.get(request.match_info["index_id"])
        paging = read_paging(request, ("created_at", "updated_at"))
        where = Where()
        where.equal("index_id", index.id)
        if videos:
            where.equal("status", "ready")  # a video is in its index when it is indexed
        else:
            statuses(where, request, STATUSES)
            where.differs("status", "validating")
        where.equal("filename", request.query.get("filename"))
        for name in NUMBERS:
            number(where, request, name)
        since(where, request, "created_at")
        since(where, request, "updated_at", "touched_at")
        metadata_query(where, request, _LIST_KEYS)
        return listed(await self._indexed.page(paging, where), paging, _video_told if videos else _told)

    async def retrieve(self, request: web.Request) -> web.Response:
        return await self._retrieve(request, "indexed asset")

    async def retrieve_video(self, request: web.Request) -> web.Response:
        return await self._retrieve(request, "video")

    async def _retrieve(self, request: web.Request, kind: str) -> web.Response:
        options = request.query.getall("embedding_option", [])
        if not set(options) <= set(_EMBEDDING_OPTIONS):
            raise invalid(f"The embedding_option parameter takes {', '.join(_EMBEDDING_OPTIONS[:3])}.")
        wants_words = request.query.get("transcription", "false").lower()
        if wants_words not in ("true", "false"):
            raise invalid("The transcription parameter must be true or false.")
        row = await self._indexer.find(request.match_info["index_id"], request.match_info["id"], kind)
        if options:
            self._embedder.meaning.need(f"embedding_option={options[0]}")
            check_options(options, GIVEN["video"])
        told = _told(row) if kind == "indexed asset" else _video_told(row)
        told["user_metadata"] = row.user_metadata
        told |= await self._hls.told(origin(request), row)
        if wants_words == "true" and row.status == "ready":
            told |= _words(await self._indexer.record(row))
        if options and row.status == "ready":
            told["embedding"] = await self._embedding(row, options)
        return web.json_response(told)

    async def _embedding(self, row: Indexed, options: Sequence[str]) -> dict[str, Any]:
        rows = await self._embedder.kept(row, options)
        return {"model_name": models_of(rows), "video_embedding": {"segments": [segment(one) for one in rows]}}

    async def update(self, request: web.Request) -> web.Response:
        return await self._update(request, "indexed asset")

    async def update_video(self, request: web.Request) -> web.Response:
        return await self._update(request, "video")

    async def _update(self, request: web.Request, kind: str) -> web.Response:
        row = await self._indexer.find(request.match_info["index_id"], request.match_info["id"], kind)
        changes = read_body(Changes, await read_object(request)).user_metadata
        if changes is not None:
            await self._indexer.change_metadata(row, changes)
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        return await self._delete(request, "indexed asset")

    async def delete_video(self, request: web.Request) -> web.Response:
        return await self._delete(request, "video")

    async def _delete(self, request: web.Request, kind: str) -> web.Response:
        row = await self._indexer.find(request.match_info["index_id"], request.match_info["id"], kind)
        await self._indexer.delete(row)
        return web.Response(status=204)


def _told(row: Indexed) -> dict[str, Any]:
    """Return a row as an indexed asset; a failed one says why."""
    told = {**_video_told(row), "status": "pending" if row.status == "validating" else row.status}
    if row.asset_id:
        told["asset_id"] = row.asset_id
    if row.error_code:
        told["error"] = {"code": row.error_code, "message": row.error_message}
    return told


def _video_told(row: Indexed) -> dict[str, Any]:
    told: dict[str, Any] = {
        "_id": row.id,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "system_metadata": system_metadata(row, _SYSTEM),
    }
    if row.indexed_at:
        told["indexed_at"] = row.indexed_at
    return told


def system_metadata(row: Indexed | Task, names: Sequence[str]) -> dict[str, Any]:
    """Return what is known of a file; what was not measured yet is left out."""
    return {name: value for name in names if (value := getattr(row, name)) is not None}


def _placed(row: Indexed) -> dict[str, Any]:
    """Return a row with the index that it is in, for a list over all indexes."""
    return {**_told(row), "index": {"_id": row.index_id, "name": row.index_name}}


def _words(kept: dict[str, Any]) -> dict[str, Any]:
    """Return what was said; where nobody could listen, say why instead of giving an empty list."""
    speech = kept["examinations"]["speech"]
    if speech["outcome"] != "made":
        return {"examinations": {"speech": speech}}
    said = [one for one in passages_of(kept) if one.kind == "transcription"]
    return {
        "transcription": [{"start": round(one.start, 3), "end": round(one.end, 3), "value": one.text} for one in said]
    }
