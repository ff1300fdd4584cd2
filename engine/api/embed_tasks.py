"""Routes of embeddings that are asked for now and fetched later, both generations."""

from typing import Any

from aiohttp import web

from engine.api.embed import check_options, metadata, row_told, segment, unheard
from engine.api.embed_query import GIVEN, read_kind, read_media, read_video_form
from engine.api.filters import since
from engine.api.forms import read_form
from engine.api.paging import listed, one_of, read_paging
from engine.api.web import deprecated, nested, read_object
from engine.errors import invalid
from engine.store.embed_tasks import EmbedTask, EmbedTasks
from engine.store.library import Library
from engine.store.where import Where
from engine.work.embed_tasks import EmbedWork, made_by, query_of, week_ago
from engine.work.embedder import models_of

_STATUSES = ("processing", "ready", "failed")
_LEGACY = ("visual", "audio", "transcription", "visual-text")


class EmbedTaskRoutes:
    def __init__(self, library: Library, tasks: EmbedTasks, work: EmbedWork) -> None:
        self._library = library
        self._tasks = tasks
        self._work = work

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

    async def create(self, request: web.Request) -> web.Response:
        async with read_form(request, self._library, "video_file") as form:
            query = read_video_form(form)
            upload = form.file("video_file") if query.source.kind == "file" else None
            task = await self._work.start(1, query, None if upload is None else upload.incoming)
        return web.json_response({"_id": task.id})

    async def create_v2(self, request: web.Request) -> web.Response:
        kind, value = read_kind(await read_object(request), ("audio", "video"))
        task = await self._work.start(2, read_media(value, kind))
        return web.json_response({"_id": task.id, "status": task.status, "data": None}, status=202)

    async def list(self, request: web.Request) -> web.Response:
        return await self._list(request, 1)

    async def list_v2(self, request: web.Request) -> web.Response:
        return await self._list(request, 2)

    async def _list(self, request: web.Request, generation: int) -> web.Response:
        paging = read_paging(request)
        where = Where()
        where.equal("generation", generation)
        if "status" in request.query:
            where.equal("status", one_of(request, "status", _STATUSES))
        since(where, request, "started_at", "created_at")
        since(where, request, "ended_at", "created_at", "<=")
        if not {"started_at", "ended_at"} & set(request.query):
            where.bounded("created_at", ">=", week_ago())
        return listed(await self._tasks.page(paging, where), paging, _listed)

    async def status(self, request: web.Request) -> web.Response:
        task = await self._find(request, 1)
        return web.json_response({name: value for name, value in _listed(task).items() if not name.endswith("_at")})

    async def retrieve(self, request: web.Request) -> web.Response:
        options = request.query.getall("embedding_option", [])
        if not set(options) <= set(_LEGACY):
            raise invalid(f"The embedding_option parameter takes {', '.join(_LEGACY[:3])}.")
        task = await self._find(request, 1)
        check_options(options, GIVEN["video"])
        told = _listed(task)
        if made := made_by(task):
            rows = [one for one in made.rows if not options or one.option in options]
            told["video_embedding"]["segments"] = [segment(one, "video") for one in rows]
            told |= unheard(made)
        return web.json_response(told)

    async def retrieve_v2(self, request: web.Request) -> web.Response:
        task = await self._find(request, 2)
        told: dict[str, Any] = {
            "_id": task.id,
            "status": task.status,
            "created_at": task.created_at,
            "updated_at": task.updated_at,
            "data": None,
        }
        if task.error:
            told["error"] = task.error
        if made := made_by(task):
            told["data"] = [row_told(one) for one in made.rows]
            told["metadata"] = metadata(query_of(task), made)
            told |= unheard(made)
        return web.json_response(told)

    async def _find(self, request: web.Request, generation: int) -> EmbedTask:
        return await self._tasks.find(request.match_info["task_id"], generation, week_ago())


def _listed(task: EmbedTask) -> dict[str, Any]:
    """Return a task as lists show it: a result's description, without its vectors."""
    query, made = query_of(task), made_by(task)
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
        "_id": task.id,
        "model_name": models_of(made.rows if made else []),
        "status": task.status,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        f"{query.kind}_embedding": {"metadata": known},
    }
    if task.error:
        told["error"] = task.error
    return told
