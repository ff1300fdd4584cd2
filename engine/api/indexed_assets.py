"""Routes of media in an index: ``indexed-assets``, and ``videos``, their older twin."""

import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from engine.api.embed import check_options, segment
from engine.api.embed_query import GIVEN
from engine.api.filters import NUMBERS, Where, check_metadata
from engine.api.hls import Hls
from engine.api.paging import Paging, listed
from engine.api.web import deprecated, origin, read_object
from engine.errors import invalid, missing
from engine.store.indexes import find_index
from engine.store.library import Library
from engine.tell.passages import passages_of
from engine.work.embedder import Embedder, models_of
from engine.work.indexer import Indexer, system_metadata

STATUSES = ("ready", "pending", "queued", "indexing", "failed")
_EMBEDDING_OPTIONS = ("visual", "audio", "transcription", "visual-text")
_LIST_KEYS = (
    "page", "page_limit", "sort_by", "sort_option", "status", "filename", "created_at", "updated_at", *NUMBERS,
)  # fmt: skip

_WITH_INDEX = "(SELECT indexed.*, index_name FROM indexed JOIN indexes ON indexes.id = index_id)"


class IndexedAssetRoutes:
    def __init__(self, library: Library, indexer: Indexer, embedder: Embedder, hls: Hls) -> None:
        self._library = library
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
        index = await find_index(self._library, request.match_info["index_id"])
        body = await read_object(request)
        asset_id = body.get("asset_id")
        if asset_id is None:
            raise missing("asset_id")
        if not isinstance(asset_id, str):
            raise invalid("The asset_id parameter must be a string.")
        wants_stream = body.get("enable_video_stream")
        if wants_stream is not None and not isinstance(wants_stream, bool):
            raise invalid("The enable_video_stream parameter must be true or false.")
        metadata = check_metadata(body.get("user_metadata") or {})
        ident = await self._indexer.from_asset(index.id, asset_id)
        if metadata:
            sql = "UPDATE indexed SET user_metadata = ? WHERE id = ?"
            await self._library.write(sql, [json.dumps(metadata), ident])
        if wants_stream:
            await self._hls.wish(ident)
        return web.json_response({"_id": ident}, status=202)

    async def list(self, request: web.Request) -> web.Response:
        return await self._list(request, videos=False)

    async def list_by_asset(self, request: web.Request) -> web.Response:
        asset = await self._library.get(request.match_info["asset_id"])
        where = Where()
        where.equal("asset_id", asset.id)
        return await listed(self._library, _WITH_INDEX, Paging.of(request), where, _placed)

    async def list_videos(self, request: web.Request) -> web.Response:
        return await self._list(request, videos=True)

    async def _list(self, request: web.Request, videos: bool) -> web.Response:
        index = await find_index(self._library, request.match_info["index_id"])
        paging = Paging.of(request, ("created_at", "updated_at"))
        where = Where()
        where.equal("index_id", index.id)
        if videos:
            where.equal("status", "ready")  # a video is in its index when it is indexed
        else:
            where.statuses(request, STATUSES)
            where.add("status != 'validating'")
        where.equal("filename", request.query.get("filename"))
        for name in NUMBERS:
            where.number(request, name)
        where.since(request, "created_at")
        where.since(request, "updated_at", "touched_at")
        where.metadata_query(request, _LIST_KEYS)
        return await listed(self._library, "indexed", paging, where, _video_told if videos else _told)

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
        told = (_told(row) if kind == "indexed asset" else _video_told(row)) | {
            "user_metadata": json.loads(row["user_metadata"])
        }
        told |= await self._hls.told(origin(request), row)
        if wants_words == "true" and row["status"] == "ready":
            told |= _words(await self._indexer.record(row))
        if options and row["status"] == "ready":
            told["embedding"] = await self._embedding(row, options)
        return web.json_response(told)

    async def _embedding(self, row: dict[str, Any], options: Sequence[str]) -> dict[str, Any]:
        rows = await self._embedder.kept(row, options)
        return {"model_name": models_of(rows), "video_embedding": {"segments": [segment(one) for one in rows]}}

    async def update(self, request: web.Request) -> web.Response:
        return await self._update(request, "indexed asset")

    async def update_video(self, request: web.Request) -> web.Response:
        return await self._update(request, "video")

    async def _update(self, request: web.Request, kind: str) -> web.Response:
        row = await self._indexer.find(request.match_info["index_id"], request.match_info["id"], kind)
        changes = (await read_object(request)).get("user_metadata")
        if changes is not None:
            await self._indexer.change_metadata(row, check_metadata(changes, nulls=True))
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        return await self._delete(request, "indexed asset")

    async def delete_video(self, request: web.Request) -> web.Response:
        return await self._delete(request, "video")

    async def _delete(self, request: web.Request, kind: str) -> web.Response:
        row = await self._indexer.find(request.match_info["index_id"], request.match_info["id"], kind)
        await self._indexer.delete(row)
        return web.Response(status=204)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as an indexed asset; a failed one says why."""
    told = {**_video_told(row), "status": "pending" if row["status"] == "validating" else row["status"]}
    if row["asset_id"]:
        told["asset_id"] = row["asset_id"]
    if row["error_code"]:
        told["error"] = {"code": row["error_code"], "message": row["error_message"]}
    return told


def _video_told(row: dict[str, Any]) -> dict[str, Any]:
    told = {
        "_id": row["id"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "system_metadata": system_metadata(row),
    }
    if row["indexed_at"]:
        told["indexed_at"] = row["indexed_at"]
    return told


def _placed(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the index that it is in, for a list over all indexes."""
    return {**_told(row), "index": {"_id": row["index_id"], "name": row["index_name"]}}


def _words(kept: dict[str, Any]) -> dict[str, Any]:
    """Return what was said; where nobody could listen, say why instead of giving an empty list."""
    speech = kept["examinations"]["speech"]
    if speech["outcome"] != "made":
        return {"examinations": {"speech": speech}}
    said = [one for one in passages_of(kept) if one.kind == "transcription"]
    return {
        "transcription": [{"start": round(one.start, 3), "end": round(one.end, 3), "value": one.text} for one in said]
    }
