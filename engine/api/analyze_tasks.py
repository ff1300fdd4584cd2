"""Routes of analyses that are asked for now and fetched later. Errors are nested here, except in the list's.

A task that was running when the engine was killed runs again from its beginning: nobody
has seen any of its text.
"""

import asyncio
import json
from typing import Any

import structlog
from aiohttp import web

from engine.api.analyze import Asked, MediaSources, Run, read_request
from engine.api.filters import Where
from engine.api.paging import Paging, listed
from engine.api.web import nested, read_object
from engine.errors import ApiError, invalid, unknown
from engine.store.library import Library, is_id, new_id, now
from engine.tell.paraphrase import Prompts
from engine.tell.schema_fill import check_fillable
from engine.work.intake import decoded
from engine.work.jobs import Jobs
from engine.work.pool import Pool

log = structlog.get_logger()

STATUSES = ("queued", "pending", "processing", "ready", "failed")
# Nobody holds a connection for it, so it may be longer than what is asked for at once.
MAX_DURATION_S = 2 * 3600.0
_FINAL = ("ready", "failed")


class AnalyzeTaskRoutes:
    """Own the tasks and the work behind them."""

    def __init__(self, library: Library, sources: MediaSources, pool: Pool, prompts: Prompts) -> None:
        self._prompts = prompts
        self._library = library
        self._sources = sources
        self._pool = pool
        self._jobs = Jobs()

    async def open(self) -> None:
        """Take up what an earlier run left."""
        sql = "SELECT * FROM analyze_tasks WHERE status NOT IN ('ready', 'failed') ORDER BY seq"
        for row in await self._library.rows(sql):
            await self._set(row["id"], status="queued")
            self._jobs.start(row["id"], self._work(row["id"]))

    async def close(self) -> None:
        await self._jobs.close()

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
        if asked.schema is not None:
            check_fillable(asked.prompt, asked.schema)
        row = {"id": new_id(), "status": "queued", "asked": json.dumps(_kept(asked)), "created_at": now()}
        if asked.source == "asset_id":
            await self._library.get(asked.value)
        if asked.source == "base64_string":
            incoming = self._library.incoming()
            try:
                await incoming.write(await asyncio.to_thread(decoded, asked.value))
                await self._library.insert_with_content("analyze_tasks", row, incoming)
            finally:
                incoming.discard()
        else:
            await self._library.insert("analyze_tasks", row)
        self._jobs.start(row["id"], self._work(row["id"]))
        return web.json_response({"task_id": row["id"], "status": "queued"}, status=202)

    async def list(self, request: web.Request) -> web.Response:
        paging = Paging.of(request)
        where = Where()
        where.statuses(request, STATUSES)
        for name in ("video_url", "asset_id", "analysis_mode"):  # since 1.3; a list that ignored them would mislead
            if name in request.query:
                raise invalid(f"The {name} parameter is not served here; leave it out.")
        return await listed(self._library, "analyze_tasks", paging, where, _told)

    async def retrieve(self, request: web.Request) -> web.Response:
        return web.json_response(_told(await self._find(request.match_info["task_id"])))

    async def delete(self, request: web.Request) -> web.Response:
        row = await self._find(request.match_info["task_id"])
        if row["status"] == "processing":
            raise ApiError("task_cannot_be_deleted", "The task is being processed; delete it when it is over.", 409)
        self._jobs.cancel(row["id"])
        await self._library.write("DELETE FROM analyze_tasks WHERE id = ?", [row["id"]])
        await self._library.drop_unused([row["sha256"]])
        return web.Response(status=204)

    async def _find(self, ident: str) -> dict[str, Any]:
        row = await self._library.row("SELECT * FROM analyze_tasks WHERE id = ?", [ident]) if is_id(ident) else None
        if row is None:
            raise unknown("task", ident)
        return row

    # -- the work ----------------------------------------------------------

    async def _work(self, ident: str) -> None:
        row = await self._find(ident)
        try:
            result = await self._analyse(row)
            await self._set(ident, status="ready", result=json.dumps(result), completed_at=now(), sha256=None)
            log.info("analyze_task_ready", task=ident)
        except ApiError as exc:
            log.info("analyze_task_failed", task=ident, code=exc.code)
            await self._fail(ident, exc)
        except Exception:
            log.exception("analyze_task_broke", task=ident)
            await self._fail(ident, ApiError("internal_error", "The engine failed."))
        await self._library.drop_unused([row["sha256"]])

    async def _analyse(self, row: dict[str, Any]) -> dict[str, Any]:
        asked = Asked(**json.loads(row["asked"]))
        if row["sha256"]:
            media = (self._library.path_of(row["sha256"]), None)
            return await self._run(row["id"], asked, media)
        await self._set(row["id"], status="pending")
        async with self._sources.lend(asked.source, asked.value) as lent:
            return await self._run(row["id"], asked, lent)

    async def _run(self, ident: str, asked: Asked, media: Any) -> dict[str, Any]:
        hints = await self._prompts.hints(asked.prompt)
        async with self._pool.analysis(patient=True) as worker:
            await self._set(ident, status="processing")
            run = Run(worker, asked)
            await run.begin(media, asked, hints, MAX_DURATION_S)
            data = "".join([fragment async for fragment in run.fragments()])
        return {
            "generation_id": run.generation_id,
            "data": data,
            "finish_reason": run.finish_reason,
            "usage": run.usage,
            **run.told,
        }

    async def _fail(self, ident: str, error: ApiError) -> None:
        told = json.dumps({"code": error.code, "message": error.message})
        await self._set(ident, status="failed", error=told, completed_at=now(), sha256=None)

    async def _set(self, ident: str, **values: Any) -> None:
        sets = ", ".join(f"{name} = ?" for name in values)
        sql = f"UPDATE analyze_tasks SET {sets} WHERE id = ?"  # noqa: S608 -- names from our code
        await self._library.write(sql, [*values.values(), ident])


def _kept(asked: Asked) -> dict[str, Any]:
    """Return what is asked, without the media: those are kept as a file."""
    return {
        "prompt": asked.prompt,
        "source": asked.source,
        "value": "" if asked.source == "base64_string" else asked.value,
        "schema": asked.schema,
        "max_tokens": asked.max_tokens,
        "stream": False,
    }


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """Return a task as the API shows it: a result when ready, an error when failed."""
    told = {"task_id": row["id"], "status": row["status"], "created_at": row["created_at"]}
    if row["status"] in _FINAL:
        told["completed_at"] = row["completed_at"]
    for name in ("result", "error"):
        if row[name]:
            told[name] = json.loads(row[name])
    return told
