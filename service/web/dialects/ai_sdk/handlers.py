"""The AI SDK's paths: chat with resume and stop, completion, object."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import web

from protocol.dialects import ai_sdk
from protocol.dialects.ai_sdk import Posted, chunk
from protocol.dialects.prompt import Said, prompt_of
from protocol.dialects.video import link_of, video_of
from protocol.errors import Refusal
from protocol.wire.frames import BARE, SSE
from protocol.wire.options import Options
from service.hub.hub import Dialect
from service.hub.streams import Started, Stream
from service.hub.views import BareView
from service.web.access import caller_of, check_whole, come_in
from service.web.bodies import read_object
from service.web.dialects.ai_sdk.chats import CHATS, TRIES, Chats, Memory, new_message_id, newest, said, turns_behind
from service.web.dialects.ai_sdk.view import UiView
from service.web.dialects.common import begin, options_of, schema_format, show
from service.web.errors import json_response
from service.web.keys import CHAT_BODY_BYTES, CHAT_RESUME_S, FORMS, HUB, PROMPT_CHARS

# Leaving is not stopping: a page that is loaded anew has half a minute to come back.
CHAT = Dialect("cancel", 30.0)
PARTS = ("all", "transient", "none")
STOP_S = 5.0  # for a stopped run to end


def refused(refusal: Refusal) -> web.Response:
    """A refusal as these clients show it: one sentence."""
    headers = {"Cache-Control": "no-store"}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    text = f"{refusal.message[:1].upper()}{refusal.message[1:].rstrip('.')}. ({refusal.code})"
    return web.Response(status=refusal.answer.status, text=text, content_type="text/plain", headers=headers)


async def chat(request: web.Request) -> web.StreamResponse:
    """``POST /ai-sdk/chat``: a message, answered as a UI message stream."""
    caller = caller_of(request, "start", "read")
    body, _ = await read_object(request, limit=request.app[CHAT_BODY_BYTES])
    told = ai_sdk.posted(body)
    parts, options = _options(request, told)
    asked = ai_sdk.chat(told)
    async with request.app[CHATS].lock(caller.tenant, caller.space + told.id):
        started, message = await _begun(request, told, asked, parts, options)
    return await _answer(request, started, message, parts)


async def _begun(
    request: web.Request, told: Posted, asked: ai_sdk.Chat, parts: str, options: Options
) -> tuple[Started, str]:
    """The run that answers a message, and the answer's id."""
    chats, max_chars = request.app[CHATS], request.app[PROMPT_CHARS]
    tenant, chat_id = _chat_of(request, told.id)
    memory, before = await chats.recall(tenant, chat_id)
    stream = await chats.run_of(tenant, memory)
    again = told.trigger == "regenerate-message"
    if not again and stream is not None and _is_same(memory, asked, stream):
        return Started(stream, "joined"), memory.message
    video = await _video(chats, tenant, chat_id, told, asked, memory)
    behind = _turns(asked) if asked.whole else turns_behind(memory, stream, again=again)
    turns = newest(behind, max_chars)
    prompt = prompt_of(asked.said if asked.whole else _whole(asked.said, turns), max_chars)
    if again:
        options = options.model_copy(update={"join": "never"})
    started = await begin(request, _request(told, prompt, video), options, CHAT)
    fresh = Memory(
        started.stream.id,
        new_message_id(),
        asked.asked,
        turns=turns,
        video=video,
        parts=parts,
        ttl_s=options.ttl_s,
    )
    fresh = await _remembered(chats, tenant, chat_id, fresh, before)
    if chat_id:
        chats.watch(tenant, chat_id, started.stream)
    return started, fresh.message


def _chat_of(request: web.Request, name: str) -> tuple[str, str]:
    """Tenant and name that a chat is kept under; without a name nothing is kept."""
    caller = caller_of(request)
    return caller.tenant, caller.space + name if name else ""


def _turns(asked: ai_sdk.Chat) -> list[tuple[str, str]]:
    """What was said before the question, by the client's own list."""
    return [(turn.role, turn.text) for turn in asked.said[:-1] if turn.role != "system"]


def _is_same(memory: Memory, asked: ai_sdk.Chat, stream: Stream) -> bool:
    """Whether a message is the one that is being answered: a double click, a remount, a second tab."""
    return memory.asked == asked.asked and stream.run.ending is None and not memory.stopped


def _whole(told: Sequence[Said], turns: list[tuple[str, str]]) -> list[Said]:
    """Instructions, what is remembered, and what came."""
    system = [turn for turn in told if turn.role == "system"]
    return [*system, *said(turns), *(turn for turn in told if turn.role != "system")]


async def _remembered(chats: Chats, tenant: str, chat_id: str, fresh: Memory, before: bytes | None) -> Memory:
    """Keep a chat; where another node was quicker with the same message its answer is this one."""
    for _ in range(TRIES):
        if await chats.remember(tenant, chat_id, fresh, before):
            return fresh
        memory, before = await chats.recall(tenant, chat_id)
        if memory.run == fresh.run and memory.asked == fresh.asked:
            return memory
    return fresh


async def _video(
    chats: Chats, tenant: str, chat_id: str, told: Posted, asked: ai_sdk.Chat, memory: Memory
) -> Mapping[str, Any]:
    """The video that a message is about.

    Raises:
        Refusal: ``video_invalid``, ``video_required``.
    """
    named = told.video if told.video is not None else asked.video
    if named is not None:
        return video_of(named)
    video = await chats.video(tenant, chat_id, memory)
    if video is None:
        raise Refusal("video_required", "no video is named: send it as a file, or name it in `video`")
    return video


def _request(told: Posted, prompt: str, video: Mapping[str, Any]) -> dict[str, Any]:
    form = schema_format(told.schema_, told.response_format)
    return {"prompt": prompt, "video": dict(video), **({"response_format": form} if form else {})}


def _options(request: web.Request, told: Posted) -> tuple[str, Options]:
    """How data parts are told, and the other options.

    Raises:
        Refusal: ``option_invalid``.
    """
    value = told.fanlight
    parts = "all"
    if isinstance(value, dict) and "parts" in value:
        value = dict(value)
        parts = value.pop("parts")
        if parts not in PARTS:
            raise Refusal("option_invalid", f"parts: one of {', '.join(PARTS)}")
    return parts, options_of(request, value)


async def resume(request: web.Request) -> web.StreamResponse:
    """``GET /ai-sdk/chat/{id}/stream``: the newest answer from its beginning; 204 where there is none to be had."""
    caller = caller_of(request, "start", "read")
    check_whole(caller)
    chats, (tenant, chat_id) = request.app[CHATS], _chat_of(request, request.match_info["id"])
    memory, _ = await chats.recall(tenant, chat_id)
    stream = None if memory.stopped else await chats.run_of(tenant, memory)
    if stream is None or _is_long_over(request, stream):
        return web.Response(status=204, headers={"Cache-Control": "no-store"})
    await come_in(request.app, caller, stream)
    return await _answer(request, Started(stream, "joined"), memory.message, memory.parts)


def _is_long_over(request: web.Request, stream: Stream) -> bool:
    ended = stream.run.times.ended
    return stream.run.ending is not None and request.app[HUB].wall() - (ended or 0.0) > request.app[CHAT_RESUME_S]


async def stop(request: web.Request) -> web.Response:
    """``POST /ai-sdk/chat/{id}/stop``: end the newest run, where nobody else has an interest in it."""
    caller_of(request, "cancel")
    active = None
    if request.can_read_body:
        body, _ = await read_object(request)
        active = body.get("activeStreamId")
    hub, chats, (tenant, chat_id) = request.app[HUB], request.app[CHATS], _chat_of(request, request.match_info["id"])
    memory, _ = await chats.recall(tenant, chat_id)
    stream = None if memory.stopped else await chats.run_of(tenant, memory)
    if stream is None or stream.run.ending is not None or active not in (None, stream.id):
        return json_response({"success": True, "stopped": False})
    await chats.stop(tenant, chat_id)
    if await hub.withdraw(stream):
        with suppress(TimeoutError):  # it ends as soon as its node can
            async with asyncio.timeout(STOP_S):
                await stream.run.ended()
    return json_response({"success": True, "stopped": True})


async def completion(request: web.Request) -> web.StreamResponse:
    """``POST /ai-sdk/completion``: one prompt, answered like a chat."""
    started, parts = await _once(request)
    return await _answer(request, started, new_message_id(), parts)


async def structured(request: web.Request) -> web.StreamResponse:
    """``POST /ai-sdk/object``: one prompt, answered with bare JSON."""
    started, _ = await _once(request)
    return await _bare(request, started)


async def _once(request: web.Request) -> tuple[Started, str]:
    caller_of(request, "start", "read")
    body, _ = await read_object(request, limit=request.app[CHAT_BODY_BYTES])
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise Refusal("invalid_request", "prompt: a text")
    told = ai_sdk.posted(body)
    parts, options = _options(request, told)
    if told.video is None:
        raise Refusal("video_required", "no video is named: name it in `video`")
    whole = [*([Said("system", told.system)] if told.system else []), Said("user", prompt)]
    prompt = prompt_of(whole, request.app[PROMPT_CHARS])
    return await begin(request, _request(told, prompt, video_of(told.video)), options, CHAT), parts


# -- answers


async def _answer(request: web.Request, started: Started, message: str, parts: str) -> web.StreamResponse:
    if request.query.get("protocol") == "text":
        return await _bare(request, started)
    stream = started.stream
    if parts != "none":
        await stream.ready("captions")
        if stream.run.schema is not None:
            await stream.ready("json")
    video = stream.request.get("video")
    view = UiView(stream, parts=parts, link=link_of(video) if isinstance(video, Mapping) else None)
    first = [
        chunk("start", messageId=message, messageMetadata={"fanlight": {"stream": stream.id}}),
        chunk("start-step"),
    ]
    headers = {"x-vercel-ai-ui-message-stream": "v1", "X-Resumable-Stream-Id": stream.id}
    return await show(request, started, view, SSE, "text/event-stream", headers, ai_sdk.joined(first))


async def _bare(request: web.Request, started: Started) -> web.StreamResponse:
    view = BareView(started.stream.run)
    return await show(request, started, view, BARE, "text/plain; charset=utf-8", {})


async def _forgotten(app: web.Application) -> None:
    await app[CHATS].close()


def add_routes(app: web.Application) -> None:
    """Put this dialect on the application."""
    app[CHATS] = Chats(app[HUB])
    app.on_cleanup.append(_forgotten)
    app[FORMS]["/ai-sdk/"] = refused
    router = app.router
    router.add_post("/ai-sdk/chat", chat)
    router.add_get("/ai-sdk/chat/{id}/stream", resume, allow_head=False)
    router.add_post("/ai-sdk/chat/{id}/stop", stop)
    router.add_post("/ai-sdk/completion", completion)
    router.add_post("/ai-sdk/object", structured)
