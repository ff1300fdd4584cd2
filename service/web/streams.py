"""The native API's resources: start, list, show, cancel."""

import asyncio
from contextlib import suppress
from typing import Any

from aiohttp import web

from protocol.errors import Refusal
from protocol.upstream.request import check_members
from protocol.wire.cursors import Cursor, parse_cursor
from protocol.wire.endings import Status
from protocol.wire.options import parse_options
from service.access.caller import Caller
from service.hub.hub import NATIVE, Hub
from service.hub.streams import Stream
from service.store.contract import Kept
from service.web.access import caller_of, check_still, check_whole, come_in, may_force, visible, visible_ids
from service.web.bodies import asked_of, read_object
from service.web.errors import json_response
from service.web.keys import HUB
from service.web.resources import kept_row, resource, row
from service.web.starts import begin
from service.web.trail import TRAIL

MAX_WAIT_S = 60.0
MAX_LIMIT = 200
ENDINGS = (Status.COMPLETED, Status.LENGTH, Status.TRUNCATED, Status.FAILED, Status.CANCELLED)


async def found(request: web.Request) -> Stream:
    """The stream that the path names.

    Raises:
        Refusal: ``forbidden``, ``not_found``.
    """
    stream = await visible(request.app[HUB], caller_of(request, "read"), request.match_info["id"])
    request[TRAIL].saw(stream.run.calls)
    return stream


async def found_whole(request: web.Request) -> Stream:
    """The stream that the path names, to be shown from its beginning.

    Raises:
        Refusal: ``forbidden``, ``not_found``.
    """
    stream = await found(request)
    check_whole(caller_of(request))
    return stream


def asked_cursor(request: web.Request) -> Cursor | None:
    """Where the reader stands; with a ticket for what is live a cursor is not honoured."""
    if caller_of(request).is_live_only:
        return None
    return parse_cursor(request.headers.get("Last-Event-ID") or request.query.get("cursor"))


async def read_of(request: web.Request) -> Stream:
    """The stream to be read: the one that the path names, or with ``?pace=`` a replay of it.

    Raises:
        Refusal: ``not_found``, ``invalid_request``, ``limit_reached``.
    """
    stream, pace = await found(request), request.query.get("pace")
    if pace is not None:
        check_whole(caller_of(request))
    await come_in(request.app, caller_of(request), stream)
    if pace is None:
        await request.app[HUB].reach(stream, asked_cursor(request))
        return stream
    try:
        factor = 1.0 if pace == "original" else float(pace)
    except ValueError:
        factor = 0.0
    if not 0.01 <= factor <= 1000:
        raise Refusal("invalid_request", "pace: 'original', or a factor from 0.01 to 1000")
    return request.app[HUB].replay(stream, factor)


async def start(request: web.Request) -> web.Response:
    """``POST /v1/streams``: answers as soon as the stream is admitted."""
    caller = caller_of(request, "start")
    value, size = await read_object(request)
    options = parse_options(value.pop("fanlight", None))
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (1 <= len(key) <= 255 and _is_utf8(key)):
        raise Refusal("invalid_request", "Idempotency-Key has 1 to 255 characters, in UTF-8")
    check_members(value)
    asked = await asked_of(value, options, size)
    started = await begin(request, asked, NATIVE, idempotency_key=key)
    stream = started.stream
    await request.app[HUB].journal.flushed()  # an id that was told is not forgotten
    headers = {
        "Location": f"/v1/streams/{stream.id}",
        "Fanlight-Join": started.join,
        "Fanlight-Stream": stream.id,
    }
    return json_response(
        resource(stream, request.app[HUB], live_only=caller.is_live_only),
        201 if started.join == "leader" else 200,
        headers,
    )


def _is_utf8(header: str) -> bool:
    """Whether a header's bytes could all be read; what could not stands in it as half a pair."""
    return not any("\ud800" <= char <= "\udfff" for char in header)


async def listing(request: web.Request) -> web.Response:
    """``GET /v1/streams``: newest first."""
    caller, status = caller_of(request, "read"), request.query.get("status")
    limit = number(request, "limit", 50, 1, MAX_LIMIT)
    if status is not None and status not in tuple(Status):
        raise Refusal("invalid_request", "status: not a status of a stream")
    hub, after = request.app[HUB], request.query.get("after")
    if caller.grant is not None:
        streams = await _granted(hub, caller, status, after, limit + 1)
    else:
        streams = await hub.page(caller.tenant, status, after, limit + 1)
    rows = [row(stream, hub) if isinstance(stream, Stream) else kept_row(stream) for stream in streams[:limit]]
    return json_response({"streams": rows, "next": rows[-1]["id"] if len(streams) > limit else None})


async def _granted(
    hub: Hub, caller: Caller, status: str | None, after: str | None, limit: int
) -> tuple[Stream | Kept, ...]:
    """Those of a page that there are for a ticket; behind any other there is no page."""
    if after is not None:
        try:
            await visible(hub, caller, after)
        except Refusal as refusal:
            if refusal.code != "not_found":
                raise
            raise Refusal("invalid_request", "after: there is no such stream") from refusal
    seen: list[Stream | Kept] = []
    if (own := await visible_ids(hub, caller)) is not None:
        for ident in own[own.index(after) + 1 if after in own else 0 :]:
            with suppress(Refusal):
                stream = await hub.fetch(caller.tenant, ident)
                if status in (None, str(stream.run.status)):
                    seen.append(stream)
            if len(seen) == limit:
                break
        return tuple(seen)
    while len(seen) < limit and (page := await hub.page(caller.tenant, status, after, MAX_LIMIT)):
        for one in page:
            ident = one.id if isinstance(one, Stream) else one.stream
            with suppress(Refusal):
                await visible(hub, caller, ident)
                seen.append(one)
            after = ident
        if len(page) < MAX_LIMIT:
            break
    return tuple(seen[:limit])


async def show(request: web.Request) -> web.Response:
    """``GET /v1/streams/{id}``; with ``?wait=S`` it answers at the ending, at the latest after S seconds."""
    stream = await found(request)
    wait_s = seconds(request, "wait", MAX_WAIT_S)
    if wait_s and stream.run.ending is None:
        with stream.hold():
            try:
                async with asyncio.timeout(wait_s):
                    await stream.run.ended()
            except TimeoutError:
                pass  # then as it stands
        check_still(request)
    partial = flag(request, "partial")
    if partial:
        await stream.ready("patch")
    live_only = caller_of(request).is_live_only
    shown: dict[str, Any] = resource(stream, request.app[HUB], live_only=live_only)
    if partial and not live_only:
        shown["partial"] = stream.partial()
    return json_response(shown)


async def cancel(request: web.Request) -> web.Response:
    """``DELETE /v1/streams/{id}``: 202 while running, 200 when ended."""
    hub, caller = request.app[HUB], caller_of(request, "cancel")
    stream = await visible(hub, caller, request.match_info["id"])
    ended = stream.run.ending is not None
    await hub.cancel_anywhere(stream, force=flag(request, "force") and may_force(caller))
    return json_response(row(stream, request.app[HUB]), 200 if ended else 202)


def number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    """What the query says for ``name``: a whole number.

    Raises:
        Refusal: ``invalid_request``.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise Refusal("invalid_request", f"{name}: a whole number from {least} to {most}")
    return int(text)


def seconds(request: web.Request, name: str, most: float) -> float:
    """What the query says for ``name``: seconds; 0 where it says nothing.

    Raises:
        Refusal: ``invalid_request``.
    """
    text = request.query.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise Refusal("invalid_request", f"{name}: seconds from 0 to {most:g}")
    return value


def flag(request: web.Request, name: str) -> bool:
    """Whether the query says yes to ``name``."""
    return request.query.get(name, "") in ("1", "true")
