"""Routes of analyses that are asked for now and fetched later. Errors are nested here, except in the list's."""

from typing import Any

from aiohttp import web

from engine.api.analyze import read_request
from engine.api.filters import statuses
from engine.api.paging import listed, read_paging
from engine.api.web import nested, read_object
from engine.errors import ApiError, invalid
from engine.store.analyze_tasks import FINAL, AnalyzeTask, AnalyzeTasks
from engine.store.where import Where
from engine.work.analysis import read_words
from engine.work.analyze_tasks import AnalyzeWork

STATUSES = ("queued", "pending", "processing", "ready", "failed")


class AnalyzeTaskRoutes:
    def __init__(self, tasks: AnalyzeTasks, work: AnalyzeWork) -> None:
        self._tasks = tasks
        self._work = work

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1.3/analyze/tasks", nested(self.create)),
            web.get("/v1.3/analyze/tasks", self.list),
            web.get("/v1.3/analyze/tasks/{task_id}", nested(self.retrieve), allow_head=False),
            web.delete("/v1.3/analyze/tasks/{task_id}", nested(self.delete)),
        ]

    async def create(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        if body.get("video_id") is not None:
            raise invalid("The video_id parameter is not taken here; name the source in video.")
        asked = read_request(body)
        read_words(asked)  # refuse at once what the work would refuse
        task = await self._work.start(asked)
        return web.json_response({"task_id": task.id, "status": task.status}, status=202)

    async def list(self, request: web.Request) -> web.Response:
        paging = read_paging(request)
        where = Where()
        statuses(where, request, STATUSES)
        for name in ("video_url", "asset_id", "analysis_mode"):  # since 1.3; a list that ignored them would mislead
            if name in request.query:
                raise invalid(f"The {name} parameter is not served here; leave it out.")
        return listed(await self._tasks.page(paging, where), paging, _told)

    async def retrieve(self, request: web.Request) -> web.Response:
        return web.json_response(_told(await self._tasks.get(request.match_info["task_id"])))

    async def delete(self, request: web.Request) -> web.Response:
        task = await self._tasks.get(request.match_info["task_id"])
        if task.status == "processing":
            raise ApiError("task_cannot_be_deleted", "The task is being processed; delete it when it is over.", 409)
        await self._work.delete(task)
        return web.Response(status=204)


def _told(task: AnalyzeTask) -> dict[str, Any]:
    """Return a task as the API shows it: a result when ready, an error when failed."""
    told: dict[str, Any] = {"task_id": task.id, "status": task.status, "created_at": task.created_at}
    if task.status in FINAL:
        told["completed_at"] = task.completed_at
    if task.result:
        told["result"] = task.result
    if task.error:
        told["error"] = task.error
    return told
