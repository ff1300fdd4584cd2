"""Read JSON bodies from callers: bounded in size and time, objects only."""

import asyncio
from typing import Any

import orjson
from aiohttp import web

from protocol.errors import Refusal
from protocol.json_depth import MAX_DEPTH, nesting
from protocol.options import Options
from service.hub.requests import Asked, ask
from service.web.keys import BODY_TIMEOUT_S, MAX_BODY_BYTES

# Above this, reading and hashing a body would hold up the loop: a thread does it.
LARGE_BYTES = 1 << 18


async def read_object(request: web.Request) -> tuple[dict[str, Any], int]:
    """The body of a JSON call, an object, and its size in bytes.

    Raises:
        Refusal: ``invalid_request`` or ``too_large``.
    """
    if request.content_type != "application/json":
        raise Refusal("invalid_request", "the body must be application/json")
    limit = request.app[MAX_BODY_BYTES]
    if (request.content_length or 0) > limit:
        raise Refusal("too_large", f"the body is larger than {limit} bytes")
    try:
        async with asyncio.timeout(request.app[BODY_TIMEOUT_S]):
            body = await _read(request, limit)
    except TimeoutError as exc:
        raise Refusal("invalid_request", "the body did not come in time") from exc
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
    parts: list[bytes] = []
    size = 0
    while data := await request.content.readany():
        size += len(data)
        if size > limit:
            raise Refusal("too_large", f"the body is larger than {limit} bytes")
        parts.append(data)
    return b"".join(parts)


async def asked_of(value: dict[str, Any], options: Options, size: int) -> Asked:
    """Check a start and make it ready, off the loop when it is large.

    Raises:
        Refusal: see `service.hub.requests.ask`.
    """
    if size < LARGE_BYTES:
        return ask(value, options)
    return await asyncio.to_thread(ask, value, options)
