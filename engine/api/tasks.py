"""Routes of tasks: bring a file straight into an index. Announced for removal, and served until then."""

import json
from typing import Any

from aiohttp import web

from engine.api.filters import check_metadata, number, since, statuses
from engine.api.forms import Form, read_form
from engine.api.indexed_assets import system_metadata
from engine.api.paging import listed, read_paging
from engine.api.web import deprecated, origin
from engine.errors import ApiError, invalid, missing, unknown
from engine.store.indexed import FINAL
from engine.store.store import Store
from engine.store.tasks import Task
from engine.store.where import Where
from engine.work.fetch import check_url, filename_of
from engine.work.hls import Hls
from engine.work.indexer import Indexer

STATUSES = ("ready", "uploading", "validating", "pending", "queued", "indexing", "failed")
MAX_BYTES = 2 * 1024**3


class TaskRoutes:
    def __init__(self, store: Store, indexer: Indexer, hls: Hls) -> None:
        self._library = store.library
        self._indexes = store.indexes
        self._indexed = store.indexed
        self._tasks = store.tasks
        self._indexer = indexer
        self._hls = hls

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1.3/tasks", deprecated(self.create)),
            web.get("/v1.3/tasks", self.list),
            web.get("/v1.3/tasks/{task_id}", self.retrieve, allow_head=False),
            web.delete("/v1.3/tasks/{task_id}", self.delete),
            *(
                web.route(method, f"/v1.3/tasks/transfers/import/{{integration_id}}{end}", self.transfer)
                for method, end in (("POST", ""), ("GET", "/status"), ("GET", "/logs"))
            ),
        ]

    async def create(self, request: web.Request) -> web.Response:
        async with read_form(request, self._library, "video_file") as form:
            index = await self._indexes.get(form.needed("index_id"))
            metadata = _read_metadata(form)
            wants_stream = form.flag("enable_video_stream", True)
            url, upload = form.text("video_url"), form.file("video_file")
            if url is not None:
                check_url(url)
                task, video = await self._indexer.from_url(index.id, url, filename_of(url), metadata)
            elif upload is not None:
                if upload.incoming.size > MAX_BYTES:
                    raise ApiError("video_filesize_too_large", "The file is larger than 2 GB.")
                name = upload.filename or None
                task, video = await self._indexer.from_upload(index.id, upload.incoming, name, metadata)
            else:
                raise missing("video_file or video_url")
        if wants_stream:
            await self._hls.wish(video)
        return web.json_response({"_id": task, "video_id": video})

    async def list(self, request: web.Request) -> web.Response:
        paging = read_paging(request, ("created_at", "updated_at"))
        where = Where()
        statuses(where, request, STATUSES)
        where.equal("index_id", request.query.get("index_id"))
        where.equal("filename", request.query.get("filename"))
        for name in ("duration", "width", "height"):
            number(where, request, name)
        since(where, request, "created_at")
        since(where, request, "updated_at")
        return listed(await self._tasks.page(paging, where), paging, _told)

    async def retrieve(self, request: web.Request) -> web.Response:
        task = await self._tasks.get(request.match_info["task_id"])
        video = await self._indexed.get(task.video_id)
        streamed = await self._hls.told(origin(request), video) if video is not None else {}
        return web.json_response(_told(task) | streamed)

    async def delete(self, request: web.Request) -> web.Response:
        task = await self._tasks.get(request.match_info["task_id"])
        if task.status not in FINAL:
            raise _kept(f"The task is {task.status}; only ready and failed ones can be deleted.")
        video = await self._indexed.get(task.video_id)
        if video is not None and task.status == "ready":
            raise _kept(f"Delete the video {task.video_id} first.")
        await self._tasks.delete(task.id)
        if video is not None:
            await self._indexer.delete(video)
        return web.Response(status=204)

    async def transfer(self, request: web.Request) -> web.Response:
        """Imports read a customer's bucket through an integration that the cloud set up: none can exist here."""
        raise unknown("integration", request.match_info["integration_id"])


def _kept(why: str) -> ApiError:
    return ApiError("task_cannot_be_deleted", why)


def _read_metadata(form: Form) -> dict[str, Any]:
    text = form.text("user_metadata")
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise invalid("The user_metadata parameter must be a JSON object.") from exc
    return check_metadata(value)


def _told(task: Task) -> dict[str, Any]:
    """Return a task as the API shows it; a failed one says why."""
    told: dict[str, Any] = {
        "_id": task.id,
        "video_id": task.video_id,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "status": task.status,
        "index_id": task.index_id,
        "system_metadata": system_metadata(task, ("duration", "filename", "height", "width")),
    }
    if task.error_code:
        told["error"] = {"code": task.error_code, "message": task.error_message}
    return told
