"""Readers over HTTP: Server-Sent Events, NDJSON and bare text, on a stream or a channel.

Each is a subscriber like a WebSocket's, through the same loop; only the framing differs.
"""

import re
from collections.abc import Mapping

from aiohttp import web

from protocol.errors import Refusal
from protocol.wire.commands import VIEWS
from protocol.wire.cursors import Cursor, Mode
from protocol.wire.frames import BARE, CHANNEL_NDJSON, CHANNEL_SSE, NDJSON, SSE, Framing
from protocol.wire.options import CHANNEL_PATTERN
from service.hub.channels import Listener
from service.hub.streams import Stream
from service.hub.subscribers import Subscriber
from service.hub.views import BareView, head_of, text_place
from service.web.access import caller_of, check_channel, check_room, check_view, come_in
from service.web.connection import (
    BodyConnection,
    ChannelBodyConnection,
    Sent,
    detach,
    framing_headers,
    head,
    in_charge,
)
from service.web.keys import CONNECTIONS, CORS, HUB
from service.web.streams import asked_cursor, read_of

SSE_RETRY = b"retry: 1000\n\n"


def asked_view(request: web.Request) -> str:
    """The view that the query names.

    Raises:
        Refusal: ``invalid_request``, ``forbidden``.
    """
    view = request.query.get("view", "text")
    if view not in VIEWS:
        raise Refusal("invalid_request", f"view: one of {', '.join(VIEWS)}")
    check_view(caller_of(request), view)
    return view


def asked_channel(request: web.Request) -> str:
    """The channel that the path names.

    Raises:
        Refusal: ``invalid_request``.
    """
    name = request.match_info["name"]
    if not re.fullmatch(CHANNEL_PATTERN, name):
        raise Refusal("invalid_request", "that is no name for a channel")
    return name


async def events(request: web.Request) -> web.StreamResponse:
    """``GET /v1/streams/{id}/events``: Server-Sent Events."""
    stream, cursor = await read_of(request), asked_cursor(request)
    ending = stream.run.ending
    if cursor is not None and cursor.after_end and ending and (cursor.gen, cursor.position) == (ending.gen, ending.to):
        # The reader has seen the ending: 204 tells an EventSource to stay away.
        return web.Response(status=204)
    return await _read(request, stream, SSE, "text/event-stream", cursor, SSE_RETRY)


async def ndjson(request: web.Request) -> web.StreamResponse:
    """``GET /v1/streams/{id}/ndjson``: one message a line."""
    return await _read(request, await read_of(request), NDJSON, "application/x-ndjson", asked_cursor(request), b"")


async def text(request: web.Request) -> web.StreamResponse:
    """``GET /v1/streams/{id}/text``: the bare text; only a good ending ends the body cleanly."""
    stream = await read_of(request)
    cursor = head_of(stream.run, "text") if caller_of(request).is_live_only else asked_cursor(request)
    mode, start = text_place(stream.run, cursor)
    request.app[HUB].tally.attaches["reset" if cursor is not None and mode is Mode.SNAPSHOT else str(mode)] += 1
    attached = {"Fanlight-Attached": f"{mode} {stream.run.gen}.{start}"}
    connection = _open(request, BARE, "text/plain; charset=utf-8", attached)
    if connection is not None:
        with in_charge(connection):
            subscriber = Subscriber(stream.run, connection)
            connection.attached(subscriber)
            stream.seat(subscriber, BareView(stream.run), start)
    return Sent(keep_alive=False)


async def channel_events(request: web.Request) -> web.StreamResponse:
    """``GET /v1/channels/{name}/events``."""
    return await _listen(request, CHANNEL_SSE, "text/event-stream", SSE_RETRY)


async def channel_ndjson(request: web.Request) -> web.StreamResponse:
    """``GET /v1/channels/{name}/ndjson``."""
    return await _listen(request, CHANNEL_NDJSON, "application/x-ndjson", b"")


async def _read(
    request: web.Request,
    stream: Stream,
    framings: Mapping[bool, Framing],
    content_type: str,
    cursor: Cursor | None,
    first: bytes,
) -> Sent:
    view = asked_view(request)
    await stream.ready(view)
    check_room(request.app, caller_of(request), stream)
    connection = _open(request, framings, content_type, {})
    if connection is not None:
        if first:
            connection.write(connection.framing.body(first))
        with in_charge(connection):
            stream.attach(connection, view, cursor, live_only=caller_of(request).is_live_only)
    return Sent(keep_alive=False)


async def _listen(request: web.Request, framings: Mapping[bool, Framing], content_type: str, first: bytes) -> Sent:
    caller, name, view, hub = caller_of(request, "read"), asked_channel(request), asked_view(request), request.app[HUB]
    check_channel(caller, name)
    tenant = caller.tenant
    await come_in(request.app, caller)
    running = await hub.under(tenant, name)
    for stream in running:
        await stream.ready(view)
    for stream in running:
        check_room(request.app, caller, stream)
    chunked = request.version >= (1, 1)
    connection = ChannelBodyConnection(request.app[CONNECTIONS], framings[chunked], chunked=chunked)
    listener = Listener(connection, view, live_only=caller.is_live_only)
    connection.on_lost = lambda: hub.unlisten(tenant, name, listener)
    _take_over(request, connection, content_type, chunked, {})
    if request.method == "HEAD":
        connection.close()
        return Sent(keep_alive=False)
    if first:
        connection.write(connection.framing.body(first))
    with in_charge(connection):
        hub.listen(tenant, name, listener, asked_cursor(request), running=running)
    return Sent(keep_alive=False)


def _open(
    request: web.Request, framings: Mapping[bool, Framing], content_type: str, headers: dict[str, str]
) -> BodyConnection | None:
    """Begin an endless body; None where only the head was asked for."""
    chunked = request.version >= (1, 1)
    connection = BodyConnection(request.app[CONNECTIONS], framings[chunked], chunked=chunked)
    _take_over(request, connection, content_type, chunked, headers)
    if request.method == "HEAD":
        connection.close()
        return None
    return connection


def _take_over(
    request: web.Request,
    connection: BodyConnection,
    content_type: str,
    chunked: bool,
    headers: dict[str, str],
) -> None:
    if request.transport is None:
        raise ConnectionResetError("the reader has left")
    detach(request, connection)
    told = {
        "Content-Type": content_type,
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        **headers,
        **request[CORS],
        **framing_headers(chunked=chunked, kept=False),
    }
    connection.write(head("200 OK", told.items()))
