"""Everything else under ``/v1.3/``: passed through, both bodies streamed and neither buffered."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import unquote

import aiohttp
import structlog
from aiohttp import hdrs, web
from multidict import CIMultiDict

from protocol.errors import Refusal
from protocol.ndjson import dumps
from protocol.wire.endings import CODES
from service.upstream.contract import ConnectTimeout, Unreachable
from service.upstream.http import FAULTS, HttpUpstream, translated
from service.web.connection import framing_headers, reset
from service.web.guard import CALLER
from service.web.keys import CORS, FORWARD_KEYS, PUBLIC, UPSTREAM
from service.web.trail import TRAIL
from service.web.upstream_headers import HOP_BY_HOP, tenant_header

log = structlog.get_logger()
PREFIX = "/v1.3"
# What the client library would add of its own accord: only what the caller sent is sent.
AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
# Ours to say, or nobody's business upstream.
NOT_SENT = frozenset(
    {"host", "x-api-key", "authorization", "cookie", "expect", "content-length"}
    | {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix", "forwarded"}
    | {"fanlight-options"}
)
NOT_RELAYED = frozenset({"set-cookie", "content-length"})


class CallerBroke(Exception):
    """The caller's body ended before it should: the upstream must not take it for whole."""


async def expect(request: web.Request) -> None:
    """Leave ``100 Continue`` to the upstream: it is told on when the body is first wanted."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed(text="Expect: 100-continue is all that is understood")


async def pass_through(request: web.Request) -> web.StreamResponse:
    """Pass one call to the upstream and its answer back."""
    if CALLER in request:  # what is signed needs nobody
        request[CALLER].need("proxy")
    upstream = request.app[UPSTREAM]
    try:
        response = await _call(upstream, request)
    except FAULTS as exc:
        return _unreachable(request, exc)
    try:
        return await _answer(request, response)
    finally:
        response.close() if not response.content.at_eof() else response.release()


async def _call(upstream: HttpUpstream, request: web.Request) -> aiohttp.ClientResponse:
    has_body = request.can_read_body
    headers = _request_headers(upstream, request)
    expects = "Expect" in request.headers
    if has_body and request.content_length is not None:
        headers[hdrs.CONTENT_LENGTH] = str(request.content_length)
    return await upstream.session.request(
        request.method,
        upstream.url(_path(request)),
        data=_body(request, expects) if has_body else None,
        headers=headers,
        skip_auto_headers=AUTOMATIC,
        allow_redirects=False,
        auto_decompress=False,
        expect100=expects and has_body,
        timeout=upstream.passing_timeout,
    )


def _path(request: web.Request) -> str:
    """Path and query below ``/v1.3``, byte for byte as the caller wrote them.

    Raises:
        Refusal: ``invalid_request``: a path that climbs.
    """
    raw = request.raw_path
    start = raw.find(PREFIX)
    path, mark, query = raw[start + len(PREFIX) :].partition("?")
    if start < 0 or any(part in (".", "..") for part in unquote(path).replace("\\", "/").split("/")):
        raise Refusal("invalid_request", "a path with dot segments is not passed on")
    return f"{path}{mark}{query}".partition("#")[0]


def _request_headers(upstream: HttpUpstream, request: web.Request) -> CIMultiDict[str]:
    named = {name.strip().lower() for name in request.headers.get("Connection", "").split(",")}
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in request.headers.items():
        lower = name.lower()
        if lower not in HOP_BY_HOP and lower not in NOT_SENT and lower not in named:
            headers.add(name, value)
    if request.app[FORWARD_KEYS] and (key := request.headers.get("x-api-key")):
        headers["x-api-key"] = key
    elif upstream.api_key is not None:
        headers["x-api-key"] = upstream.api_key
    headers.update(tenant_header(request))
    if (step := request[TRAIL].context) is not None:
        headers.update(step.headers())
    peer = request.remote or "unknown"
    earlier = request.headers.get("X-Forwarded-For")
    headers["X-Forwarded-For"] = f"{earlier}, {peer}" if earlier else peer
    # Addresses that the upstream hands out (presigned uploads) lead back through here.
    public = request.app.get(PUBLIC)
    headers["X-Forwarded-Host"] = public.host if public else request.headers.get("Host", "")
    headers["X-Forwarded-Proto"] = public.scheme if public else request.scheme
    return headers


async def _body(request: web.Request, expects: bool) -> AsyncIterator[bytes]:
    if expects and request.transport is not None:
        # Asked for only now: the upstream has said that it wants the body.
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        while data := await request.content.readany():
            yield data
    except (OSError, aiohttp.ClientError, web.RequestPayloadError) as exc:
        raise CallerBroke from exc


async def _answer(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
    for name, value in upstream.headers.items():
        if name.lower() not in HOP_BY_HOP and name.lower() not in NOT_RELAYED:
            response.headers.add(name, value)
    response.headers.update(request[CORS])
    length = upstream.headers.get(hdrs.CONTENT_LENGTH)
    bodyless = request.method == "HEAD" or upstream.status in (204, 304)
    if length is not None and upstream.status not in (204, 304):
        response.content_length = int(length)
    elif not bodyless and request.version >= (1, 1):
        response.headers.update(framing_headers(chunked=True, kept=bool(request.keep_alive)))
    transport = request.transport  # aiohttp lets go of it before it cancels
    await response.prepare(request)
    if request.method != "HEAD":
        try:
            while data := await upstream.content.readany():
                await response.write(data)
        except FAULTS as exc:
            # The caller must not take a broken answer for a whole one.
            log.warning("pass_through_broken", fault=type(exc).__name__)
            reset(transport)
            return response
        except asyncio.CancelledError:
            reset(transport)
            raise
    await response.write_eof()
    return response


def _unreachable(request: web.Request, exc: Exception) -> web.Response:
    if isinstance(exc.__cause__ or exc, CallerBroke):
        raise ConnectionResetError("the caller broke off its body") from exc
    fault = translated(exc)
    code = fault.code
    if isinstance(exc, TimeoutError) and not isinstance(fault, ConnectTimeout | Unreachable):
        code = "upstream_timeout_total"
    log.warning("pass_through_failed", code=code, fault=type(exc).__name__)
    status = 504 if code.startswith("upstream_timeout") else 502
    return web.Response(
        status=status,
        body=dumps({"code": code, "message": CODES[code].message}),
        content_type="application/json",
    )
