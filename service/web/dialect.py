"""``POST /v1.3/analyze``: the upstream's own dialect, through the hub.

The caller's status waits for the first upstream event, so that an upstream error is a
real HTTP error. Once the answer has begun, a run that ends in any way but
``stream_end`` never becomes a clean end of body.
"""

import asyncio
from collections.abc import Mapping
from contextvars import copy_context
from functools import partial
from typing import Any

import structlog
from aiohttp import web

from protocol.errors import Refusal
from protocol.ndjson import dumps
from protocol.wire.endings import CLOCKS, CODES, Ending, Status
from protocol.wire.frames import NDJSON
from protocol.wire.options import parse_options_header
from service.hub.hub import UPSTREAM as DIALECT
from service.hub.run import Refused
from service.hub.streams import Started, Stream
from service.hub.subscribers import Subscriber
from service.hub.views import DialectView
from service.web.access import caller_of, check_seat, check_still
from service.web.bodies import asked_of, read_object
from service.web.connection import BorrowedConnection, Sent, borrow, framing_headers, head, in_charge
from service.web.keys import CONNECTIONS, CORS, KEYRING
from service.web.starts import begin
from service.web.upstream_headers import relayed

log = structlog.get_logger()
# An empty 429 body would cost an SDK's caller the typed error.
TOO_MANY = {"code": "too_many_requests", "message": "The upstream's rate limit is reached."}


async def analyze(request: web.Request) -> web.StreamResponse:
    """Run, join or replay one analysis for a caller of the upstream dialect."""
    caller_of(request, "start")  # before the body is read
    options = parse_options_header(request.headers.get("Fanlight-Options"))
    value, size = await read_object(request)
    asked = await asked_of(value, options, size)
    started = await begin(request, asked, DIALECT)
    stream, validation = started.stream, options.validate_ == "on"
    told = {"Fanlight-Stream": stream.id, "Fanlight-Join": started.join}
    with stream.hold():
        if value.get("stream", True):
            return await _relay(request, started, told, validation=validation)
        ending = await stream.run.ended()
        check_still(request)
        return _whole(stream, ending, told, validation=validation)


def _refusal_of(stream: Stream) -> Refused | None:
    """What to answer where the run has ended before anything could be relayed."""
    ending = stream.run.ending
    if ending is None or ending.status in (Status.COMPLETED, Status.LENGTH):
        return None
    if stream.run.refused is not None and ending.code in ("upstream_refused", "upstream_error"):
        return stream.run.refused
    return None if stream.run.log.count else _failed(ending)


def _failed(ending: Ending) -> Refused:
    """A run that did not end well, as an HTTP error of our own."""
    code = ending.code or "internal"
    status = 504 if code in CLOCKS else 502
    return Refused(status, {}, dumps({"code": code, "message": CODES[code].message}))


def _refuse(refused: Refused, told: Mapping[str, str]) -> web.Response:
    body = refused.body
    headers = {**relayed(refused.headers), **told}
    if refused.status == 429 and not body:
        body, headers["Content-Type"] = dumps(TOO_MANY), "application/json"
    headers.setdefault("Content-Type", "application/json")
    return web.Response(status=refused.status, body=body, headers=headers)


def _whole(stream: Stream, ending: Ending, told: Mapping[str, str], *, validation: bool) -> web.Response:
    """The answer to ``stream: false``."""
    if (refused := _refusal_of(stream)) is not None:
        return _refuse(refused, told)
    if ending.status not in (Status.COMPLETED, Status.LENGTH):
        return _refuse(_failed(ending), told)
    body = _object(stream, ending, stream.run.log.event(stream.run.log.count - 1), validation=validation)
    return web.Response(body=dumps(body), content_type="application/json", headers=dict(told))


def _object(stream: Stream, ending: Ending, last: Mapping[str, Any], *, validation: bool) -> dict[str, Any]:
    """``{id, data, finish_reason, usage}`` and what else ``stream_end`` said."""
    metadata = last.get("metadata")
    known = {"event_type", "finish_reason", "metadata"}
    body: dict[str, Any] = {
        "id": metadata.get("generation_id") if isinstance(metadata, Mapping) else None,
        "data": stream.run.log.slice(0, stream.run.log.size),
        "finish_reason": ending.finish_reason,
        "usage": ending.usage,
        **{key: value for key, value in last.items() if key not in known},
    }
    if validation and stream.run.schema is not None:
        body["validation"] = ending.validation
    return body


async def _relay(
    request: web.Request, started: Started, told: Mapping[str, str], *, validation: bool
) -> web.StreamResponse:
    """Write the upstream's events to the caller's own connection, one for one.

    The first of them leaves in the turn in which it came: no task is woken to begin the answer.
    """
    stream, run, app, caller = started.stream, started.stream.run, request.app, caller_of(request)
    chunked = request.version >= (1, 1)
    keep_alive = bool(request.keep_alive) and chunked
    always: dict[str, str] = request[CORS]
    connection = BorrowedConnection(app[CONNECTIONS], NDJSON[chunked], chunked=chunked)

    def begin_answer() -> None:
        headers = {
            "Content-Type": "application/x-ndjson",
            **relayed(run.answer_headers),
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            **told,
            **always,
            **framing_headers(chunked=chunked, kept=keep_alive),
        }
        connection.begin(head("200 OK", headers.items()))
        subscriber = Subscriber(run, connection)
        connection.attached(subscriber)
        stream.seat(subscriber, DialectView(run, validation=validation), 0)

    def open_() -> None:
        if connection.done.done():
            return  # the caller has left, or was told to
        with in_charge(connection):
            try:
                app[KEYRING].check(caller)
                if (refused := _refusal_of(stream)) is None:
                    check_seat(app, caller, stream)
            except Refusal as refusal:
                connection.expel(refusal)
                return
            connection.step_back() if refused is not None else begin_answer()

    opening = partial(copy_context().run, open_)  # whose log lines are this call's
    with borrow(request, connection) as borrowed:
        run.when_opened(opening)
        try:
            clean = await borrowed.done
        finally:
            run.not_when_opened(opening)
    if connection.refusal is not None:
        raise connection.refusal
    if not connection.has_begun:
        await asyncio.sleep(0)  # a caller that has left has this call cancelled
        refused = _refusal_of(stream)
        assert refused is not None, "nobody is there to be answered"
        return _refuse(refused, told)
    # Where it is not clean aiohttp closes the connection: the caller has what
    # there was, and no last chunk, and so it knows.
    return Sent(keep_alive=keep_alive and clean)
