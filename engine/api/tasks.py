"""Routes of tasks: bring a file straight into an index. Announced for removal, and served until then."""

import json
from typing import Any

from aiohttp import web

from engine.api.filters import Where, check_metadata
from engine.api.forms import Form, read_form
from engine.api.hls import Hls
from engine.api.paging import Paging, listed
from engine.api.web import deprecated, origin
from engine.errors import ApiError, invalid, missing, unknown
from engine.store.indexes import find_index
from engine.store.library import Library, is_id
from engine.work.fetch import check_url, filename_of
from engine.work.indexer import FINAL, Indexer, system_metadata

STATUSES = ("ready", "uploading", "validating", "pending", "queued", "indexing", "failed")
MAX_BYTES = 2 * 1024**3


class TaskRoutes:
    def __init__(self, library: Library, indexer: Indexer, hls: Hls) -> None:
        self._library = library
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
            index = await find_index(self._library, form.needed("index_id"))
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
        paging = Paging.of(request, ("created_at", "updated_at"))
        where = Where()
        where.statuses(request, STATUSES)
        where.equal("index_id", request.query.get("index_id"))
        where.equal("filename", request.query.get("filename"))
        for name in ("duration", "width", "height"):
            where.number(request, name)
        where.since(request, "created_at")
        where.since(request, "updated_at")
        return await listed(self._library, "tasks", paging, where, _told)

    async def retrieve(self, request: web.Request) -> web.Response:
        task = await self._find(request)
        video = await self._library.row("SELECT * FROM indexed WHERE id = ?", [task["video_id"]])
        streamed = await self._hls.told(origin(request), video) if video is not None else {}
        return web.json_response(_told(task) | streamed)

    async def delete(self, request: web.Request) -> web.Response:
        task = await self._find(request)
        if task["status"] not in FINAL:
            raise _kept(f"The task is {task['status']}; only ready and failed ones can be deleted.")
        video = await self._library.row("SELECT * FROM indexed WHERE id = ?", [task["video_id"]])
        if video is not None and task["status"] == "ready":
            raise _kept(f"Delete the video {task['video_id']} first.")
        await self._library.write("DELETE FROM tasks WHERE id = ?", [task["id"]])
        if video is not None:
            await self._indexer.delete(video)
        return web.Response(status=204)

    async def transfer(self, request: web.Request) -> web.Response:
        """Imports read a customer's bucket through an integration that the cloud set up: none can exist here."""
        raise unknown("integration", request.match_info["integration_id"])

    async def _find(self, request: web.Request) -> dict[str, Any]:
        ident = request.match_info["task_id"]
        row = await self._library.row("SELECT * FROM tasks WHERE id = ?", [ident]) if is_id(ident) else None
        if row is None:
            raise unknown("task", ident)
        return row


def _kept(why: str) -> ApiError:
    return ApiError("task_cannot_be_deleted", why)


def _read_metadata(form: Form) -> str:
    text = form.text("user_metadata")
    if text is None:
        return "{}"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise invalid("The user_metadata parameter must be a JSON object.") from exc
    return json.dumps(check_metadata(value))


def _told(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task as the API shows it; a failed one says why."""
    told = {
        "_id": task["id"],
        "video_id": task["video_id"],
        "created_at": task["created_at"],
        "updated_at": task["updated_at"],
        "status": task["status"],
        "index_id": task["index_id"],
        "system_metadata": system_metadata(task, ("duration", "filename", "height", "width")),
    }
    if task["error_code"]:
        told["error"] = {"code": task["error_code"], "message": task["error_message"]}
    return told
