"""Routes of embeddings that are asked for now and fetched later, both generations.

A task that was running when the engine was killed runs again from its beginning. Results
live for seven days, as the reference says.
"""

import asyncio
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from aiohttp import web

from engine.api.embed import check_options, metadata, row_told, segment, unheard
from engine.api.embed_query import GIVEN, read_kind, read_media, read_video_form
from engine.api.filters import Where
from engine.api.forms import read_form
from engine.api.paging import Paging, listed, one_of
from engine.api.web import deprecated, nested, read_object
from engine.errors import ApiError, invalid, unknown
from engine.store.library import Library, is_id, new_id, now
from engine.work.embedder import Embedded, Embedder, MediaVectors, models_of
from engine.work.intake import MAX_EMBED_BASE64_BYTES, decoded
from engine.work.jobs import Jobs
from engine.work.media_query import MediaQuery, Source

log = structlog.get_logger()

_STATUSES = ("processing", "ready", "failed")
_LEGACY = ("visual", "audio", "transcription", "visual-text")
_KEPT = timedelta(days=7)
_LONGEST_S = 4 * 3600.0


class EmbedTaskRoutes:
    """Own the tasks and the work behind them."""

    def __init__(self, library: Library, embedder: Embedder) -> None:
        self._library = library
        self._embedder = embedder
        self._jobs = Jobs()

    async def open(self) -> None:
        """Forget what is too old, and take up what an earlier run left."""
        await self._library.write("DELETE FROM embed_tasks WHERE created_at < ?", [_week_ago()])
        for row in await self._library.rows("SELECT * FROM embed_tasks WHERE status = 'processing' ORDER BY seq"):
            self._jobs.start(row["id"], self._work(row["id"]))

    async def close(self) -> None:
        await self._jobs.close()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1.3/embed/tasks", deprecated(self.list)),
            web.post("/v1.3/embed/tasks", deprecated(self.create)),
            web.get("/v1.3/embed/tasks/{task_id}/status", deprecated(self.status), allow_head=False),
            web.get("/v1.3/embed/tasks/{task_id}", self.retrieve, allow_head=False),
            web.get("/v1.3/embed-v2/tasks", self.list_v2),
            web.post("/v1.3/embed-v2/tasks", nested(self.create_v2)),
            web.get("/v1.3/embed-v2/tasks/{task_id}", nested(self.retrieve_v2), allow_head=False),
        ]

    # -- make --------------------------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        async with read_form(request, self._library, "video_file") as form:
            query = read_video_form(form)
            self._embedder.meaning.need("A task that embeds a video")
            row = _row(1, query)
            if query.source.kind == "file":
                upload = form.file("video_file")
                assert upload is not None
                await self._library.insert_with_content("embed_tasks", row, upload.incoming)
            else:
                await self._library.insert("embed_tasks", row)
        self._jobs.start(row["id"], self._work(row["id"]))
        return web.json_response({"_id": row["id"]})

    async def create_v2(self, request: web.Request) -> web.Response:
        kind, value = read_kind(await read_object(request), ("audio", "video"))
        query = read_media(value, kind)
        self._embedder.meaning.need(f"A task that embeds {kind}")
        row = _row(2, query)
        if query.source.kind == "asset_id":
            await self._library.get(query.source.value)
        if query.source.kind == "base64_string":
            incoming = self._library.incoming()
            try:
                await incoming.write(await asyncio.to_thread(decoded, query.source.value, MAX_EMBED_BASE64_BYTES))
                await self._library.insert_with_content("embed_tasks", row, incoming)
            finally:
                incoming.discard()
        else:
            await self._library.insert("embed_tasks", row)
        self._jobs.start(row["id"], self._work(row["id"]))
        return web.json_response({"_id": row["id"], "status": "processing", "data": None}, status=202)

    # -- look up -----------------------------------------------------------

    async def list(self, request: web.Request) -> web.Response:
        return await self._list(request, 1)

    async def list_v2(self, request: web.Request) -> web.Response:
        return await self._list(request, 2)

    async def _list(self, request: web.Request, generation: int) -> web.Response:
        paging = Paging.of(request)
        where = Where()
        where.equal("generation", generation)
        if "status" in request.query:
            where.equal("status", one_of(request, "status", _STATUSES))
        where.since(request, "started_at", "created_at")
        where.since(request, "ended_at", "created_at", "<=")
        if not {"started_at", "ended_at"} & set(request.query):
            where.add("created_at >= ?", _week_ago())
        return await listed(self._library, "embed_tasks", paging, where, _listed)

    async def status(self, request: web.Request) -> web.Response:
        row = await self._find(request, 1)
        return web.json_response({name: value for name, value in _listed(row).items() if not name.endswith("_at")})

    async def retrieve(self, request: web.Request) -> web.Response:
        options = request.query.getall("embedding_option", [])
        if not set(options) <= set(_LEGACY):
            raise invalid(f"The embedding_option parameter takes {', '.join(_LEGACY[:3])}.")
        row = await self._find(request, 1)
        check_options(options, GIVEN["video"])
        told = _listed(row)
        if row["result"]:
            made = _made(row)
            rows = [one for one in made.rows if not options or one.option in options]
            told["video_embedding"]["segments"] = [segment(one, "video") for one in rows]
            told |= unheard(made)
        return web.json_response(told)

    async def retrieve_v2(self, request: web.Request) -> web.Response:
        row = await self._find(request, 2)
        told: dict[str, Any] = {
            "_id": row["id"],
            "status": row["status"],
            "created_at": row["created_at"],
            "updated_at": row["updated_at"],
            "data": None,
        }
        if row["error"]:
            told["error"] = json.loads(row["error"])
        if row["result"]:
            made = _made(row)
            told["data"] = [row_told(one) for one in made.rows]
            told["metadata"] = metadata(_query(row), made)
            told |= unheard(made)
        return web.json_response(told)

    async def _find(self, request: web.Request, generation: int) -> dict[str, Any]:
        ident = request.match_info["task_id"]
        sql = "SELECT * FROM embed_tasks WHERE id = ? AND generation = ? AND created_at >= ?"
        row = await self._library.row(sql, [ident, generation, _week_ago()]) if is_id(ident) else None
        if row is None:
            raise unknown("task", ident)
        return row

    # -- the work ----------------------------------------------------------

    async def _work(self, ident: str) -> None:
        row = await self._library.row("SELECT * FROM embed_tasks WHERE id = ?", [ident])
        assert row is not None
        try:
            self._embedder.meaning.need("The task")  # it may be taken up by an engine without weights
            made = await self._embed(_query(row), row["sha256"])
            await self._end(ident, "ready", result=json.dumps(asdict(made)))
            log.info("embed_task_ready", task=ident)
        except ApiError as exc:
            log.info("embed_task_failed", task=ident, code=exc.code)
            await self._end(ident, "failed", error=json.dumps(exc.body()))
        except Exception:
            log.exception("embed_task_broke", task=ident)
            error = ApiError("internal_error", "The engine failed.")
            await self._end(ident, "failed", error=json.dumps(error.body()))
        await self._library.drop_unused([row["sha256"]])

    async def _embed(self, query: MediaQuery, sha256: str | None) -> MediaVectors:
        if sha256 is not None:
            path = self._library.path_of(sha256)
            return await self._embedder.media(path, None, query, _LONGEST_S)
        async with self._embedder.lend(query.source) as (path, kept):
            return await self._embedder.media(path, kept, query, _LONGEST_S)

    async def _end(self, ident: str, status: str, result: str | None = None, error: str | None = None) -> None:
        sql = "UPDATE embed_tasks SET status = ?, result = ?, error = ?, updated_at = ?, sha256 = NULL WHERE id = ?"
        await self._library.write(sql, [status, result, error, now(), ident])


def _week_ago() -> str:
    return (datetime.now(UTC) - _KEPT).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _row(generation: int, query: MediaQuery) -> dict[str, Any]:
    """Return a new row, without media that came as text: those are kept as a file."""
    asked = asdict(query)
    if query.source.kind == "base64_string":
        asked["source"]["value"] = ""
    moment = now()
    return {
        "id": new_id(), "generation": generation, "status": "processing", "asked": json.dumps(asked),
        "created_at": moment, "updated_at": moment,
    }  # fmt: skip


def _query(row: dict[str, Any]) -> MediaQuery:
    asked = json.loads(row["asked"])
    lists = {name: tuple(asked[name]) for name in ("options", "scopes")}
    return MediaQuery(**{**asked, **lists, "source": Source(**asked["source"])})


def _made(row: dict[str, Any]) -> MediaVectors:
    made = json.loads(row["result"])
    return MediaVectors([Embedded(**one) for one in made["rows"]], made["duration"], made["unheard"])


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    """Return a task as lists show it: a result's description, without its vectors."""
    query = _query(row)
    made = _made(row) if row["result"] else None
    known: dict[str, Any] = query.source.told()
    if query.kind == "video":
        known["video_clip_length"] = query.length_s
        known["video_embedding_scope"] = ["video" if scope == "asset" else scope for scope in query.scopes]
    else:
        known["audio_embedding_options"] = list(query.options)
        known["audio_embedding_scopes"] = list(query.scopes)
        known["start_offset_sec"] = query.start
    if made is not None:
        known["duration"] = made.duration
    told = {
        "_id": row["id"],
        "model_name": models_of(made.rows if made else []),
        "status": row["status"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        f"{query.kind}_embedding": {"metadata": known},
    }
    if row["error"]:
        told["error"] = json.loads(row["error"])
    return told
