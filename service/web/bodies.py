"""Read JSON bodies from callers: bounded in size, structure and time, objects only.

Nothing here holds the loop: a body inflates in steps and is measured in steps, and what its
brackets would cost is counted before it is parsed, since a thread that parses holds the
interpreter's lock as well.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from protocol.errors import Refusal
from protocol.json.bounds import MAX_DEPTH, MAX_STRUCTURE, nesting, structure
from protocol.wire.options import Options
from service.hub.requests import Asked, ask
from service.web.keys import BODY_TIMEOUT_S, MAX_BODY_BYTES

# Above this, reading and hashing a body would hold up the loop: a thread does it.
LARGE_BYTES = 1 << 18
# A compressed body becomes at most this much between two looks at the loop: half a millisecond.
STEP_BYTES = 1 << 18
# And this much of a body is searched at a time: two milliseconds.
SEARCHED_BYTES = 1 << 22
# RFC 9110, section 8.4.1; deflate is zlib's format there.
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def read_object(request: web.Request, *, limit: int | None = None) -> tuple[dict[str, Any], int]:
    """The body of a JSON call, an object, and its size in bytes.

    Args:
        limit: bytes that it may have; where none is named, those of all JSON calls.

    Raises:
        Refusal: ``invalid_request`` or ``too_large``.
    """
    if request.content_type != "application/json":
        raise Refusal("invalid_request", "the body must be application/json")
    limit = limit or request.app[MAX_BODY_BYTES]
    if (request.content_length or 0) > limit:
        raise Refusal("too_large", f"the body is larger than {limit} bytes")
    try:
        if request.content.is_eof():  # it came with its head, as most do: no clock need be set
            body = await _read(request, limit)
        else:
            async with asyncio.timeout(request.app[BODY_TIMEOUT_S]):
                body = await _read(request, limit)
    except TimeoutError as exc:
        raise Refusal("invalid_request", "the body did not come in time") from exc
    await _check_structure(body)
    try:
        value = orjson.loads(body) if len(body) < LARGE_BYTES else await asyncio.to_thread(orjson.loads, body)
    except orjson.JSONDecodeError as exc:
        raise _unreadable(body) from exc
    if not isinstance(value, dict):
        raise Refusal("invalid_request", "the body is not a JSON object")
    return value, len(body)


def _unreadable(body: bytes) -> Refusal:
    """Why a body is no JSON; a schema that no parser reads is refused as a schema."""
    if len(body) < LARGE_BYTES and b'"json_schema"' in body and nesting(body) > MAX_DEPTH:
        return Refusal("schema_invalid", "response_format.json_schema: the schema is nested deeper than 64")
    return Refusal("invalid_request", "the body is not JSON")


async def _read(request: web.Request, limit: int) -> bytes:
    content = request.content
    if content.is_eof() and content.exception() is None and "Content-Encoding" not in request.headers:
        body = content.read_nowait()
        _check_size(len(body), limit)
        return body
    parts: list[bytes] = []
    size = 0
    async for data in _decoded(request):
        size += len(data)
        _check_size(size, limit)
        parts.append(data)
    return b"".join(parts)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise Refusal("too_large", f"the body is larger than {limit} bytes")


async def _decoded(request: web.Request) -> AsyncIterator[bytes]:
    """The body's pieces, inflated where ``Content-Encoding`` says so."""
    encodings = [name.strip().lower() for name in ",".join(request.headers.getall("Content-Encoding", ())).split(",")]
    encodings = [name for name in encodings if name not in ("", "identity")]
    try:
        if not encodings:
            while data := await request.content.readany():
                yield data
        elif len(encodings) == 1 and encodings[0] in _WINDOWS:
            async for data in _inflated(request, _WINDOWS[encodings[0]]):
                yield data
        else:
            raise Refusal("invalid_request", "Content-Encoding: gzip or deflate, once, or none")
    except (web.RequestPayloadError, aiohttp.http_exceptions.HttpProcessingError) as exc:
        raise Refusal("invalid_request", "the body is not framed as RFC 9112 has it") from exc
    except zlib.error as exc:
        raise Refusal("invalid_request", "the body is not encoded as Content-Encoding says") from exc


async def _inflated(request: web.Request, window: int) -> AsyncIterator[bytes]:
    inflate = zlib.decompressobj(window)
    while data := await request.content.readany():
        while data and not inflate.eof:
            yield inflate.decompress(data, STEP_BYTES)
            data = inflate.unconsumed_tail
            await asyncio.sleep(0)
        if inflate.unused_data or data:
            raise Refusal("invalid_request", "something follows the encoded body")
    if not inflate.eof:
        raise Refusal("invalid_request", "the encoded body breaks off")


async def _check_structure(body: bytes) -> None:
    """Refuse what would take the parser long.

    Raises:
        Refusal: ``invalid_request``; ``schema_invalid`` where there is a schema, which then is what is so large.
    """
    found = 0
    for start in range(0, len(body), SEARCHED_BYTES):
        found += structure(body[start : start + SEARCHED_BYTES])
        if found > MAX_STRUCTURE:
            code = "schema_invalid" if b'"json_schema"' in body else "invalid_request"
            raise Refusal(code, f"the JSON has more than {MAX_STRUCTURE} brackets, commas, colons and quotes")
        if len(body) > SEARCHED_BYTES:
            await asyncio.sleep(0)


async def asked_of(value: dict[str, Any], options: Options, size: int, *, sent: dict[str, Any] | None = None) -> Asked:
    """Check a start and make it ready, off the loop when it is large; ``sent`` as in `ask`.

    Raises:
        Refusal: see `service.hub.requests.ask`.
    """
    if size < LARGE_BYTES:
        return ask(value, options, sent=sent)
    return await asyncio.to_thread(ask, value, options, sent=sent)
