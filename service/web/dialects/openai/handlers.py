"""``/openai/v1``: chat completions and models."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from protocol.dialects import openai
from protocol.dialects.openai import Chunks, Completion, Question
from protocol.dialects.prompt import prompt_of
from protocol.dialects.video import video_of
from protocol.errors import Refusal
from protocol.schema.violations import Violation
from protocol.wire.endings import CLOCKS, Ending, Status
from service.hub.hub import UPSTREAM as LEAVING_CANCELS
from service.hub.streams import Started, Stream
from service.web.access import caller_of, check_still
from service.web.bodies import read_object
from service.web.dialects.common import begin, options_of, schema_format, sentence_of, show
from service.web.dialects.openai.view import ChunkFraming, OpenAiView, said_of
from service.web.errors import json_response
from service.web.keys import CHAT_BODY_BYTES, FORMS, PROMPT_CHARS
from service.web.upstream_calls import asked_upstream

HOLD_S = 15.0  # for the first text, so that an error has a status
ASSETS_S = 10.0  # the models of a tenant are remembered so long
MOST_ASSETS = 100
MOST_TENANTS = 1000
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
# Refusals of the upstream that are the caller's, told as they came.
CALLERS = frozenset({400, 404, 413, 422})


def refused(refusal: Refusal) -> web.Response:
    """A refusal as these clients read it."""
    status = refusal.answer.status
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    again = refusal.answer.retryable and refusal.code != "internal"  # which may have begun an analysis
    param, mark, _ = refusal.message.partition(":")
    named = param if mark and " " not in param else None
    return _error(status, refusal.message, kind, refusal.code, named, retry_after=refusal.retry_after_s, again=again)


def _error(
    status: int,
    message: str,
    kind: str,
    code: str,
    param: str | None = None,
    *,
    retry_after: object = None,
    again: bool = False,
) -> web.Response:
    """An error. The official clients repeat what fails twice, unless they are told not to."""
    headers = {"Cache-Control": "no-store"}
    if not again:
        headers["x-should-retry"] = "false"
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    body = openai.error(message, kind, code, param)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


async def completions(request: web.Request) -> web.StreamResponse:
    """``POST /openai/v1/chat/completions``."""
    caller_of(request, "start", "read")
    body, _ = await read_object(request, limit=request.app[CHAT_BODY_BYTES])
    told = openai.completion(body)
    asked = openai.asked(told)
    if asked.asset_model and not await _is_asset(request, told.model.removeprefix("asset:")):
        raise Refusal("model_not_found", "model: there is no such asset")
    started = await begin(
        request, _request(told, asked, request.app[PROMPT_CHARS]), options_of(request, told.fanlight), LEAVING_CANCELS
    )
    stream = started.stream
    with stream.hold():
        if not told.stream:
            whole = await stream.run.ended()
            check_still(request)
            return _whole(started, told, whole)
        await _first_text(stream)
        ending = stream.run.ending
        if ending is not None and not stream.run.log.size and ending.status not in (Status.COMPLETED, Status.LENGTH):
            return _failed(started, ending)
        return await _stream(request, started, told)


def _request(told: Completion, asked: Question, max_chars: int) -> dict[str, Any]:
    request: dict[str, Any] = {"prompt": prompt_of(asked.said, max_chars)}
    if asked.video_id is not None:
        request["video_id"] = asked.video_id
    else:
        request["video"] = video_of(asked.video)
    if (form := schema_format(None, told.response_format)) is not None:
        request["response_format"] = form
    limit = told.max_completion_tokens or told.max_tokens
    if limit is not None:
        request["max_tokens"] = int(limit)
    if told.temperature is not None:
        request["temperature"] = min(1.0, told.temperature)
    if told.model in openai.ENGINE_MODELS:
        request["model_name"] = told.model
    return request


def _chunks(stream: Stream, told: Completion) -> Chunks:
    usage = told.stream_options is not None and bool(told.stream_options.include_usage)
    return Chunks(stream.id, int(stream.run.times.created), told.model, usage)


async def _stream(request: web.Request, started: Started, told: Completion) -> web.StreamResponse:
    chunks = _chunks(started.stream, told)
    framings = {chunked: ChunkFraming(chunked, chunks) for chunked in (True, False)}
    view = OpenAiView(started.stream.run, chunks)
    first = chunks.chunk({"role": "assistant", "content": ""})
    return await show(request, started, view, framings, "text/event-stream", {}, first, view.last_words)


class _Listens:
    """A follower that waits for the first of a text."""

    def __init__(self) -> None:
        self.came = asyncio.Event()

    def feed(self, text: str, violation: Violation | None) -> None:
        self.came.set()

    def restart(self, violation: Violation | None) -> None:
        self.came.set()

    def close(self) -> None:
        self.came.set()


async def _first_text(stream: Stream) -> None:
    """Wait for the first text, or the ending, but not for ever."""
    run = stream.run
    if run.log.size or run.ending is not None:
        return
    listens = _Listens()
    run.followers += (listens,)
    ending = asyncio.ensure_future(run.ended())
    came = asyncio.ensure_future(listens.came.wait())
    try:
        await asyncio.wait({ending, came}, timeout=HOLD_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.cancel()
        came.cancel()
        run.followers = tuple(follower for follower in run.followers if follower is not listens)


def _whole(started: Started, told: Completion, ending: Ending) -> web.Response:
    stream = started.stream
    if ending.status not in (Status.COMPLETED, Status.LENGTH):
        return _failed(started, ending)
    text = stream.run.log.slice(0, stream.run.log.size)
    reason = "stop" if ending.status is Status.COMPLETED else "length"
    body = openai.whole(_chunks(stream, told), text, reason, ending.usage, said_of(stream.id, ending))
    headers = {"Fanlight-Stream": stream.id, "Fanlight-Join": started.join, "Cache-Control": "no-store"}
    return web.Response(body=body, content_type="application/json", headers=headers)


def _failed(started: Started, ending: Ending) -> web.Response:
    """A run that did not end well, before anything of it was told."""
    answer = _failure(started.stream, ending)
    answer.headers.update({"Fanlight-Stream": started.stream.id, "Fanlight-Join": started.join})
    return answer


def _failure(stream: Stream, ending: Ending) -> web.Response:
    code = ending.code or "internal"
    message, refusal = sentence_of(ending), stream.run.refused
    if code == "upstream_refused" and ending.upstream_status in CALLERS:
        return _error(ending.upstream_status, message, "invalid_request_error", code)
    if code == "upstream_refused" and ending.upstream_status == 429:
        after = refusal.headers.get("Retry-After") if refusal is not None else None
        return _error(429, message, "rate_limit_error", code, retry_after=after, again=True)
    status = 504 if code in CLOCKS else 502
    # Nothing was spent where the upstream was never reached.
    return _error(status, message, "server_error", code, again=code == "upstream_unreachable")


# -- models


@dataclass(slots=True)
class Models:
    """The assets of tenants, remembered for a moment."""

    known: dict[str, tuple[float, list[dict[str, Any]]]] = field(default_factory=dict)


MODELS = web.AppKey("models", Models)


async def _is_asset(request: web.Request, asset: str) -> bool:
    """Whether there is an asset, as far as the upstream tells: an analysis will hear the rest."""
    if not asset.isascii() or not asset.replace("-", "").replace("_", "").isalnum():
        return False
    status, _ = await asked_upstream(request, f"/assets/{asset}")
    return status not in (400, 404)


async def _models(request: web.Request) -> list[dict[str, Any]]:
    """``fanlight``, and the newest assets that are ready."""
    caller = caller_of(request, "start", "read")
    if caller.grant is not None:
        return [_model(openai.MODEL, None)]  # a ticket shows nothing of what its tenant has
    memory, tenant, now = request.app[MODELS].known, caller.tenant, time.monotonic()
    if (kept := memory.get(tenant)) is not None and now - kept[0] < ASSETS_S:
        return kept[1]
    found = [_model(openai.MODEL, None)]
    with suppress(Refusal, orjson.JSONDecodeError):  # then there is the one that needs no asset
        for page in (1, 2):
            status, body = await asked_upstream(request, f"/assets?page={page}&page_limit={MOST_ASSETS // 2}")
            told = orjson.loads(body) if status == 200 else None
            rows = told.get("data") if isinstance(told, Mapping) else None
            ready = [row for row in rows or () if isinstance(row, Mapping) and row.get("status") == "ready"]
            found += [_model(f"asset:{row.get('_id')}", row.get("filename")) for row in ready]
            if len(rows or ()) < MOST_ASSETS // 2:
                break
    if len(memory) >= MOST_TENANTS:
        memory.clear()
    memory[tenant] = now, found
    return found


def _model(ident: str, name: object) -> dict[str, Any]:
    named = {"name": name} if isinstance(name, str) else {}
    return {"id": ident, "object": "model", "created": 0, "owned_by": "fanlight", **named}


async def models(request: web.Request) -> web.Response:
    """``GET /openai/v1/models``."""
    return json_response({"object": "list", "data": await _models(request)})


async def model(request: web.Request) -> web.Response:
    """``GET /openai/v1/models/{id}``."""
    ident = request.match_info["id"]
    found = next((one for one in await _models(request) if one["id"] == ident), None)
    if (
        found is None
        and caller_of(request).grant is None
        and ident.startswith("asset:")
        and await _is_asset(request, ident.removeprefix("asset:"))
    ):
        found = _model(ident, None)
    if found is None:
        raise Refusal("model_not_found", "model: there is no such")
    return json_response(found)


def add_routes(app: web.Application) -> None:
    """Put this dialect on the application."""
    app[MODELS] = Models()
    app[FORMS]["/openai/"] = refused
    app.router.add_post("/openai/v1/chat/completions", completions)
    app.router.add_get("/openai/v1/models", models)
    app.router.add_get("/openai/v1/models/{id}", model)
